"""What `weft doctor` says of routing daemons: whether there are any, and how those of a host of a fleet are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.frr.daemons import BINARIES, ORDER, Daemons
from weftwork.drivers.frr.sessions import neighbours


def routing_lines(state: Path) -> Iterator[str]:
    """`state` is the folder of this host's agent."""
    missing = [name for name in ORDER if not (BINARIES / name).exists()]
    if missing:
        yield f"routing: FRR is not installed ({BINARIES} has no {', '.join(missing)}): no BGP EVPN on this host"
        return
    daemons = Daemons(state / "frr")
    if not daemons.holder:
        yield "routing: FRR is installed, and not in use"
        return
    dead = [name for name in ORDER if not daemons.pid(name)]
    if dead:
        yield f"routing: BGP EVPN, {', '.join(dead)} not running"
        return
    try:
        sessions = asyncio.run(neighbours(daemons))
    except Failure as failure:
        yield f"routing: BGP EVPN, {failure}"
        return
    yield "routing: BGP EVPN, " + (", ".join(f"{one.peer} {one.state}" for one in sessions) or "no neighbours")
