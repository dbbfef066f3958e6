"""`weft debug bundle`: one file for whoever helps."""

import io
import os
import tarfile
import time
from pathlib import Path

import click

from weftwork.cli.command import Group
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.session import connected


@click.group(cls=Group)
def debug() -> None:
    """What helps to find out what is wrong."""


@debug.command(
    examples=("weft debug bundle", "weft debug bundle --file weft.tar.gz", "weft --server 127.0.0.1:8081 debug bundle")
)
@click.option("--file", "path", default="", metavar="FILE", help="Where to; as a rule weft-debug-TIME.tar.gz here.")
async def bundle(path: str) -> None:
    """Collect versions, settings, state, rules and logs of the server and its machine, without secrets.

    It holds names, addresses and rules of all tenants: give it to whom you would show those.
    """
    to = Path(path or time.strftime("weft-debug-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    files: dict[str, bytearray] = {}
    async with connected() as session:
        async for part in session.client.packets.collect_bundle():
            files.setdefault(part.name, bytearray()).extend(part.data)
    try:
        _write(to, files)
    except OSError as error:
        raise Problem(ExitCode.ERROR, "FILE_NOT_WRITTEN", f"{to}: {error.strerror}") from None
    size = sum(map(len, files.values()))
    print(f"{to}: {len(files)} files, {size // 1024} KiB before compression")
    note("it holds names, addresses and rules of all tenants, and no secrets; contents.txt in it says what is where")


def _write(to: Path, files: dict[str, bytearray]) -> None:
    """For its owner only."""
    folder = to.name.removesuffix(".gz").removesuffix(".tar") or "weft-debug"
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            if ".." in name.split("/"):
                continue
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            tar.addfile(entry, io.BytesIO(bytes(data)))
