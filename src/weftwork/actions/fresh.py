"""What this process has just encoded, by its bytes: the guards of the change and the view need not parse it again.

Law: it is as `rows.decode` would make it, for rows.decode(key, rows.encode(thing)) == thing.
"""

from functools import lru_cache

from weftwork.actions import rows
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey

REMEMBERED = 1024
"""Many more than are written at a time."""

_made: dict[bytes, Thing] = {}


def encoded(thing: Thing) -> bytes:
    if len(_made) >= REMEMBERED:
        _made.clear()
    value = rows.encode(thing)
    _made[value] = thing
    return value


def decoded(key: ThingKey, value: bytes) -> Thing:
    """For who keeps it: its project is named by the very object in the key. ValueError as of `rows.decode`."""
    made = _made.get(value)
    if made is not None and made.owner is key.owner and rows.key_of(made) == key:
        return made
    return rows.decode(key, value)


def looked_at(key: ThingKey, value: bytes) -> Thing:
    """For who only looks. ValueError as of `rows.decode`."""
    made = _made.get(value)
    return made if made is not None and rows.key_of(made) == key else _decode_again(key, value)


@lru_cache(maxsize=256)
def _decode_again(key: ThingKey, value: bytes) -> Thing:
    """Each guard of a change asks."""
    return rows.decode(key, value)
