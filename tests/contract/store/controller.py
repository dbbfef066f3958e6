"""To be killed or stopped: a controller over a shared store. What it publishes is a line `time_ns term generation`."""

import asyncio
import os
import sys
import time
from functools import partial

from store_kinds import Place
from test_lease import leadership_of

from weftwork.actions.view import IntentView
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.controller.leading import Fence, lead
from weftwork.controller.publisher import Publisher
from weftwork.program.resource import Program
from weftwork.seams.channel import ProgramChange


class Host:
    """Tells what it is told."""

    host = "host"

    def publish(self, change: ProgramChange) -> None:
        os.write(1, f"{time.monotonic_ns()} {change.term} {change.generation}\n".encode())

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        return frozenset()

    async def settle(self) -> bool:
        return True

    async def run(self) -> None:
        await asyncio.Event().wait()

    def stand_down(self) -> None:
        return None


async def main(place: Place) -> None:
    store = await place.open()
    view = IntentView()
    await view.start(store)
    host = Host()
    publisher = Publisher(view, partial(compile_slice, profile=HostProfile()), host)
    os.write(1, b"ready\n")
    await lead(leadership_of(store), Fence(), publisher, host)


if __name__ == "__main__":
    asyncio.run(main(Place.parse(sys.argv[1])))
