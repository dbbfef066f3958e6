"""What an OVN northbound database holds for us, in the words of ovn-nb(5); and nothing that northd derives.

A resource's scope is the network namespace's name of its VPC (`weft-<VNI>`), which starts the names of its rows too;
what belongs to no VPC has the scope of the external network. Every row carries our mark in `external_ids`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.program.resource import Key

Options = tuple[tuple[str, str], ...]
"""A map column, sorted by key."""


@dataclass(frozen=True, slots=True)
class LogicalSwitch:
    """A subnet, or the external network. Load balancers of `load_balancer_group` (empty: none) apply to its ports."""

    rank: ClassVar[int] = 1
    scope: str
    name: str
    other_config: Options = ()
    load_balancer_group: str = ""

    @property
    def key(self) -> Key:
        return ("ovn-switch", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class LogicalRouter:
    """The router of a VPC."""

    rank: ClassVar[int] = 1
    scope: str
    name: str
    options: Options = ()
    load_balancer_group: str = ""

    @property
    def key(self) -> Key:
        return ("ovn-router", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class DhcpOptions:
    """What DHCP tells the ports that name this row; `name` stands in `external_ids`, for the table has no names."""

    rank: ClassVar[int] = 1
    scope: str
    name: str
    cidr: Cidr
    options: Options

    @property
    def key(self) -> Key:
        return ("ovn-dhcp", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class PortGroup:
    """Its members are resources of their own, so that one more is one more element."""

    rank: ClassVar[int] = 1
    scope: str
    name: str

    @property
    def key(self) -> Key:
        return ("ovn-port-group", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class AddressSet:
    rank: ClassVar[int] = 1
    scope: str
    name: str

    @property
    def key(self) -> Key:
        return ("ovn-address-set", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class LoadBalancerGroup:
    rank: ClassVar[int] = 0
    scope: str
    name: str

    @property
    def key(self) -> Key:
        return ("ovn-lb-group", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class Meter:
    """So many packets a second, and no more, are told of whatever names it."""

    rank: ClassVar[int] = 1
    scope: str
    name: str
    per_second: int

    @property
    def key(self) -> Key:
        return ("ovn-meter", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class LogicalRouterPort:
    """`networks` are addresses with prefix lengths, as OVN writes them; `gateway_chassis` by falling priority.

    `peer` is the router port at the other end when two routers are joined without a switch.
    """

    rank: ClassVar[int] = 2
    scope: str
    router: str
    name: str
    mac: Mac
    networks: tuple[str, ...]
    gateway_chassis: tuple[str, ...] = ()
    peer: str = ""
    options: Options = ()

    @property
    def key(self) -> Key:
        return ("ovn-router-port", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class LogicalSwitchPort:
    """A guest's port (`type` empty), a router's leg (`router`) or the way to a physical network (`localnet`).

    `dhcp` names a DhcpOptions of the same scope, or is empty.
    """

    rank: ClassVar[int] = 3
    scope: str
    switch: str
    name: str
    type: str = ""
    addresses: tuple[str, ...] = ()
    port_security: tuple[str, ...] = ()
    options: Options = ()
    dhcp: str = ""

    @property
    def key(self) -> Key:
        return ("ovn-switch-port", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class PortGroupMember:
    rank: ClassVar[int] = 4
    scope: str
    group: str
    port: str

    @property
    def key(self) -> Key:
        return ("ovn-port-group-member", self.scope, self.group, self.port)


@dataclass(frozen=True, slots=True)
class AddressSetMember:
    """An address or a range, as OVN writes it."""

    rank: ClassVar[int] = 4
    scope: str
    set: str
    address: str

    @property
    def key(self) -> Key:
        return ("ovn-address-set-member", self.scope, self.set, self.address)


class AclDirection(Enum):
    FROM_PORT = "from-lport"
    """What the guest sends."""
    TO_PORT = "to-lport"
    """What the guest gets."""


class AclAction(Enum):
    ALLOW_RELATED = "allow-related"
    ALLOW_STATELESS = "allow-stateless"
    ALLOW = "allow"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class AclLog:
    """What a packet is called in the log of the chassis (`program/flow_log.py`), and the Meter that bounds how many."""

    name: str
    meter: str


@dataclass(frozen=True, slots=True)
class Acl:
    """A rule of a port group or a switch (`on`, which starts with the kind: `group <name>` or `switch <name>`).

    `after_load_balancing` (from-lport only): sees addresses as load balancers of the switch have translated them.
    """

    rank: ClassVar[int] = 5
    scope: str
    on: str
    direction: AclDirection
    priority: int
    match: str
    action: AclAction
    after_load_balancing: bool = False
    log: AclLog | None = None

    @property
    def key(self) -> Key:
        stage = self.direction.value + (" after" if self.after_load_balancing else "")
        return ("ovn-acl", self.scope, self.on, stage, str(self.priority), self.match)


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """`next_hop` is an address or `discard`."""

    rank: ClassVar[int] = 6
    scope: str
    router: str
    prefix: Cidr
    next_hop: str
    output_port: str = ""

    @property
    def key(self) -> Key:
        return ("ovn-route", self.scope, self.router, str(self.prefix))


@dataclass(frozen=True, slots=True)
class RouterPolicy:
    """Looked at after routing, before sending: `action` is `allow` or `drop`."""

    rank: ClassVar[int] = 6
    scope: str
    router: str
    priority: int
    match: str
    action: str

    @property
    def key(self) -> Key:
        return ("ovn-router-policy", self.scope, self.router, str(self.priority), self.match)


@dataclass(frozen=True, slots=True)
class Nat:
    """SNAT of what comes from `logical` to `external`."""

    rank: ClassVar[int] = 6
    scope: str
    router: str
    type: str
    external: Address
    logical: Cidr

    @property
    def key(self) -> Key:
        return ("ovn-nat", self.scope, self.router, self.type, str(self.logical))


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """A port forward: `vips` are pairs of `address:port` outside and inside. It applies where its group does."""

    rank: ClassVar[int] = 6
    scope: str
    name: str
    group: str
    protocol: str
    vips: Options
    options: Options = ()

    @property
    def key(self) -> Key:
        return ("ovn-lb", self.scope, self.name)


@dataclass(frozen=True, slots=True)
class StrayRow:
    """A row with our mark that is nothing of the above: a double, or one that we cannot read. No program holds any."""

    rank: ClassVar[int] = 7
    scope: str
    table: str
    uuid: str

    @property
    def key(self) -> Key:
        return ("ovn-stray", self.scope, self.table, self.uuid)


OvnResource = (
    LogicalSwitch
    | LogicalRouter
    | DhcpOptions
    | PortGroup
    | AddressSet
    | LoadBalancerGroup
    | Meter
    | LogicalRouterPort
    | LogicalSwitchPort
    | PortGroupMember
    | AddressSetMember
    | Acl
    | StaticRoute
    | RouterPolicy
    | Nat
    | LoadBalancer
    | StrayRow
)
