"""Archives that a Linux kernel takes as its initial RAM disk: newc, one behind another."""

from collections.abc import Iterable
from dataclasses import dataclass

_FOLDER, _FILE, _DEVICE = 0o040000, 0o100000, 0o020000


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(name: str) -> Entry:
    return Entry(name, _FOLDER | 0o755)


def file(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, _FILE | permissions, data)


def character_device(name: str, major: int, minor: int) -> Entry:
    return Entry(name, _DEVICE | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The same entries give the same bytes. Another archive may follow it."""
    made = bytearray()
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), 1):
        name = entry.name.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        made += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        made += b"\0" * (-len(made) % 4) + entry.data
        made += b"\0" * (-len(made) % 4)
    return bytes(made + b"\0" * (-len(made) % 512))
