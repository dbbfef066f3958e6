"""Several commits in one transaction of etcd's have its revision in common. Ours tells them apart: etcd's revision is a
moment, and every commit has a place in it.

The last of a moment, which is the only one for most, stands as it is; the value of an earlier one begins with a mark
and its place. So a commit that removes anything, for a removal has no value, is never an earlier one.
"""

PLACES = 64
"""Commits in one moment at most."""
LAST = PLACES - 1
_MARK = b"\xfe"
"""Begins no UTF-8, so what a store held before is read as it was written; a value that begins with it is marked."""


def revision_of(moment: int, place: int = LAST) -> int:
    """Of etcd's revision. The last place of each is a multiple of `PLACES`, and 0 is before everything."""
    return max(0, moment * PLACES - (LAST - place))


def moment_of(revision: int) -> int:
    return -(-revision // PLACES)


def whole_until(revision: int) -> int:
    """The last moment of which the revision has seen everything."""
    return revision // PLACES


def placed(value: bytes, place: int = LAST) -> bytes:
    """As etcd keeps it."""
    return value if place == LAST and not value.startswith(_MARK) else _MARK + bytes((place,)) + value


def place_in(kept: bytes) -> int:
    return kept[1] if kept.startswith(_MARK) else LAST


def value_in(kept: bytes) -> bytes:
    return kept[2:] if kept.startswith(_MARK) else kept
