"""The first step of a process that is a node: its many modules are read without looking for garbage in between."""

import gc
from collections.abc import Sequence

from weftwork.apps.settings import Settings


def launch(settings: Settings, *, with_agent: bool, adopts: Sequence[str] = ()) -> int:
    """Run a node as this process; its exit code."""
    gc.disable()  # Until what was in the store is in memory: all of it stays.
    from weftwork.apps.node import start

    return start(settings, with_agent=with_agent, adopts=adopts)
