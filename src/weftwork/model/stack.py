"""What is asked of one host at its own interface (V: its L2 and L3 agents), beside what its server tells it.

A stack is a network of its own on this host, by a number that its callers choose. It is nobody's project.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from weftwork.base.addresses import Mac


@dataclass(frozen=True, slots=True)
class Nic:
    """A guest's interface in one VLAN of a stack; its first address is what DHCP gives it.

    It is a TAP, or the far end of a veth in `netns`, or the host's link `adopts`, or on the host at `underlay`.
    """

    id: str
    vlan: int
    mac: Mac
    addresses: tuple[IPv4Address, ...]
    netns: str = ""
    interface: str = ""
    adopts: str = ""
    underlay: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """The router's address in a VLAN, with the range that it is in."""

    gateway: IPv4Interface
    vlan: int


@dataclass(frozen=True, slots=True)
class Outside:
    """Who leaves is translated to `address`; `bridge` is the operator's, in the host's own namespace."""

    bridge: str
    address: IPv4Interface
    gateway: IPv4Address


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """By a next hop on the external network."""

    destination: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True, slots=True)
class Router:
    """`dhcp`: NICs are told their address, the gateway and `dns`."""

    legs: tuple[Leg, ...]
    dhcp: bool = False
    dns: tuple[IPv4Address, ...] = ()
    lease_time_s: int = 86400
    outside: Outside | None = None
    routes: tuple[StaticRoute, ...] = ()

    def leg(self, vlan: int) -> Leg | None:
        return next((one for one in self.legs if one.vlan == vlan), None)


@dataclass(frozen=True, slots=True)
class Stack:
    """`vnis` are what the VLANs that span hosts are called on the wire."""

    vpc_id: int
    nics: tuple[Nic, ...] = ()
    vnis: dict[int, int] = field(default_factory=dict)
    router: Router | None = None

    def nic(self, id: str) -> Nic | None:
        return next((one for one in self.nics if one.id == id), None)

    @property
    def vlans(self) -> list[int]:
        legs = self.router.legs if self.router else ()
        return sorted({one.vlan for one in self.nics} | {one.vlan for one in legs})
