"""The rows of a northbound, indexed as a packet meets them, and changed at the cost of the change."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import TypeVar

from weftwork.program.chassis import ChassisPort
from weftwork.program.ovn import (
    Acl,
    AclAction,
    AclDirection,
    AddressSet,
    AddressSetMember,
    DhcpOptions,
    LoadBalancer,
    LoadBalancerGroup,
    LogicalRouter,
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    Meter,
    Nat,
    PortGroup,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.acls import Acls
from weftwork.verifier.ovn.expressions import NotUnderstood, parse
from weftwork.verifier.ovn.packet import TCP, UDP, Packet

_M = TypeVar("_M")
_N = TypeVar("_N", LogicalSwitch, LogicalRouter, LogicalRouterPort, LogicalSwitchPort, DhcpOptions)
_PROTOCOLS = {"tcp": TCP, "udp": UDP}
_IPV4_OF = "_ip4"
"""How northd calls the IPv4 addresses of a port group's ports."""

LoadBalancers = tuple[str, str]
"""A group of them: its scope and name."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a route leads: to a router port and a next hop (None: the destination), or nowhere."""

    network: IPv4Network
    port: str
    hop: int | None


class Rows:
    def __init__(self, program: Iterable[Resource] = ()) -> None:
        self.switches: dict[str, LogicalSwitch] = {}
        self.routers: dict[str, LogicalRouter] = {}
        self.router_ports: dict[str, LogicalRouterPort] = {}
        self.switch_ports: dict[str, LogicalSwitchPort] = {}
        self.dhcp: dict[str, DhcpOptions] = {}
        self.nats: defaultdict[str, set[Nat]] = defaultdict(set)
        self.policies: defaultdict[str, set[RouterPolicy]] = defaultdict(set)
        self.statics: defaultdict[str, set[StaticRoute]] = defaultdict(set)
        self.balancers: defaultdict[LoadBalancers, set[LoadBalancer]] = defaultdict(set)
        self.balancer_groups: set[LoadBalancers] = set()
        self.plugs: defaultdict[str, set[ChassisPort]] = defaultdict(set)
        """The chassis' devices, by the port that they are plugged in for."""
        self.port_groups: set[str] = set()
        self.acls = Acls()
        self.ports_of: defaultdict[str, dict[str, LogicalSwitchPort]] = defaultdict(dict)
        self._ways_on: defaultdict[str, dict[str, LogicalSwitchPort]] = defaultdict(dict)
        self._localnets: defaultdict[str, set[str]] = defaultdict(set)
        self._guests: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        self._holders: defaultdict[int, set[str]] = defaultdict(set)
        self._legs: dict[str, LogicalSwitchPort] = {}
        self._legs_of: defaultdict[str, dict[str, LogicalRouterPort]] = defaultdict(dict)
        self._routers_of: defaultdict[str, set[str]] = defaultdict(set)
        self._balanced: defaultdict[LoadBalancers, set[str]] = defaultdict(set)
        self._answering: defaultdict[int, set[object]] = defaultdict(set)
        self._sets: defaultdict[str, set[IPv4Network]] = defaultdict(set)
        self._forwards: defaultdict[LoadBalancers, dict[tuple[int, int, int], tuple[int, int]]] = defaultdict(dict)
        self._ways: dict[str, tuple[Way, ...]] = {}
        self.apply(added=program)

    def apply(self, *, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> None:
        """What is removed goes first: a row that changes is in both. What is not understood changes nothing."""
        gone, done = list(removed), list[Resource]()
        for resource in gone:
            self._put(resource, present=False)
        try:
            for resource in added:
                self._put(resource, present=True)
                done.append(resource)
        except NotUnderstood:
            for resource in done:
                self._put(resource, present=False)
            for resource in gone:
                self._put(resource, present=True)
            raise

    @contextmanager
    def changed(self, *, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> Iterator[None]:
        """As they would be, for a while."""
        added, removed = tuple(added), tuple(removed)
        self.apply(added=added, removed=removed)
        try:
            yield
        finally:
            self.apply(added=removed, removed=added)

    # --- what expressions ask ------------------------------------------------------------------------------------

    def has_port(self, group: str, port: str) -> bool:
        return port in self.acls.members.get(group, ())

    def has_address(self, name: str, address: int) -> bool:
        members = self.acls.members.get(name.removesuffix(_IPV4_OF), ())
        return any(one in members for one in self._holders.get(address, ())) or any(
            int(one.network_address) <= address <= int(one.broadcast_address) for one in self._sets.get(name, ())
        )

    def ranges_in(self, name: str) -> set[IPv4Network]:
        """What an address set holds beside the ports of a group."""
        return self._sets.get(name, set())

    # --- what a packet meets -------------------------------------------------------------------------------------

    def is_stateful(self, switch: str) -> bool:
        return self.acls.is_stateful(switch)

    def allows(self, switch: str, direction: AclDirection, packet: Packet, *, after: bool = False) -> bool:
        """The verdict of the rule with the highest priority that matches; without one, a switch lets pass."""
        acl = self.acls.decides(switch, (direction, after), packet, self)
        return acl is None or acl.action is not AclAction.DROP

    def forward(self, scope: str, group: str, packet: Packet) -> tuple[int, int] | None:
        """Where a load balancer of the group leads."""
        vips = self._forwards.get((scope, group), {})
        return vips.get((packet.destination, packet.protocol, packet.destination_port))

    def outer_ends(self, scope: str, group: str, protocol: int, inner: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Addresses and ports from which a load balancer of the group leads there."""
        for (address, of, port), there in self._forwards.get((scope, group), {}).items():
            if of == protocol and there == inner:
                yield address, port

    def leg(self, port: LogicalSwitchPort) -> LogicalRouterPort | None:
        """The router's port at the other end of a switch's."""
        return self.router_ports.get(_router_port(port))

    def switch_port(self, leg: LogicalRouterPort) -> LogicalSwitchPort | None:
        return self._legs.get(leg.name)

    def way_on(self, switch: str) -> LogicalSwitchPort | None:
        """The switch's port to a router."""
        return next(iter(self._ways_on[switch].values()), None)

    def ways_outside(self) -> list[LogicalSwitchPort]:
        """The ports to routers on switches that lead to a physical network."""
        switches = [one for one, localnets in self._localnets.items() if localnets]
        return [port for switch in switches for port in self._ways_on[switch].values()]

    def ways_to(self, switch: str, address: int) -> list[LogicalSwitchPort]:
        """The switch's ports to routers that answer for an address."""
        legs = (leg for router in self.answering(address) for leg in self.legs_of(router))
        ways = (self.switch_port(leg) for leg in legs)
        return [one for one in ways if one is not None and one.switch == switch]

    def ways_outside_to(self, address: int) -> list[LogicalSwitchPort]:
        return [
            one for switch, localnets in self._localnets.items() if localnets for one in self.ways_to(switch, address)
        ]

    def is_outside(self, switch: str) -> bool:
        return bool(self._localnets.get(switch))

    def guest_on(self, switch: str, address: int) -> LogicalSwitchPort | None:
        found = min(self._guests.get((switch, address), ()), default=None)
        return self.switch_ports[found] if found else None

    def guests_with(self, address: int) -> list[LogicalSwitchPort]:
        """All guests' ports with the address, in any VPC."""
        return [self.switch_ports[one] for one in sorted(self._holders.get(address, ()))]

    def legs_of(self, router: str) -> Iterable[LogicalRouterPort]:
        return self._legs_of[router].values()

    def routers_of(self, scope: str) -> list[LogicalRouter]:
        return [self.routers[one] for one in sorted(self._routers_of[scope])]

    def answering(self, address: int) -> set[str]:
        """The routers that answer ARP for an address outside."""
        found: set[str] = set()
        for one in self._answering.get(address, ()):
            match one:
                case LogicalRouterPort() | Nat():
                    found.add(one.router)
                case LoadBalancer():
                    found |= self._balanced.get((one.scope, one.group), set())
        return found & self.routers.keys()

    def owns(self, router: str, address: int) -> bool:
        return router in self.answering(address)

    def way(self, router: str, destination: int) -> Way | None:
        for way in self._ways_of(router):
            if int(way.network.network_address) <= destination <= int(way.network.broadcast_address):
                return way
        return None

    # --- how rows come and go --------------------------------------------------------------------------------------

    def _put(self, resource: Resource, *, present: bool) -> None:
        match resource:
            case LogicalSwitch():
                _named(self.switches, resource, present)
            case LogicalRouter():
                _named(self.routers, resource, present)
                _mark(self._routers_of[resource.scope], resource.name, present)
                _mark(self._balanced[resource.scope, resource.load_balancer_group], resource.name, present)
            case LogicalRouterPort():
                _named(self.router_ports, resource, present)
                _named(self._legs_of[resource.router], resource, present)
                for network in resource.networks:
                    _mark(self._answering[_number(network)], resource, present)
                self._ways.pop(resource.router, None)
            case LogicalSwitchPort():
                self._put_port(resource, present=present)
            case Acl():
                (self.acls.put if present else self.acls.drop)(resource)
            case StaticRoute():
                _mark(self.statics[resource.router], resource, present)
                self._ways.pop(resource.router, None)
            case RouterPolicy():
                parse(resource.match)
                _mark(self.policies[resource.router], resource, present)
            case Nat(type="snat"):
                _mark(self.nats[resource.router], resource, present)
                _mark(self._answering[int(resource.external)], resource, present)
            case LoadBalancer():
                self._put_forward(resource, present=present)
            case PortGroupMember():
                (self.acls.join if present else self.acls.leave)(resource)
            case AddressSetMember():
                _mark(self._sets[resource.set], IPv4Network(resource.address), present)
            case DhcpOptions():
                _named(self.dhcp, resource, present)
            case ChassisPort():
                _mark(self.plugs[resource.iface_id], resource, present)
            case PortGroup():
                _mark(self.port_groups, resource.name, present)
            case LoadBalancerGroup():
                _mark(self.balancer_groups, (resource.scope, resource.name), present)
            case AddressSet() | Meter():
                pass
            case _ if type(resource).__module__ == LogicalSwitch.__module__:
                raise NotUnderstood(f"row {resource}")
            case _:
                pass  # what the machine under an OVN of our own holds

    def _put_port(self, port: LogicalSwitchPort, *, present: bool) -> None:
        _named(self.switch_ports, port, present)
        _named(self.ports_of[port.switch], port, present)
        if present:
            self.acls.plug(port.name, port.switch)
        else:
            self.acls.unplug(port.name)
        if port.type == "router":
            _named(self._ways_on[port.switch], port, present)
        elif port.type == "localnet":
            _mark(self._localnets[port.switch], port.name, present)
        elif not port.type and (address := address_of(port)) is not None:
            _mark(self._guests[port.switch, address], port.name, present)
            _mark(self._holders[address], port.name, present)
        if leg := _router_port(port):
            if present:
                self._legs[leg] = port
            else:
                self._legs.pop(leg, None)

    def _put_forward(self, balancer: LoadBalancer, *, present: bool) -> None:
        group = (balancer.scope, balancer.group)
        _mark(self.balancers[group], balancer, present)
        for outer, inner in balancer.vips:
            (address, port), (inside, inner_port) = outer.split(":"), inner.split(":")
            key = (_number(address), _PROTOCOLS[balancer.protocol], int(port))
            if present:
                self._forwards[group][key] = (_number(inside), int(inner_port))
            else:
                self._forwards[group].pop(key, None)
            _mark(self._answering[_number(address)], balancer, present)

    def _ways_of(self, router: str) -> tuple[Way, ...]:
        known = self._ways.get(router)
        if known is None:
            connected = [
                Way(IPv4Interface(net).network, leg.name, None) for leg in self.legs_of(router) for net in leg.networks
            ]
            routed = [
                Way(one.prefix, one.output_port, None if one.next_hop == "discard" else _number(one.next_hop))
                for one in self.statics[router]
                if isinstance(one.prefix, IPv4Network)
            ]
            known = self._ways[router] = tuple(sorted(connected + routed, key=lambda way: -way.network.prefixlen))
        return known


def address_of(port: LogicalSwitchPort) -> int | None:
    """A guest's address, as its row has it: `MAC address`."""
    for words in (one.split() for one in port.addresses):
        if len(words) > 1:
            return _number(words[1])
    return None


def _router_port(port: LogicalSwitchPort) -> str:
    return dict(port.options).get("router-port", "")


def _named(index: dict[str, _N], row: _N, present: bool) -> None:
    if present:
        index[row.name] = row
    else:
        index.pop(row.name, None)


def _mark(members: set[_M], member: _M, present: bool) -> None:
    if present:
        members.add(member)
    else:
        members.discard(member)


def _number(text: str) -> int:
    return int(IPv4Interface(text).ip)
