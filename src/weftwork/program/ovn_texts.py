"""Rows of a northbound and plugs of a chassis in words: every field shows."""

from collections.abc import Iterator

from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind
from weftwork.program.ovn import (
    Acl,
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
    Options,
    OvnResource,
    PortGroup,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
    StrayRow,
)


def words_of(resource: OvnResource) -> Iterator[str]:
    match resource:
        case LogicalSwitch():
            yield f"ovn switch {resource.name}"
            yield _options(resource.other_config)
            yield _said("load balancers", resource.load_balancer_group)
        case LogicalRouter():
            yield f"ovn router {resource.name}"
            yield _options(resource.options)
            yield _said("load balancers", resource.load_balancer_group)
        case LogicalRouterPort() | LogicalSwitchPort():
            yield from _port(resource)
        case DhcpOptions():
            yield f"ovn dhcp {resource.name} for {resource.cidr}"
            yield _options(resource.options)
        case PortGroup():
            yield f"ovn port group {resource.name}"
        case PortGroupMember():
            yield f"ovn port {resource.port} in group {resource.group}"
        case AddressSet():
            yield f"ovn address set {resource.name}"
        case AddressSetMember():
            yield f"ovn address {resource.address} in set {resource.set}"
        case Meter():
            yield f"ovn meter {resource.name} of {resource.per_second} packets a second"
        case LoadBalancerGroup():
            yield f"ovn load balancer group {resource.name}"
        case LoadBalancer():
            yield f"ovn load balancer {resource.name} of {resource.group} {resource.protocol}"
            yield ", ".join(f"{outer} to {inner}" for outer, inner in resource.vips)
            yield _options(resource.options)
        case _:
            yield from _decision(resource)


def _port(port: LogicalRouterPort | LogicalSwitchPort) -> Iterator[str]:
    match port:
        case LogicalRouterPort():
            yield f"ovn router port {port.name} of {port.router} mac {port.mac}"
            yield " ".join(port.networks)
            yield _said("gateway chassis", ",".join(port.gateway_chassis))
            yield _said("peer", port.peer)
        case LogicalSwitchPort():
            yield f"ovn port {port.name} on {port.switch}"
            yield _said("type", port.type)
            yield _said("addresses", _list(port.addresses))
            yield _said("only", _list(port.port_security))
            yield _said("dhcp", port.dhcp)
    yield _options(port.options)


def _decision(resource: OvnResource) -> Iterator[str]:
    match resource:
        case Acl():
            yield f"ovn acl on {resource.on} {resource.direction.value} {resource.priority} {resource.action.value}"
            yield "after load balancing" if resource.after_load_balancing else ""
            yield f"if {resource.match}"
            yield f"log as {resource.log.name}, meter {resource.log.meter}" if resource.log else ""
        case StaticRoute():
            yield f"ovn route {resource.prefix} by {resource.next_hop} on router {resource.router}"
            yield _said("through", resource.output_port)
        case RouterPolicy():
            yield f"ovn policy on router {resource.router} {resource.priority} {resource.action} if {resource.match}"
        case Nat():
            yield f"ovn nat {resource.type} {resource.logical} as {resource.external} on router {resource.router}"
        case StrayRow():
            yield f"ovn row {resource.uuid} of {resource.table}, which belongs to nothing"
        case _:
            raise AssertionError(f"no words for {type(resource).__name__}")


def words_of_plug(port: ChassisPort) -> Iterator[str]:
    yield f"plug {port.kind.value} {port.name} for {port.iface_id} mac {port.mac} mtu {port.mtu_bytes}"
    if port.kind is LinkKind.VETH or port.peer_name or port.peer_netns:
        yield f"peer {port.peer_name} in {port.peer_netns}"


def _said(what: str, value: str) -> str:
    return f"{what} {value}" if value else ""


def _list(texts: tuple[str, ...]) -> str:
    return ", ".join(texts)


def _options(options: Options) -> str:
    return f"{{{', '.join(f'{key}={value}' for key, value in options)}}}" if options else ""
