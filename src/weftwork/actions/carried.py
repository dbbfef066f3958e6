"""What the data plane cannot carry is refused when it is asked for: nothing that is accepted is silently weaker."""

from collections.abc import Iterable

from weftwork.actions import fresh
from weftwork.actions.overlay import overlaid
from weftwork.base import codes
from weftwork.compiler.capabilities import EVERYTHING, Carries, has_room, shortfalls
from weftwork.model.intent import Intent
from weftwork.model.keys import parse_thing_key
from weftwork.seams.store import Put, Write

_BOUNDED = ("security-group", "network-policy", "port", "vpc")
"""The kinds of things of which a data plane may carry less than all."""


def check_carried(carries: Carries, intent: Intent, writes: Iterable[Write]) -> None:
    """Refusal BACKEND_UNSUPPORTED."""
    if carries == EVERYTHING:
        return
    writes = tuple(writes)
    keys = ((write, parse_thing_key(write.key)) for write in writes if isinstance(write, Put))
    things = [fresh.looked_at(key, write.value) for write, key in keys if key is not None and key.kind in _BOUNDED]
    if all(has_room(thing, intent, len(writes), carries) for thing in things):
        return
    after = overlaid(intent, writes)
    for thing in things:
        for found in shortfalls(thing, after, carries):
            message = f"the data plane ({carries.name}) does not carry it: {found.what}"
            raise codes.BACKEND_UNSUPPORTED.refusal(message, hint=found.instead)
