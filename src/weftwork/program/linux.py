"""What a Linux host holds for us: namespaces, links, addresses, and nftables objects.

Every resource lives in one network namespace, its `scope`. Names of links never exceed 15 bytes.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import ClassVar

from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.program.resource import Key


@dataclass(frozen=True, slots=True)
class Namespace:
    """A named network namespace. `owner` is written into it as our mark."""

    rank: ClassVar[int] = 0
    scope: str
    owner: str

    @property
    def key(self) -> Key:
        return ("namespace", self.scope)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A value below /proc/sys/net of the namespace; `name` is the path with slashes: `net/ipv4/ip_forward`."""

    rank: ClassVar[int] = 1
    scope: str
    name: str
    value: str

    @property
    def key(self) -> Key:
        return ("sysctl", self.scope, self.name)


class Family(Enum):
    """nftables families we use (nft(8), ADDRESS FAMILIES)."""

    BRIDGE = "bridge"
    INET = "inet"


GUARD_REASONS = (
    "spoofed_mac",
    "spoofed_ip",
    "spoofed_arp",
    "rogue_dhcp",
    "rogue_ra",
    "vlan_tag",
    "tunnel",
    "ipv6",
    "ethertype",
    "dhcp_rate",
    "misdirected",
    "past_policy",
)
"""Why a VPC's bridge table drops a frame: the names of its counters.

Its dynamic set `dropped` counts per port: by device name and the reason's place here, from 1.
"""


@dataclass(frozen=True, slots=True)
class NftTable:
    """A table of ours; its name, `weftwork`, is our mark."""

    rank: ClassVar[int] = 2
    scope: str
    family: Family

    @property
    def key(self) -> Key:
        return ("nft-table", self.scope, self.family.value)


@dataclass(frozen=True, slots=True)
class NftSet:
    """A set, or a map when `data` is not empty. `type`, `data` and `flags` in nft(8)'s words.

    The elements of a set with the flag `dynamic` are made by packets: they are telemetry, never resources. `size` is
    how many elements there may be at most, 0 for any number: the kernel is faster where it knows them to be few.
    """

    rank: ClassVar[int] = 3
    scope: str
    family: Family
    name: str
    type: str
    data: str = ""
    flags: tuple[str, ...] = ()
    size: int = 0

    @property
    def key(self) -> Key:
        return ("nft-set", self.scope, self.family.value, self.name)


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain with all its rules in order; `hook` is empty or `type … hook … priority …; policy …;`.

    The named counters its rules speak of stand and fall with it; what they counted is telemetry.
    """

    rank: ClassVar[int] = 4
    scope: str
    family: Family
    name: str
    hook: str
    rules: tuple[str, ...]

    @property
    def key(self) -> Key:
        return ("nft-chain", self.scope, self.family.value, self.name)


@dataclass(frozen=True, slots=True)
class NftElement:
    """An element of a set or map; `value` is empty in a set. Both as nft prints them, numerically."""

    rank: ClassVar[int] = 5
    scope: str
    family: Family
    set: str
    element: str
    value: str = ""

    @property
    def key(self) -> Key:
        return ("nft-element", self.scope, self.family.value, self.set, self.element)


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge without STP, snooping or address generation. It drops what it does not know."""

    rank: ClassVar[int] = 6
    scope: str
    name: str
    mac: Mac
    mtu_bytes: int
    vlan_filtering: bool = False

    @property
    def key(self) -> Key:
        return ("link", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class VlanInterface:
    """An 802.1Q interface over a bridge: the router's leg in one subnet of the VLAN layout."""

    rank: ClassVar[int] = 7
    scope: str
    name: str
    bridge: str
    vlan: int
    mac: Mac
    mtu_bytes: int

    @property
    def key(self) -> Key:
        return ("link", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class Uplink:
    """A veth from the namespace to the external bridge: `peer` is its other end, in `peer_scope`, under `peer_bridge`.

    An empty `peer_scope` is the host's own namespace.
    """

    rank: ClassVar[int] = 8
    scope: str
    name: str
    mac: Mac
    mtu_bytes: int
    peer: str
    peer_scope: str
    peer_bridge: str

    @property
    def key(self) -> Key:
        return ("link", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class Vtep:
    """A VXLAN device under a bridge, its socket in the host's own namespace: the way to the same subnet on other hosts.

    It learns nothing and floods nothing. What it answers for other hosts' ports (ARP) and where it sends follows from
    `RemoteEntry` and `Neighbour` alone. `vlan` is the subnet's inside a bridge that filters VLANs, else 0; on the wire
    frames have no tag.
    Without a bridge it is a router's interface itself.
    """

    rank: ClassVar[int] = 8
    scope: str
    name: str
    bridge: str
    vni: int
    local: IPv4Address
    mac: Mac
    mtu_bytes: int
    vlan: int = 0

    @property
    def key(self) -> Key:
        return ("link", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address on an interface, with its prefix length."""

    rank: ClassVar[int] = 9
    scope: str
    interface: str
    address: Address
    prefix_length: int

    @property
    def key(self) -> Key:
        return ("address", self.scope, self.interface, f"{self.address}/{self.prefix_length}")


@dataclass(frozen=True, slots=True)
class Route:
    """A route by our routing protocol number; `gateway` may be off-link (onlink is set), None is on the link itself."""

    rank: ClassVar[int] = 10
    scope: str
    destination: Cidr
    gateway: Address | None
    interface: str

    @property
    def key(self) -> Key:
        return ("route", self.scope, str(self.destination))


class LinkKind(Enum):
    TAP = "tap"
    VETH = "veth"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class PortLink:
    """A guest's device under a bridge: learning and unknown-unicast flooding off, its MAC a static FDB entry.

    VETH: the far end is put into `peer_netns` as `peer_name`, with the guest's MAC and MTU. ADOPTED: the host's own
    link `peer_name` is taken in under our name, and given back when it goes. `vlan` is 0 in the
    layout of one bridge per subnet, else the port's untagged VLAN.
    """

    rank: ClassVar[int] = 11
    scope: str
    name: str
    kind: LinkKind
    bridge: str
    mac: Mac
    mtu_bytes: int
    vlan: int = 0
    peer_netns: str = ""
    peer_name: str = ""

    @property
    def key(self) -> Key:
        return ("link", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry: the router never asks, so nobody can answer falsely.

    `yields`: what a routing daemon wrote in its place stands.
    """

    rank: ClassVar[int] = 12
    scope: str
    interface: str
    address: Address
    mac: Mac
    yields: bool = False

    @property
    def key(self) -> Key:
        return ("neighbour", self.scope, self.interface, str(self.address))


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A MAC on another host: in the bridge's forwarding table behind the VTEP `interface`, and in the VTEP's own
    towards the host at `host`. `bridged` is false behind a VTEP without a bridge.

    `yields`: what a routing daemon wrote in its place stands, wherever it leads. Where it wrote nothing, this stands.
    """

    rank: ClassVar[int] = 11
    scope: str
    interface: str
    mac: Mac
    host: IPv4Address
    vlan: int = 0
    """As the VTEP's."""
    yields: bool = False
    bridged: bool = True

    @property
    def key(self) -> Key:
        return ("remote-entry", self.scope, self.interface, self.mac)


LinuxResource = (
    Namespace
    | Sysctl
    | NftTable
    | NftSet
    | NftChain
    | NftElement
    | Bridge
    | VlanInterface
    | Uplink
    | Vtep
    | InterfaceAddress
    | Route
    | PortLink
    | RemoteEntry
    | Neighbour
)
