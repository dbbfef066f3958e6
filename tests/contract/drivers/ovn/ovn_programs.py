"""Small programs for a northbound and its chassis: one VPC with a subnet and two ports that may talk."""

from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Mac
from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind
from weftwork.program.ovn import (
    Acl,
    AclAction,
    AclDirection,
    AclLog,
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
    OvnResource,
    PortGroup,
    PortGroupMember,
    RouterPolicy,
    StaticRoute,
)
from weftwork.program.resource import Program

OVN_NETNS = "wct-ovn"
GUESTS = ("wct-g1", "wct-g2")
GATEWAY = Mac("02:47:00:00:00:01")
OUTSIDE = IPv4Address("198.51.100.10")


def mac(number: int) -> Mac:
    return Mac(f"02:57:00:00:00:{number:02x}")


def network(vni: int = 101) -> Program:
    """Every kind of resource there is."""
    scope, group, peers = f"weft-{vni}", f"weft_{vni}_all", f"weft_{vni}_peers"
    things: set[OvnResource] = {
        LoadBalancerGroup(scope, "forwards"),
        LoadBalancer(scope, f"{scope}.lb", "forwards", "tcp", (("198.51.100.10:80", "10.0.1.10:80"),)),
        LogicalSwitch(scope, f"{scope}.1", (("mcast_snoop", "false"),), "forwards"),
        LogicalRouter(scope, scope, (("mac_binding_age_threshold", "300"),), "forwards"),
        LogicalRouterPort(scope, scope, f"{scope}.1.router", GATEWAY, ("10.0.1.1/24",)),
        LogicalRouterPort(scope, scope, f"{scope}.out", mac(99), ("198.51.100.10/24",), ("local", "other")),
        LogicalSwitchPort(
            scope,
            f"{scope}.1",
            f"{scope}.1.gateway",
            "router",
            ("router",),
            (),
            (("router-port", f"{scope}.1.router"),),
        ),
        DhcpOptions(
            scope,
            f"{scope}.1",
            IPv4Network("10.0.1.0/24"),
            (("lease_time", "3600"), ("router", "10.0.1.1"), ("server_id", "10.0.1.1"), ("server_mac", GATEWAY)),
        ),
        PortGroup(scope, group),
        AddressSet(scope, peers),
        AddressSetMember(scope, peers, "10.0.1.0/24"),
        Acl(scope, f"group {group}", AclDirection.TO_PORT, 1, f"outport == @{group}", AclAction.DROP),
        Acl(scope, f"group {group}", AclDirection.TO_PORT, 2, f"outport == @{group} && arp", AclAction.ALLOW),
        Acl(
            *(scope, f"group {group}", AclDirection.TO_PORT, 1000),
            *(f"outport == @{group} && ip4.src == ${peers}", AclAction.ALLOW_RELATED),
        ),
        Acl(
            *(scope, f"group {group}", AclDirection.FROM_PORT, 1000, f"inport == @{group} && ip4"),
            *(AclAction.ALLOW_RELATED, True),
        ),
        Meter(scope, f"{scope}.log.in.denied_in", 100),
        Acl(
            *(scope, f"group {group}", AclDirection.TO_PORT, 0, f"outport == @{group}", AclAction.DROP),
            log=AclLog(f"{scope}/1 in denied_in", f"{scope}.log.in.denied_in"),
        ),
        StaticRoute(scope, scope, IPv4Network("10.0.0.0/16"), "discard"),
        StaticRoute(scope, scope, IPv4Network("0.0.0.0/0"), "198.51.100.1", f"{scope}.out"),
        RouterPolicy(scope, scope, 100, "ip4.src == 192.0.2.1", "drop"),
        Nat(scope, scope, "snat", OUTSIDE, IPv4Network("10.0.0.0/16")),
    }
    for number in (1, 2):
        own = f"{mac(number)} 10.0.1.{9 + number}"
        name = f"{scope}.port{number}"
        things.add(LogicalSwitchPort(scope, f"{scope}.1", name, "", (own,), (own,), (), f"{scope}.1"))
        things.add(PortGroupMember(scope, group, name))
    return frozenset(things)


def plugs(netns: tuple[str, str], vni: int = 101) -> Program:
    scope = f"weft-{vni}"
    return frozenset(
        ChassisPort(
            *(scope, f"tapwct{number}", LinkKind.VETH, f"{scope}.port{number}", mac(number), 1442, where, "eth0")
        )
        for number, where in enumerate(netns, start=1)
    )
