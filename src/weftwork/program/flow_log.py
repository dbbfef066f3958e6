"""What compiler and driver agree on about logged packets: the group, and what the prefix of one says."""

from dataclasses import dataclass
from typing import Literal

GROUP = 21
"""Of NFNETLINK_LOG, in the namespaces of VPCs: an operator's own logger listens in the host's."""
CHAINS = "log."
"""What our logging chains are called, at the beginning."""
PER_SECOND = 100
"""Of each reason of a VPC, at most."""
SNAP_BYTES = 96
ALLOWED, GUARD = "allowed", "guard"
"""Besides the names of counters: what passed, and what the guard dropped, whose reason is the packet's mark."""


@dataclass(frozen=True, slots=True)
class Way:
    """`side`: `out` if the sender's port is judged, `in` if the receiver's. `policy` is the one that decided."""

    side: Literal["in", "out"]
    reason: str
    policy: str = ""


def prefix_of(way: Way) -> str:
    return " ".join(filter(None, (way.side, way.reason, way.policy)))


def way_in(prefix: str) -> Way | None:
    """None for what is not ours."""
    side, _, rest = prefix.partition(" ")
    reason, _, policy = rest.partition(" ")
    if side == "in" and reason:
        return Way("in", reason, policy)
    return Way("out", reason, policy) if side == "out" and reason else None
