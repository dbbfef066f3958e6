"""Layers → a tree of files, by a process that sees nothing else: see `confined.py`."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weftwork.base import codes
from weftwork.base.errors import Failure

_CAPABILITIES = "-all,+chown,+dac_override,+fowner,+fsetid,+mknod,+setfcap,+sys_chroot"
"""What owners, modes, devices and file capabilities take; capabilities(7)."""
_CONFINED = ("unshare", "--net", "--ipc", "--", "setpriv", "--no-new-privs", "--inh-caps", "-all", "--bounding-set")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may be at most: entries of all its layers, bytes of all its files, and growth of a layer."""

    entries: int = 1_000_000
    bytes: int = 64 << 30
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Unpacked:
    entries: int
    bytes: int


async def unpack(
    layers: Sequence[tuple[Path, str]], root: Path, limits: Limits, told: Callable[[int], None] = lambda layer: None
) -> Unpacked:
    """Unpack `layers` (blob and diff_id, lowest first) into the empty folder `root`.

    `told` is called with the number of each layer that is done. Raises IMAGE_REFUSED for what is hostile or damaged
    (what was made below `root` is the caller's to remove), and DISK_FULL.
    """
    job = {
        "root": str(root),
        "layers": [{"path": str(path), "diff_id": diff_id} for path, diff_id in layers],
        "most_entries": limits.entries,
        "most_bytes": limits.bytes,
        "highest_ratio": limits.ratio,
    }
    arguments = (*_CONFINED, _CAPABILITIES, "--", sys.executable, "-I", "-m", "weftwork.images.confined")
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdin and process.stdout and process.stderr, "all of them are pipes"
    try:
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        async for line in process.stdout:
            said = json.loads(line)
            if "layer" in said:
                told(said["layer"])
            elif "refused" in said:
                raise codes.IMAGE_REFUSED.refusal(said["refused"])
            elif "full" in said:
                raise Failure("DISK_FULL", f"no room to unpack the image: {said['full']}")
            else:
                return Unpacked(said["entries"], said["bytes"])
        complaint = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
        raise Failure("UNPACKING_DIED", f"the process that unpacks images ended: {(complaint or ['silently'])[-1]}")
    finally:
        if process.returncode is None:
            _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    try:
        process.kill()
    except ProcessLookupError:
        return
