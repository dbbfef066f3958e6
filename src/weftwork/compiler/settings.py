"""What a host offers and its operator chose. Probed and read elsewhere; the compiler takes it as given."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from weftwork.base.addresses import Address, Cidr

FilterMode = Literal["bridge", "br_netfilter"]
"""How bridged packets reach the policy: connection tracking in the bridge family, or br_netfilter."""

Layout = Literal["bridges", "vlan"]
"""A bridge per subnet, or one VLAN-filtering bridge per VPC."""

EXTERNAL_SCOPE = "weft-ext"
EXTERNAL_BRIDGE = "ext0"


@dataclass(frozen=True, slots=True)
class ExternalNetwork:
    """The network that NAT reaches: a bridge of ours, or one of the operator's in the host's own namespace."""

    cidrs: tuple[Cidr, ...]
    gateway: Address
    scope: str = EXTERNAL_SCOPE
    """`weft-ext`, or empty for the host's own namespace, where the bridge is the operator's."""
    bridge: str = EXTERNAL_BRIDGE


@dataclass(frozen=True, slots=True)
class Routing:
    """BGP EVPN on this host: `peers` are its neighbours, `clients` those of them that it reflects to."""

    asn: int
    peers: frozenset[IPv4Address]
    clients: frozenset[IPv4Address] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayPair:
    """The gateways of a fleet, by their underlay addresses: the first is active unless another one is. Which one it is,
    has `address` in the underlay. `secret` is theirs alone."""

    address: IPv4Address
    seats: tuple[IPv4Address, ...] = ()
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HostProfile:
    """`mtu_bytes` is what guests may send; `external` is None where there is no NAT.

    `has_bridge_netfilter` and `has_ipv6`: the kernel has these sysctls, so they must be set. `underlay` is the address
    that other hosts send to; None for a machine alone. `routing` is None where the program alone says where ports are.
    `gateways` is where the fleet's hosts send what leaves a VPC; None without any.
    """

    filter_mode: FilterMode = "br_netfilter"
    layout: Layout = "bridges"
    mtu_bytes: int = 1500
    external: ExternalNetwork | None = None
    has_bridge_netfilter: bool = True
    has_ipv6: bool = True
    underlay: IPv4Address | None = None
    routing: Routing | None = None
    gateways: GatewayPair | None = None

    @property
    def gateway(self) -> IPv4Address | None:
        """Where the active one is."""
        return self.gateways.address if self.gateways else None

    @property
    def is_gateway(self) -> bool:
        """One of the fleet's: it carries translations, and no guests."""
        return bool(self.underlay and self.external)

    def __post_init__(self) -> None:
        """ValueError for a choice that would let packets pass unseen."""
        if self.filter_mode == "br_netfilter" and not self.has_bridge_netfilter:
            raise ValueError("filter_mode br_netfilter needs br_netfilter in the kernel")
        if self.layout == "vlan" and self.filter_mode != "bridge":
            # br_netfilter leaves tagged frames alone, and in this layout all forwarded frames are.
            raise ValueError("layout vlan needs filter_mode bridge")


@dataclass(frozen=True, slots=True)
class OvnProfile:
    """`gateway_chassis` carry what comes from and goes to the external network, by falling priority.

    `physical_network` is what the chassis call that network in `ovn-bridge-mappings`.
    """

    mtu_bytes: int = 1442
    external: ExternalNetwork | None = None
    gateway_chassis: tuple[str, ...] = ()
    physical_network: str = "weft-ext"
    has_chassis: bool = True
    """Whether devices of ports are plugged in by whoever writes the rows."""
