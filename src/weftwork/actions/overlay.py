"""The intent as it would be after some writes."""

from collections.abc import Iterable

from weftwork.actions import fresh
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.keys import parse_thing_key
from weftwork.seams.store import Put, Write


def overlaid(intent: Intent, writes: Iterable[Write]) -> Intent:
    """Only the projects that are written to are copied."""
    overlay: Intent = dict(intent)
    copied: set[ProjectKey] = set()
    for write in writes:
        key = parse_thing_key(write.key)
        if key is None:
            continue
        if key.owner not in copied:
            copied.add(key.owner)
            overlay[key.owner] = overlay.get(key.owner, ProjectIntent()).copy()
        overlay[key.owner].put(key, fresh.looked_at(key, write.value) if isinstance(write, Put) else None)
    return overlay
