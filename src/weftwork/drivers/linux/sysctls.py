"""Values below /proc/sys/net of a namespace. Which are ours is noted as alternative names of its `lo`."""

import re
from pathlib import Path

from weftwork.drivers.linux import namespaces

_ROOT = Path("/proc/sys")
_NOTE = "weftwork~"
_NAME = re.compile(r"net(/[A-Za-z0-9_.-]+)+")
_NOTE_BYTES_MAX = 127


def note_of(name: str) -> str:
    """The alternative name that says a sysctl is ours. ValueError for what cannot be a name below net/."""
    note = _NOTE + name.replace("/", "~")
    if not _NAME.fullmatch(name) or ".." in name.split("/") or len(note.encode()) > _NOTE_BYTES_MAX:
        raise ValueError(f"{name!r} is not the name of a network sysctl")
    return note


def name_of(note: str) -> str | None:
    """The sysctl noted, or None for somebody else's alternative name."""
    return note[len(_NOTE) :].replace("~", "/") if note.startswith(_NOTE) else None


def exists(name: str) -> bool:
    return (_ROOT / name).exists()


def read(name: str) -> str:
    """The value in the calling thread's namespace, one space between fields. Raises OSError."""
    return " ".join((_ROOT / name).read_text().split())


def write(name: str, value: str) -> None:
    """Raises OSError."""
    (_ROOT / name).write_text(value)


def value_when_new(name: str) -> str:
    """What a namespace is born with: the value to give back when a sysctl is no longer ours."""
    with namespaces.inside_a_new_one():
        return read(name)
