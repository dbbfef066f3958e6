"""Fill the disk under a store's server, then give it room again: `full_server_disk.py etcd|postgres DIRECTORY`."""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from store_kinds import Place

from weftwork.base.errors import Failure
from weftwork.seams.store import Put, Transaction
from weftwork.store.etcd import client, commits
from weftwork.store.postgres import reader, writer
from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.postgres_server import PostgresServer

BLOCK = os.urandom(200_000)
LEFT_BYTES = 3_000_000


for module in (client, commits, reader, writer):
    module.PATIENCE_S = 3.0  # type: ignore[attr-defined]


async def main(kind: str, folder: Path, server: EtcdCluster | PostgresServer, place: Place) -> None:
    store = await place.open()
    kept = {"first": await store.commit(Transaction((), (Put("first", b"1"),)))}
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(bytes(free - LEFT_BYTES))
    refused = 0
    for number in range(3000):
        key = f"k/{number}"
        try:
            async with asyncio.timeout(40.0):
                kept[key] = await store.commit(Transaction((), (Put(key, BLOCK),)))
        except (Failure, TimeoutError) as failure:
            assert not isinstance(failure, Failure) or failure.code == "STORE_UNAVAILABLE", failure
            refused += 1
            break
    assert refused, "the disk never became full"
    ballast.unlink()
    await asyncio.to_thread(server.restart)
    again = await store.commit(Transaction((), (Put("again", BLOCK),)))
    found = {record.key: record.revision for record in (await store.range("")).records}
    assert kept.items() <= found.items(), "an acknowledged commit is lost"
    assert found["again"] == again
    # The one that failed may have happened; nothing else.
    assert len(found) - len(kept) in (1, 2)
    await store.close()
    print(f"{kind}: the disk was full after {len(kept)} commits, none of them lost; it works again with room")


if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        if kind == "etcd":
            cluster = stack.enter_context(EtcdCluster(folder / "etcd"))
            place = Place(kind, server=",".join(cluster.endpoints)).fresh()
            asyncio.run(main(kind, folder, cluster, place))
        else:
            server = stack.enter_context(PostgresServer(folder / "postgres"))
            place = Place(kind, server=server.dsn, password_file=str(server.password_file)).fresh()
            asyncio.run(main(kind, folder, server, place))
