"""To be killed: 16 writers on one store, each acknowledged commit told as a line `revision writer number`.

Every transaction writes a pair of keys and the writer's counter, the counter under a compare.
"""

import asyncio
import os
import sys

from store_kinds import Place

from weftwork.seams.store import Put, Store, Transaction, Unchanged

WRITERS = 16


async def write(store: Store, writer: int) -> None:
    record = await store.get(f"counter/{writer}")
    number, revision = (int(record.value), record.revision) if record else (0, 0)
    while True:
        number += 1
        value = b"%d" % number
        puts = tuple(Put(key, value) for key in (f"a/{writer}/{number}", f"counter/{writer}", f"b/{writer}/{number}"))
        revision = await store.commit(Transaction((Unchanged(f"counter/{writer}", revision),), puts))
        os.write(1, f"{revision} {writer} {number}\n".encode())


async def main(place: Place, keep_revisions: int) -> None:
    os.write(1, b"opening\n")
    store = await place.open(keep_revisions=keep_revisions)
    async with asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(write(store, writer))


if __name__ == "__main__":
    asyncio.run(main(Place.parse(sys.argv[1]), int(sys.argv[2])))
