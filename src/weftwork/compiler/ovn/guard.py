"""What holds for every port of a VPC, whatever its groups say. Port security has seen to it that senders are honest.

A packet passes three stages: `from-lport` sees it as it was sent, `from-lport` after load balancing sees where it goes,
`to-lport` sees it as it is received. The first only refuses; in the others, what nothing allows is dropped. Answers of
a flow pass all of them, so nothing is refused in answers alone.

A port group's ACLs are in force on every switch that has a member. The group of all this has as members, instead of
guests, the switches' ways to the router, and its ACLs name no port: so whoever is on a switch is guarded, and one more
guest changes nothing of it. What comes from the router, or goes to it, is let pass before all else.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Literal, NamedTuple

from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.flow_log import log_of
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroup
from weftwork.program.resource import Resource

ROUTER, ARP, OWN_DHCP, GATEWAY, GUARD, RULE, DEFAULT = 4100, 4000, 3900, 3800, 3700, 1000, 0
"""Priorities."""

_ANYTHING = "1"

NOWHERE = "{0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4}"
"""Addresses that are not of one host (RFC 6890)."""

_PROTOCOLS_OF_TUNNELS = "{4, 41, 47, 97, 115, 137}"
"""IPIP, 6in4, GRE, EtherIP, L2TPv3, MPLS (IANA protocol numbers)."""

_RESERVED = "{67, 68, 4754, 4755, 4789, 4790, 6081, 6635, 8472}"
"""UDP ports of DHCP, and of GRE, VXLAN, VXLAN-GPE, Geneve, MPLS and Linux' first VXLAN (IANA service names)."""

_REFUSED = (
    (f"ip.proto == {_PROTOCOLS_OF_TUNNELS}", "tunnel"),
    (f"udp.src == {_RESERVED}", "tunnel"),
    (f"udp.dst == {_RESERVED}", "tunnel"),
    # Rules cannot see the ports of a part. (The datapath of the kernel puts datagrams together before they come here.)
    ("ip.is_frag", "fragment"),
    # The datapath in user space takes these for the beginning of a connection.
    ("ct.new && tcp && (tcp.flags == 4/4 || tcp.flags == 1/1)", "invalid"),
)
"""And how that is called where it is logged."""


def guard_of_vpc(vpc: Vpc) -> Iterator[Resource]:
    ways = names.everywhere(vpc)
    yield PortGroup(names.scope_of(vpc), ways)
    for stage, match in (
        (sent, f"inport == @{ways}"),
        (going, f"inport == @{ways}"),
        (received, f"outport == @{ways}"),
    ):
        yield stage(vpc, ROUTER, match, AclAction.ALLOW)
    for match, reason in _REFUSED:
        # IPv6 is dropped behind anyhow, and would be as many flows again.
        yield sent(vpc, GUARD, f"ip4 && {match}", AclAction.DROP, reason)
        yield received(vpc, GUARD, f"ip4 && {match}", AclAction.DROP, reason)
    # Port security asks of frames to many only who sends them, not who gets them.
    yield sent(vpc, GUARD, "ip4 && eth.mcast", AclAction.DROP, "misdirected")
    yield going(vpc, GUARD, f"ip4.dst == {NOWHERE}", AclAction.DROP, "misdirected")
    yield going(vpc, ARP, "arp", AclAction.ALLOW)
    yield received(vpc, ARP, "arp", AclAction.ALLOW)
    yield going(vpc, DEFAULT, _ANYTHING, AclAction.DROP, "denied_out")
    yield received(vpc, DEFAULT, _ANYTHING, AclAction.DROP, "denied_in")


def guard_of_subnet(vpc: Vpc, gateway: IPv4Address, *, dhcp: bool) -> Iterator[Resource]:
    """A router answers pings of its gateways, and DHCP, where a subnet has it; nothing else."""
    if dhcp:
        request = f"udp.src == 68 && udp.dst == 67 && ip4.dst == {{255.255.255.255, {gateway}}}"
        yield sent(vpc, OWN_DHCP, request, AclAction.ALLOW)
        yield going(vpc, OWN_DHCP, request, AclAction.ALLOW)
    yield going(vpc, GATEWAY, f"icmp4.type == 8 && ip4.dst == {gateway}", AclAction.ALLOW_RELATED)
    yield going(vpc, GUARD, f"ip4.dst == {gateway}", AclAction.DROP, "denied_router")


def sent(vpc: Vpc, priority: int, match: str, action: AclAction, reason: str = "", policy: str = "") -> Acl:
    """As a guest sent it. What is dropped for a reason is logged where the VPC wants that."""
    return _acl(vpc, AclDirection.FROM_PORT, priority, match, action, _Why(reason, policy))


def going(vpc: Vpc, priority: int, match: str, action: AclAction, reason: str = "", policy: str = "") -> Acl:
    """As it goes on: with the destination that a port forward gave it."""
    return _acl(vpc, AclDirection.FROM_PORT, priority, match, action, _Why(reason, policy), after_load_balancing=True)


def received(vpc: Vpc, priority: int, match: str, action: AclAction, reason: str = "", policy: str = "") -> Acl:
    """As a guest gets it."""
    return _acl(vpc, AclDirection.TO_PORT, priority, match, action, _Why(reason, policy))


class _Why(NamedTuple):
    reason: str
    policy: str


def _acl(
    vpc: Vpc,
    direction: AclDirection,
    priority: int,
    match: str,
    action: AclAction,
    why: _Why,
    *,
    after_load_balancing: bool = False,
) -> Acl:
    side: Literal["in", "out"] = "in" if direction is AclDirection.TO_PORT else "out"
    return Acl(
        scope=names.scope_of(vpc),
        on=f"group {names.everywhere(vpc)}",
        direction=direction,
        priority=priority,
        match=match,
        action=action,
        after_load_balancing=after_load_balancing,
        log=log_of(vpc, side, *why) if why.reason else None,
    )
