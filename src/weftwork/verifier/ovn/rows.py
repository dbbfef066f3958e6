"""The rows of a northbound, indexed as a packet meets them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

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
    Nat,
    PortGroup,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.expressions import NotUnderstood, parse
from weftwork.verifier.ovn.packet import TCP, UDP, Packet

_PROTOCOLS = {"tcp": TCP, "udp": UDP}
_IPV4_OF = "_ip4"
"""How northd calls the IPv4 addresses of a port group's ports."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a route leads: to a router port and a next hop (None: the destination), or nowhere."""

    network: IPv4Network
    port: str
    hop: int | None


class Rows:
    def __init__(self, program: Iterable[Resource]) -> None:
        self.switches: dict[str, LogicalSwitch] = {}
        self.routers: dict[str, LogicalRouter] = {}
        self.router_ports: dict[str, LogicalRouterPort] = {}
        self.switch_ports: dict[str, LogicalSwitchPort] = {}
        self.nats: defaultdict[str, list[Nat]] = defaultdict(list)
        self.policies: defaultdict[str, list[RouterPolicy]] = defaultdict(list)
        self._acls: list[Acl] = []
        self._statics: list[StaticRoute] = []
        self._groups: defaultdict[str, set[str]] = defaultdict(set)
        self._sets: defaultdict[str, set[IPv4Network]] = defaultdict(set)
        self._forwards: dict[tuple[str, str], dict[tuple[int, int, int], tuple[int, int]]] = defaultdict(dict)
        for resource in program:
            self._put(resource)
        self.ports_of: defaultdict[str, list[LogicalSwitchPort]] = defaultdict(list)
        for port in self.switch_ports.values():
            self.ports_of[port.switch].append(port)
        self._legs = {dict(one.options).get("router-port", ""): one for one in self.switch_ports.values()}
        self._by_switch = {name: self._acls_of(name) for name in self.switches}
        self.is_stateful = {
            name: any(one.action is AclAction.ALLOW_RELATED for one in acls) for name, acls in self._by_switch.items()
        }
        self._ways = {name: self._ways_of(name) for name in self.routers}

    # --- what expressions ask ------------------------------------------------------------------------------------

    def has_port(self, group: str, port: str) -> bool:
        return port in self._groups.get(group, ())

    def has_address(self, name: str, address: int) -> bool:
        group = name.removesuffix(_IPV4_OF)
        ports = (self.switch_ports[one] for one in self._groups.get(group, ()) if one in self.switch_ports)
        return any(address == address_of(port) for port in ports) or any(
            int(one.network_address) <= address <= int(one.broadcast_address) for one in self._sets.get(name, ())
        )

    # --- what a packet meets -------------------------------------------------------------------------------------

    def allows(self, switch: str, direction: AclDirection, packet: Packet, *, after: bool = False) -> bool:
        """The verdict of the rule with the highest priority that matches; without one, a switch lets pass."""
        for acl in self._by_switch[switch]:
            if acl.direction is direction and acl.after_load_balancing is after and parse(acl.match)(packet, self):
                return acl.action is not AclAction.DROP
        return True

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
        return self.router_ports.get(dict(port.options).get("router-port", ""))

    def switch_port(self, leg: LogicalRouterPort) -> LogicalSwitchPort | None:
        return self._legs.get(leg.name)

    def legs_of(self, router: str) -> list[LogicalRouterPort]:
        return [one for one in self.router_ports.values() if one.router == router]

    def owns(self, router: str, address: int) -> bool:
        """Does the router answer ARP for an address outside?"""
        scope = self.routers[router].scope
        group = self.routers[router].load_balancer_group
        return (
            any(int(IPv4Interface(net).ip) == address for leg in self.legs_of(router) for net in leg.networks)
            or any(int(one.external) == address for one in self.nats.get(router, ()))
            or any(vip[0] == address for vip in self._forwards.get((scope, group), ()))
        )

    def way(self, router: str, destination: int) -> Way | None:
        for way in self._ways[router]:
            if int(way.network.network_address) <= destination <= int(way.network.broadcast_address):
                return way
        return None

    def _put(self, resource: Resource) -> None:
        match resource:
            case LogicalSwitch():
                self.switches[resource.name] = resource
            case LogicalRouter():
                self.routers[resource.name] = resource
            case LogicalRouterPort():
                self.router_ports[resource.name] = resource
            case LogicalSwitchPort():
                self.switch_ports[resource.name] = resource
            case Acl():
                parse(resource.match)
                self._acls.append(resource)
            case StaticRoute():
                self._statics.append(resource)
            case RouterPolicy():
                parse(resource.match)
                self.policies[resource.router].append(resource)
            case Nat(type="snat"):
                self.nats[resource.router].append(resource)
            case LoadBalancer():
                self._forward(resource)
            case PortGroupMember():
                self._groups[resource.group].add(resource.port)
            case AddressSetMember():
                self._sets[resource.set].add(IPv4Network(resource.address))
            case PortGroup() | AddressSet() | LoadBalancerGroup() | DhcpOptions():
                pass
            case _ if type(resource).__module__ == LogicalSwitch.__module__:
                raise NotUnderstood(f"row {resource}")
            case _:
                pass  # the chassis' devices

    def _forward(self, balancer: LoadBalancer) -> None:
        for outer, inner in balancer.vips:
            (address, port), (inside, inner_port) = outer.split(":"), inner.split(":")
            key = (_number(address), _PROTOCOLS[balancer.protocol], int(port))
            self._forwards[balancer.scope, balancer.group][key] = (_number(inside), int(inner_port))

    def _acls_of(self, switch: str) -> list[Acl]:
        ports = {port.name for port in self.ports_of[switch]}
        groups = {name for name, members in self._groups.items() if members & ports}
        found = []
        for acl in self._acls:
            kind, _, name = acl.on.partition(" ")
            if (kind == "switch" and name == switch) or (kind == "group" and name in groups):
                found.append(acl)
        # Of equal priority, which is first is not defined: the one that drops, so that it matters.
        return sorted(found, key=lambda one: (-one.priority, one.action is not AclAction.DROP))

    def _ways_of(self, router: str) -> list[Way]:
        connected = [
            Way(IPv4Interface(net).network, leg.name, None) for leg in self.legs_of(router) for net in leg.networks
        ]
        routed = [
            Way(one.prefix, one.output_port, None if one.next_hop == "discard" else _number(one.next_hop))
            for one in self._statics
            if one.router == router and isinstance(one.prefix, IPv4Network)
        ]
        return sorted(connected + routed, key=lambda way: -way.network.prefixlen)


def address_of(port: LogicalSwitchPort) -> int | None:
    """A guest's address, as its row has it: `MAC address`."""
    for words in (one.split() for one in port.addresses):
        if len(words) > 1:
            return _number(words[1])
    return None


def _number(text: str) -> int:
    return int(IPv4Interface(text).ip)
