"""A disk that loses what was not synced, fed with the system calls of a real process (from `strace`).

As POSIX allows and no more: a write counts from the fsync after it, a new or removed name from the fsync of its
directory; until then each may or may not have reached the disk, sector by sector, in any order.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink"
_SECTOR_BYTES = 512
_LINE = re.compile(
    r"^(\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\((?P<arguments>.*?))(?P<end>\) += |,? <unf)"
)
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call, at its beginning or (`ended`) at its end; `offset` of a write, length of a truncation."""

    thread: str
    name: str
    path: str = ""
    data: bytes = b""
    offset: int = 0
    began: bool = True
    ended: bool = True


def calls(trace: Path) -> Iterator[Call]:
    """In the order in which they happened. The trace was written with -f -y -xx."""
    with trace.open() as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            thread = line.split(" ", 1)[0]
            if found["resumed"]:
                yield Call(thread, found["resumed"], began=False)
            else:
                yield _call(thread, found["call"], found["arguments"], ended=found["end"].startswith(")"))


def _call(thread: str, name: str, arguments: str, *, ended: bool) -> Call:
    texts = [bytes.fromhex(one.replace("\\x", "")) for one in _HEX.findall(arguments)]
    path = texts[0].decode()
    data = texts[1] if len(texts) > 1 else b""
    offset = int(arguments.rsplit(", ", 1)[1]) if name in ("pwrite64", "ftruncate") else 0
    return Call(thread, name, path, data, offset, ended=ended)


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    pending: list[Call] = field(default_factory=list)
    name_is_durable: bool = False
    is_removed: bool = False


class SimulatedDisk:
    """What is on it for sure, and what may be."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._files: dict[str, _File] = {}
        self._syncing: dict[str, tuple[str, int]] = {}

    def take(self, call: Call) -> None:
        if call.began and call.name in ("pwrite64", "ftruncate") and call.path.startswith(f"{self._folder}/"):
            self._written(call.path).pending.append(call)
        elif call.began and call.name == "unlink" and call.path in self._files:
            self._files[call.path].is_removed = True
        elif call.name in ("fsync", "fdatasync"):
            self._sync(call)

    def _written(self, path: str) -> _File:
        """Another file, if the one of that name was removed."""
        known = self._files.get(path)
        if known is None or known.is_removed:
            known = self._files[path] = _File()
        return known

    def _sync(self, call: Call) -> None:
        """Durable is, at its end, what there was at its beginning."""
        if call.began:
            known = self._files.get(call.path)
            self._syncing[call.thread] = (call.path, len(known.pending) if known else 0)
        if call.ended:
            path, count = self._syncing.pop(call.thread)
            if path == self._folder:
                self._sync_names()
            elif path in self._files:
                known = self._files[path]
                known.durable = _applied(known.durable, known.pending[:count])
                del known.pending[:count]

    def _sync_names(self) -> None:
        self._files = {path: one for path, one in self._files.items() if not one.is_removed}
        for one in self._files.values():
            one.name_is_durable = True

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """File names and contents, one way it may have gone."""
        image = {}
        for path, one in self._files.items():
            sure_name = one.name_is_durable and not one.is_removed
            if sure_name or chance.random() < 0.5:
                survived = [torn for call in one.pending if (torn := _torn(call, chance))]
                chance.shuffle(survived)
                image[Path(path).name] = _applied(one.durable, survived)
        return image


def _torn(call: Call, chance: random.Random) -> Call | None:
    """All of it, nothing, or some sectors from the beginning."""
    kept = chance.choice((0, len(call.data), _SECTOR_BYTES * chance.randrange(1 + len(call.data) // _SECTOR_BYTES)))
    if call.name == "ftruncate":
        return chance.choice((call, None))
    return Call(call.thread, call.name, call.path, call.data[:kept], call.offset) if kept else None


def _applied(content: bytes, changes: list[Call]) -> bytes:
    now = bytearray(content)
    for change in changes:
        if change.name == "ftruncate":
            now = now[: change.offset].ljust(change.offset, b"\0")
        else:
            now = now.ljust(change.offset + len(change.data), b"\0")
            now[change.offset : change.offset + len(change.data)] = change.data
    return bytes(now)
