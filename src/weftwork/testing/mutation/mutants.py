"""The faults: which words of which compiler are replaced by which, and what that means."""

from dataclasses import dataclass

LINUX, OVN = "linux", "ovn"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands in the module once. `why_not` says why the suite cannot see it, where that is so."""

    plane: str
    module: str
    old: str
    new: str
    means: str
    why_not: str = ""


def _linux(module: str, old: str, new: str, means: str, why_not: str = "") -> Mutant:
    return Mutant(LINUX, f"weftwork.compiler.linux.{module}", old, new, means, why_not)


def _ovn(module: str, old: str, new: str, means: str, why_not: str = "") -> Mutant:
    return Mutant(OVN, f"weftwork.compiler.ovn.{module}", old, new, means, why_not)


MUTANTS = (
    _linux(
        "group",
        "span = (ports.min, ports.max)",
        "span = (ports.min, min(ports.max + 1, 65535))",
        "ranges end one too late",
    ),
    _linux(
        "group",
        "span = (ports.min, ports.max)",
        "span = (min(ports.min + 1, ports.max), ports.max)",
        "ranges begin one too late",
    ),
    _linux("group", "inwards, group.ingress)", "inwards, group.egress)", "ingress has the egress rules"),
    _linux(
        "group", '"ct original ip saddr", ALLOW_IN', '"ct reply ip saddr", ALLOW_IN', "ingress looks at the receiver"
    ),
    _linux(
        "group", '"ct reply ip saddr", ALLOW_OUT', '"ct original ip saddr", ALLOW_OUT', "egress looks at the sender"
    ),
    _linux(
        "group",
        "(Service(_TCP, *span), Service(_UDP, *span)) if ports",
        "(Service(_TCP, *span),) if ports",
        "ALL with ports forgets UDP",
    ),
    _linux("group", "return (Service(_ICMP),)", "return (Service(0),)", "ICMP is anything"),
    _linux("group", "return (Service(_UDP, *span),)", "return (Service(_TCP, *span),)", "UDP is TCP"),
    _linux(
        "group",
        'f"ct reply proto-src {self.ports}"',
        'f"ct original proto-dst {self.ports}"',
        "rules see the port before DNAT",
    ),
    _linux(
        "group",
        "if networks == [_ANYWHERE]:",
        "if _ANYWHERE.supernet_of(networks[0]) if networks else False:",
        "any CIDR is everywhere",
    ),
    _linux("port", "for name in port.groups:", "for name in port.groups[:1]:", "only the first group has the member"),
    _linux(
        "port",
        "into, [names.in_chain(group) for group in groups]",
        "into, [names.in_chain(group) for group in groups[:1]]",
        "only the first group's ingress counts",
    ),
    _linux(
        "port",
        "out, [names.out_chain(group) for group in groups]",
        "out, [names.out_chain(group) for group in groups[1:]]",
        "the first group's egress is forgotten",
    ),
    _linux(
        "port", "yield from memberships_at_peers(intent, port, str(address))", "pass", "peers do not know the members"
    ),
    _linux(
        "guard",
        "iifname . ether saddr . ip saddr @guard goto payload",
        "iifname . ether saddr @guard_mac goto payload",
        "a guest may use any address",
    ),
    _linux(
        "guard",
        "meta protocol ip oifname . ether daddr . ip daddr @guard accept",
        "meta protocol ip accept",
        "frames reach a port by MAC alone",
    ),
    _linux("guard", "f\"meta l4proto {_PROTOCOLS_OF_TUNNELS} {_refuse('tunnel')}\",", "", "tunnels by protocol pass"),
    _linux(
        "guard",
        "f\"udp dport {_UDP_PORTS_OF_TUNNELS} {_refuse('tunnel')}\",",
        "",
        "the guard forgets tunnels' ports",
        "the policy refuses them, too",
    ),
    _linux("policy", "_OF_AN_END = (", "_OF_AN_END: tuple[str, ...] = () and (", "ICMP errors about flows are dropped"),
    _linux("policy", '"ct mark @epoch accept"', '"ct mark != 0 accept"', "a judged flow is never judged again"),
    _linux(
        "policy",
        'f"meta l4proto 17 {DNAT_TUPLE} goto origin"',
        'f"meta l4proto 17 goto origin"',
        "UDP flows outlive their DNAT",
    ),
    _linux(
        "policy",
        '"ct status dnat accept"',
        '"accept"',
        "what is of no port comes in",
        "with reverse-path filtering nothing comes that is not translated",
    ),
    _linux(
        "policy",
        "'ct state invalid counter name \"invalid\" drop'",
        "'ct state invalid accept'",
        "answers out of nowhere pass",
    ),
    _linux(
        "policy",
        "ip daddr @gateways icmp type echo-request",
        "ip daddr @gateways",
        "routers answer anything",
        "what a router says by itself, RST or port unreachable, is not looked at",
    ),
    _linux("nat", 'f"ct reply ip saddr {vpc.cidr} {_DENIED}",', "", "addresses of nobody are outside"),
    _linux("nat", 'f"ct reply ip daddr {snat} goto stamp",', "", "flows outside are judged by their way alone"),
    _linux(
        "nat",
        'f\'iifname "{leg}" ip saddr {vpc.cidr} counter name "spoofed_outside" drop\'',
        "'accept'",
        "inner sources come from outside",
        "reverse-path filtering refuses them, too",
    ),
    _linux("nat", 'oifname != "{leg}" masquerade', 'oifname != "{leg}" accept', "hairpins keep the sender"),
    _linux(
        "nat",
        "return snat.external_ip if snat and snat.enabled and",
        "return snat.external_ip if snat and",
        "SNAT that is disabled is not",
    ),
    _linux(
        "nat",
        'f"{dnat.internal_ip} . {dnat.internal_port}"',
        'f"{dnat.internal_ip} . {dnat.external_port}"',
        "DNAT keeps the port",
    ),
    _linux(
        "peering",
        "yield NftElement(scope, Family.INET, PEERS_SET, _element(peer))",
        "",
        "what goes to peers is not known to",
    ),
    _ovn(
        "group",
        "first, last = max(ports.min, 1), ports.max",
        "first, last = max(ports.min, 1), min(ports.max + 1, 65535)",
        "ranges end one too late",
    ),
    _ovn(
        "group",
        "first, last = max(ports.min, 1), ports.max",
        "first, last = ports.min + 1, ports.max",
        "ranges begin one too late",
    ),
    _ovn("group", "for rule in group.ingress:", "for rule in group.egress:", "ingress has the egress rules"),
    _ovn(
        "group", 'f"outport == @{own}", "ip4.src"', 'f"outport == @{own}", "ip4.dst"', "ingress looks at the receiver"
    ),
    _ovn("group", 'f"inport == @{own}", "ip4.dst"', 'f"inport == @{own}", "ip4.src"', "egress looks at the sender"),
    _ovn(
        "group",
        '("tcp", "udp") if protocol is Protocol.ALL',
        '("tcp",) if protocol is Protocol.ALL',
        "ALL with ports forgets UDP",
    ),
    _ovn("group", 'yield ("icmp4",)', "yield ()", "ICMP is anything"),
    _ovn(
        "group",
        "after_load_balancing=direction is AclDirection.FROM_PORT",
        "after_load_balancing=False",
        "egress rules see the external address",
    ),
    _ovn("group", "AclAction.ALLOW_RELATED", "AclAction.ALLOW_STATELESS", "what is allowed has no answers"),
    _ovn("group", "() if addresses == _ANYWHERE else", '() if addresses[0] != "$" else', "any CIDR is everywhere"),
    _ovn(
        "group", "names.group_of(there, name)", "names.group_of(vpc, name)", "a peer's group is the own one of its name"
    ),
    _ovn(
        "port",
        "for group in port.groups:",
        "for group in port.groups[:1]:",
        "a port is a member of its first group only",
    ),
    _ovn(
        "port",
        "GroupRef(group, port.lender and port.owner)",
        "GroupRef(group)",
        "a guest of another project is a member of the lender's group",
    ),
    _ovn("port", "yield from compile_allowed(intent, vpc, brought)", "pass", "policies allow guests of others nothing"),
    _ovn("port", "port_security=(own,)", "port_security=()", "a guest may use any address"),
    _ovn("port", "port_security=(own,)", "port_security=(port.mac,)", "a guest may use any address of IPv4"),
    _ovn(
        "subnet",
        "yield PortGroupMember(scope, names.everywhere(vpc), names.way_of(vpc, subnet))",
        "",
        "a subnet is not guarded",
    ),
    _ovn("guard", "yield stage(vpc, ROUTER, match, AclAction.ALLOW)", "pass", "the router is taken for a guest"),
    _ovn("guard", "yield stage(vpc, ROUTER, match,", 'yield stage(vpc, ROUTER, "1",', "all are taken for the router"),
    _ovn("guard", '(f"ip.proto == {_PROTOCOLS_OF_TUNNELS}", "tunnel"),', "", "tunnels by protocol pass"),
    _ovn("guard", '(f"udp.dst == {_RESERVED}", "tunnel"),', "", "UDP to the ports of tunnels and DHCP passes"),
    _ovn("guard", '(f"udp.src == {_RESERVED}", "tunnel"),', "", "UDP from the ports of tunnels and DHCP passes"),
    _ovn("guard", '("ip.is_frag", "fragment"),', "", "fragments open flows"),
    _ovn(
        "guard", '("ct.new && tcp && (tcp.flags == 4/4 || tcp.flags == 1/1)", "invalid"),', "", "RST and FIN open flows"
    ),
    _ovn(
        "guard",
        'yield sent(vpc, GUARD, "ip4 && eth.mcast", AclAction.DROP, "misdirected")',
        "",
        "frames to many are carried",
    ),
    _ovn(
        "guard",
        'yield going(vpc, DEFAULT, _ANYTHING, AclAction.DROP, "denied_out")',
        "",
        "what no egress rule allows goes",
    ),
    _ovn(
        "guard",
        'yield received(vpc, DEFAULT, _ANYTHING, AclAction.DROP, "denied_in")',
        "",
        "what no ingress rule allows comes",
    ),
    _ovn(
        "guard",
        'yield going(vpc, GUARD, f"ip4.dst == {gateway}", AclAction.DROP, "denied_router")',
        "",
        "rules decide who may ask a gateway",
        "what a router says by itself, RST or port unreachable, is not looked at",
    ),
    _ovn(
        "guard",
        'yield going(vpc, GATEWAY, f"icmp4.type == 8',
        'yield going(vpc, DEFAULT, f"icmp4.type == 8',
        "gateways answer no ping",
    ),
    _ovn("vpc", 'yield StaticRoute(scope, router, vpc.cidr, "discard")', "", "addresses of nobody are outside"),
    _ovn(
        "nat",
        'yield going(vpc, GUARD, f"ip4.dst != {inside}", AclAction.DROP, "denied_to_outside")',
        "pass",
        "without SNAT all goes out as it is",
    ),
    _ovn(
        "nat",
        'yield going(vpc, GUARD, f"ip4.dst == {names.any_of(addresses)}", AclAction.DROP, "denied_router")',
        "",
        "a router answers for its external addresses",
    ),
    _ovn("nat", 'f"ip4.src == {vpc.cidr}",', "", "inner sources come from outside"),
    _ovn("nat", '"icmp4.type == 8",', "", "a router answers pings from outside"),
    _ovn("nat", 'f"ip4.dst != {names.any_of(addresses)}",', "", "inner destinations come from outside"),
    _ovn("nat", "if snat and snat.enabled and", "if snat and", "SNAT that is disabled is not"),
    _ovn(
        "nat",
        '{dnat.internal_ip}:{dnat.internal_port}"',
        '{dnat.internal_ip}:{dnat.external_port}"',
        "DNAT keeps the port",
    ),
    _ovn(
        "nat", 'yield RouterPolicy(scope, router, GUARD, error, "drop")', "", "errors leave in the words of the inside"
    ),
    _ovn("peering", "yield from _leg(vpc, peer)", "pass", "peers have no way to each other"),
    _ovn(
        "network_policy",
        'yield way.drops(vpc, one.place - 1, " && ".join((one.about, *match)), "denied_by_policy", one.policy)',
        'yield from way.allows(vpc, one.place - 1, " && ".join((one.about, *match)))',
        "policies deny nothing",
    ),
    _ovn(
        "network_policy",
        'yield way.drops(vpc, one.place, one.about, "isolated", one.policy)',
        "pass",
        "isolations isolate nothing",
    ),
    _ovn("network_policy", 'f"{way.own} == {target}"', 'f"ip4"', "policies are for everybody"),
)
