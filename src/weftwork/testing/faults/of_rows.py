"""Ports, members, switches, routers, translations and DHCP of OVN that are gone, wrong or foreign."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

from weftwork.program.chassis import ChassisPort
from weftwork.program.ovn import (
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
from weftwork.testing.faults.fault import STRANGE_MAC, STRANGER, Change, one_of

Draw = Callable[[Random, list[Resource]], Change | None]


def gone(kind: type, test: Callable[[Any], bool] = lambda _: True) -> Draw:
    def draw(random: Random, ordered: list[Resource]) -> Change | None:
        row = one_of(random, ordered, kind, test)
        return (row, None) if row else None

    return draw


def altered(kind: type, alter: Callable[[Random, list[Resource], Any], Any]) -> Draw:
    """Another row in its place."""

    def draw(random: Random, ordered: list[Resource]) -> Change | None:
        rows = [one for one in ordered if isinstance(one, kind)]
        random.shuffle(rows)
        for row in rows:
            new = alter(random, ordered, row)
            if new is not None and new != row and not any(one.key == new.key for one in rows if one is not row):
                return row, new
        return None

    return draw


def added(kind: type, alter: Callable[[Random, list[Resource], Any], Any]) -> Draw:
    """Another row beside it."""

    def draw(random: Random, ordered: list[Resource]) -> Change | None:
        found = altered(kind, alter)(random, ordered)
        return (None, found[1]) if found and found[0] and found[1] and found[0].key != found[1].key else None

    return draw


def is_guest(port: LogicalSwitchPort) -> bool:
    return not port.type


def is_way(port: LogicalSwitchPort) -> bool:
    return port.type == "router"


# --- guests -------------------------------------------------------------------------------------------------


def on_another_switch(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    others = [one.name for one in ordered if isinstance(one, LogicalSwitch) and one.scope == port.scope]
    return replace(port, switch=random.choice(others)) if is_guest(port) else None


def on_anothers_switch(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    others = [one.name for one in ordered if isinstance(one, LogicalSwitch) and one.scope != port.scope]
    return replace(port, switch=random.choice(others)) if is_guest(port) and others else None


def secured_otherwise(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    mac = (*port.port_security, "").__getitem__(0).partition(" ")[0]
    return replace(port, port_security=random.choice(((), (f"{mac} {STRANGER}",), (mac,)))) if is_guest(port) else None


def addressed_otherwise(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    mac, _, address = (*port.addresses, "").__getitem__(0).partition(" ")
    wrong = ((f"{STRANGE_MAC} {address}",), (f"{mac} 10.0.1.63",), ("unknown",))
    return replace(port, addresses=random.choice(wrong)) if is_guest(port) else None


def with_other_dhcp(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    others = sorted({one.name for one in ordered if isinstance(one, DhcpOptions)} | {""})
    return replace(port, dhcp=random.choice(others)) if is_guest(port) else None


def member_of_another(random: Random, ordered: list[Resource], member: PortGroupMember) -> Any:
    groups = [one.name for one in ordered if isinstance(one, PortGroup) and one.scope == member.scope]
    return replace(member, group=random.choice(groups)) if groups else None


def member_of_anothers(random: Random, ordered: list[Resource], member: PortGroupMember) -> Any:
    """In a group of another tenant's."""
    groups = [one.name for one in ordered if isinstance(one, PortGroup) and one.scope != member.scope]
    return replace(member, group=random.choice(groups)) if groups else None


def plugged_for_another(random: Random, ordered: list[Resource], plug: ChassisPort) -> Any:
    ports = [one.name for one in ordered if isinstance(one, LogicalSwitchPort) and is_guest(one)]
    return replace(plug, iface_id=random.choice(ports))


def plugged_elsewhere(random: Random, ordered: list[Resource], plug: ChassisPort) -> Any:
    return replace(plug, peer_netns="another", peer_name="eth7")


# --- switches and routers -----------------------------------------------------------------------------------


def way_to_another(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    """The switch's port to its router leads to another leg."""
    legs = [one.name for one in ordered if isinstance(one, LogicalRouterPort)]
    if not is_way(port):
        return None
    leg = random.choice(legs)
    return replace(port, options=tuple((key, leg if key == "router-port" else value) for key, value in port.options))


def physical_way(random: Random, ordered: list[Resource], port: LogicalSwitchPort) -> Any:
    if not is_guest(port):
        return None
    options = (("network_name", "physical"),)
    return LogicalSwitchPort(port.scope, port.switch, f"{port.scope}.strange", "localnet", ("unknown",), (), options)


def leg_of_another(random: Random, ordered: list[Resource], leg: LogicalRouterPort) -> Any:
    others = [one.name for one in ordered if isinstance(one, LogicalRouter) and one.name != leg.router]
    return replace(leg, router=random.choice(others)) if others else None


def leg_with_other_range(random: Random, ordered: list[Resource], leg: LogicalRouterPort) -> Any:
    address, _, length = leg.networks[0].partition("/")
    return replace(leg, networks=(f"{address}/{int(length) - 1}",)) if not leg.gateway_chassis else None


def leg_with_anothers_address(random: Random, ordered: list[Resource], leg: LogicalRouterPort) -> Any:
    if not leg.gateway_chassis:
        return None
    address = random.choice([f"198.51.100.{octet}" for octet in range(10, 14)])
    return replace(leg, networks=(f"{address}/{leg.networks[0].partition('/')[2]}",))


def leg_to_another_peer(random: Random, ordered: list[Resource], leg: LogicalRouterPort) -> Any:
    others = [one.name for one in ordered if isinstance(one, LogicalRouterPort) and one.peer and one.scope != leg.scope]
    return replace(leg, peer=random.choice(others)) if others and leg.peer else None


def leg_to_a_stranger(random: Random, ordered: list[Resource], leg: LogicalRouterPort) -> Any:
    """A new leg, towards the router of a VPC that nobody peered with."""
    others = [one.scope for one in ordered if isinstance(one, LogicalRouter) and one.scope != leg.scope]
    if not others:
        return None
    other = random.choice(others)
    name, peer = f"{leg.scope}.peer.{other.removeprefix('weft-')}", f"{other}.peer.{leg.scope.removeprefix('weft-')}"
    if any(isinstance(one, LogicalRouterPort) and one.name in (name, peer) for one in ordered):
        return None
    return LogicalRouterPort(leg.scope, leg.scope, name, leg.mac, ("10.0.0.0/32",), peer=peer)


def balanced_by_another(random: Random, ordered: list[Resource], row: Any) -> Any:
    return replace(row, load_balancer_group="") if row.load_balancer_group else None


# --- translations and routes --------------------------------------------------------------------------------


def nat_from_another(random: Random, ordered: list[Resource], nat: Nat) -> Any:
    return replace(nat, external=IPv4Address(f"198.51.100.{random.randint(10, 14)}"))


def nat_of_less(random: Random, ordered: list[Resource], nat: Nat) -> Any:
    return replace(nat, logical=next(IPv4Network(str(nat.logical)).subnets()))


def leads_elsewhere(random: Random, ordered: list[Resource], balancer: LoadBalancer) -> Any:
    (outer, inner), *rest = balancer.vips
    address, port = inner.split(":")
    wrong = random.choice((f"{address}:{(int(port) + 1) % 65536}", f"10.0.1.63:{port}", f"10.0.2.2:{port}"))
    return replace(balancer, vips=((outer, wrong), *rest))


def forwards_anothers(random: Random, ordered: list[Resource], balancer: LoadBalancer) -> Any:
    (outer, inner), *rest = balancer.vips
    address, port = outer.split(":")
    wrong = IPv4Address(int(IPv4Address(address)) ^ random.choice((1, 6)))
    return replace(balancer, vips=((f"{wrong}:{port}", inner), *rest))


def in_another_group(random: Random, ordered: list[Resource], balancer: LoadBalancer) -> Any:
    return replace(balancer, group="others")


def route_elsewhere(random: Random, ordered: list[Resource], route: StaticRoute) -> Any:
    legs = [one.name for one in ordered if isinstance(one, LogicalRouterPort) and one.router == route.router]
    return random.choice(
        (
            replace(route, next_hop="198.51.100.99"),
            *(replace(route, output_port=leg, next_hop=STRANGER) for leg in legs),
        )
    )


def foreign_route(random: Random, ordered: list[Resource], route: StaticRoute) -> Any:
    prefix = IPv4Network(random.choice(("10.0.1.64/32", "10.0.2.0/25", "10.9.0.0/16")))
    return replace(route, prefix=prefix)


def policy_allows(random: Random, ordered: list[Resource], policy: RouterPolicy) -> Any:
    return replace(policy, action="allow")


def dhcp_says_otherwise(random: Random, ordered: list[Resource], dhcp: DhcpOptions) -> Any:
    name = random.choice(("router", "server_id", "lease_time"))
    options = tuple(
        (key, STRANGER if key == name and name != "lease_time" else "77" if key == name else value)
        for key, value in dhcp.options
    )
    return replace(dhcp, options=options)


KINDS: dict[str, Draw] = {
    "a port is missing": gone(LogicalSwitchPort, is_guest),
    "a port is on another switch": altered(LogicalSwitchPort, on_another_switch),
    "a port is on another tenant's switch": altered(LogicalSwitchPort, on_anothers_switch),
    "a port may be somebody else": altered(LogicalSwitchPort, secured_otherwise),
    "a port is known as somebody else": altered(LogicalSwitchPort, addressed_otherwise),
    "a port has another's DHCP": altered(LogicalSwitchPort, with_other_dhcp),
    "a member is missing": gone(PortGroupMember),
    "a member is in another group": altered(PortGroupMember, member_of_another),
    "a member is in one more group": added(PortGroupMember, member_of_another),
    "a member is in another tenant's group": added(PortGroupMember, member_of_anothers),
    "a port group is missing": gone(PortGroup),
    "a device is plugged in for another port": altered(ChassisPort, plugged_for_another),
    "a device's cable ends elsewhere": altered(ChassisPort, plugged_elsewhere),
    "a device is missing": gone(ChassisPort),
    "a switch is missing": gone(LogicalSwitch),
    "a switch has no port forwards": altered(LogicalSwitch, balanced_by_another),
    "a switch's way is missing": gone(LogicalSwitchPort, is_way),
    "a switch's way leads to another leg": altered(LogicalSwitchPort, way_to_another),
    "a switch leads into a physical network": added(LogicalSwitchPort, physical_way),
    "the external network is missing": gone(LogicalSwitchPort, lambda one: one.type == "localnet"),
    "a router is missing": gone(LogicalRouter),
    "a router has no port forwards": altered(LogicalRouter, balanced_by_another),
    "the group of port forwards is missing": gone(LoadBalancerGroup),
    "a leg is missing": gone(LogicalRouterPort),
    "a leg is another router's": altered(LogicalRouterPort, leg_of_another),
    "a leg has another range": altered(LogicalRouterPort, leg_with_other_range),
    "a leg has another tenant's address": altered(LogicalRouterPort, leg_with_anothers_address),
    "a leg leads to another peer": altered(LogicalRouterPort, leg_to_another_peer),
    "a leg leads to a stranger": added(LogicalRouterPort, leg_to_a_stranger),
    "the SNAT has another address": altered(Nat, nat_from_another),
    "the SNAT is for less": altered(Nat, nat_of_less),
    "the SNAT is missing": gone(Nat),
    "a DNAT leads elsewhere": altered(LoadBalancer, leads_elsewhere),
    "a DNAT is another tenant's": altered(LoadBalancer, forwards_anothers),
    "a DNAT is nowhere in force": altered(LoadBalancer, in_another_group),
    "a DNAT is missing": gone(LoadBalancer),
    "a route is missing": gone(StaticRoute),
    "a route leads elsewhere": altered(StaticRoute, route_elsewhere),
    "a route is foreign": added(StaticRoute, foreign_route),
    "a router's policy is missing": gone(RouterPolicy),
    "a router's policy allows": altered(RouterPolicy, policy_allows),
    "DHCP is missing": gone(DhcpOptions),
    "DHCP says otherwise": altered(DhcpOptions, dhcp_says_otherwise),
}
