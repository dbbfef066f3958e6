"""What compiler and driver agree on about logged packets: the group on Linux, and what the name of one says."""

import hashlib
import re
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


@dataclass(frozen=True, slots=True)
class Called:
    """What an ACL's name says of the packets that it logs: one of `sample` is told."""

    scope: str
    sample: int
    way: Way


ACL_NAME_MAX = 63
_ACL_NAME = re.compile(r"(?P<scope>weft-\d+)/(?P<sample>[1-9]\d*) (?P<way>.+)")
_HIDDEN = "#"
"""Begins what stands for the name of a policy that has no room; no name begins with it."""


def acl_name(called: Called) -> str:
    way = called.way
    begin = f"{called.scope}/{called.sample} "
    whole = begin + prefix_of(way)
    if len(whole) > ACL_NAME_MAX:
        return begin + prefix_of(Way(way.side, way.reason, hidden(way.policy)))
    return whole


def called_in(name: str) -> Called | None:
    """None for what is not ours."""
    found = _ACL_NAME.fullmatch(name)
    way = way_in(found["way"]) if found else None
    return Called(found["scope"], int(found["sample"]), way) if found and way else None


def hidden(policy: str) -> str:
    return _HIDDEN + hashlib.sha256(policy.encode()).hexdigest()[:10]


def is_hidden(policy: str) -> bool:
    return policy.startswith(_HIDDEN)


def prefix_of(way: Way) -> str:
    return " ".join(filter(None, (way.side, way.reason, way.policy)))


def way_in(prefix: str) -> Way | None:
    """None for what is not ours."""
    side, _, rest = prefix.partition(" ")
    reason, _, policy = rest.partition(" ")
    if side == "in" and reason:
        return Way("in", reason, policy)
    return Way("out", reason, policy) if side == "out" and reason else None
