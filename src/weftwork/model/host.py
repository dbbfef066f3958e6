"""A host of the fleet: a machine that holds ports, as its operator describes it and its agent found it."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address


class Role(Enum):
    """V's host types; one host may hold several."""

    COMPUTE = "compute"
    """Guests run there."""
    ROUTE = "route"
    """Carries traffic between VPCs and the outside."""
    MANAGEMENT = "management"
    """The control plane runs there."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the agent found when it connected last: what programs for this host are compiled by."""

    kernel: str
    filter_modes: tuple[str, ...]
    has_bridge_netfilter: bool
    has_ipv6: bool
    layouts: tuple[str, ...] = ("bridges",)


@dataclass(frozen=True, slots=True)
class Host:
    """`underlay` is where other hosts send what is for its guests.

    `identity` is in the certificate that is good for the host; empty before it joined. `token_hash` is that of the
    one token that may still join as this host, empty for none. `facts` is None until its agent was there.
    """

    name: str
    roles: frozenset[Role]
    labels: tuple[tuple[str, str], ...]
    underlay: IPv4Address
    created_at: int
    is_draining: bool = False
    identity: str = ""
    token_hash: str = ""
    token_expires_at: int = 0
    facts: HostFacts | None = None


def is_gateway(host: Host) -> bool:
    """It carries what leaves VPCs and what comes in, and no guests."""
    return Role.ROUTE in host.roles and Role.COMPUTE not in host.roles
