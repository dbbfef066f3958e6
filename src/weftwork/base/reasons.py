"""Every reason why a packet passes or is stopped: the other half of the registry of codes, beside `base/codes`.

A code, once published, never changes meaning, and no code is in both halves. `weft explain` prints them; each has a
page `docs/reference/reasons/<CODE>.md`, made from here by `tools/generate_reason_pages.py`.
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Meaning:
    """`stops` is false for what lets a packet pass. `example` is a sentence in which it happens."""

    stops: bool
    text: str
    example: str
    what_to_do: str


def _passes(text: str, example: str, what_to_do: str = "Nothing: this lets the packet pass.") -> Meaning:
    return Meaning(False, text, example, what_to_do)


def _stops(text: str, example: str, what_to_do: str) -> Meaning:
    return Meaning(True, text, example, what_to_do)


class ReasonCode(Enum):
    """The value says what the reason means."""

    # What lets a packet pass.
    EGRESS_RULE = _passes(
        "A rule of the sender's security groups allows it.",
        "`web1` is in the group `web`, which has the egress rule `all to 0.0.0.0/0`; whatever `web1` sends may leave.",
        "Nothing: this lets the packet pass. To stop it, remove the rule with `weft security-group rule remove`.",
    )
    INGRESS_RULE = _passes(
        "A rule of the receiver's security groups allows it.",
        "`db1` is in the group `db`, which has the ingress rule `tcp 5432 from group web`; `web1` of the group `web` "
        "may call it.",
        "Nothing: this lets the packet pass. To stop it, remove the rule with `weft security-group rule remove`.",
    )
    SNAT = _passes(
        "The VPC's SNAT gives it an external source address.",
        "`web1` calls `192.0.2.1`; the SNAT of its VPC has the address `203.0.113.10`, and that is who seems to call.",
        "Nothing: this lets the packet pass. To let nobody out, `weft snat delete`.",
    )
    DNAT = _passes(
        "A DNAT leads the external address and port to a port of the VPC.",
        "Somebody outside calls `203.0.113.10:8080/tcp`, which is forwarded to port 80 of `web2`.",
        "Nothing: this leads the packet on; the groups of its target still decide. To end it, `weft dnat delete`.",
    )
    HAIRPIN = _passes(
        "It came by an external address of its own VPC, so the receiver sees its own gateway as the source.",
        "`web1` calls `203.0.113.10:8080`, which leads to `web2` of the same VPC. `web2` sees its gateway `10.20.0.1` "
        "calling; the security groups see `web1`.",
        "Nothing: this lets the packet pass. If the receiver should see who calls, call its own address.",
    )
    PEERING = _passes(
        "The VPCs of the sender and of the receiver are peered.",
        "`web1` calls `10.30.0.5`, an address of the project `acme/data`, and both projects have made their half of a "
        "peering.",
        "Nothing: this lets the packet pass; the groups of both ends still decide. To end it, `weft peering delete`.",
    )
    GATEWAY_PING = _passes(
        "Gateways answer pings of their own VPC.",
        "`web1` pings `10.20.0.1`, the gateway of its subnet, and gets an answer whatever the rules say.",
    )
    PART_OF_FLOW = _passes(
        "It belongs to a flow that is allowed.",
        "`db1` answers `web1`, which was allowed to call it. The answer needs no rule.",
    )

    # What stops it.
    SENDER_NOT_FOUND = _stops(
        "The sending port does not exist.",
        "The port was deleted while the question was asked.",
        "See `weft port list`.",
    )
    SENDER_NOT_ATTACHED = _stops(
        "The sending port is not attached.",
        "`web1` was created and belongs to no VM yet, so the host has no device that could send for it.",
        "Give it to a VM with `weft port attach`, or plug it into a network namespace with `weft port plug`.",
    )
    SPOOFED_SOURCE = _stops(
        "The source address is not the port's own.",
        "The guest of `web1` (`10.20.0.2`) sends as `10.20.0.99`.",
        "Let the guest use the address that DHCP gives it; an address of another port cannot be borrowed.",
    )
    TUNNEL = _stops(
        "Nothing tunnelled passes between a guest and anybody else.",
        "`web1` sends UDP to port 4789 (VXLAN) or 8472, or a GRE packet.",
        "Nothing allows it: a tunnel would carry packets past the rules. Use a protocol that the rules can see.",
    )
    ROGUE_DHCP = _stops(
        "UDP with a port of DHCP (67, 68) passes only as a guest's own question for an address.",
        "`web1` sends UDP to port 68, where DHCP clients listen.",
        "Nothing allows it. Addresses come from the VPC's own DHCP; see `weft subnet show`.",
    )
    NOT_UNICAST = _stops(
        "The destination is not the address of one host.",
        "`web1` sends to `224.0.0.251` or to `127.0.0.1`.",
        "Send to the address of a host: broadcast and multicast are not carried.",
    )
    OWN_ADDRESS = _stops(
        "The destination is the sender's own address.",
        "`weft explain web1 web1 tcp/80`.",
        "Such a packet never leaves the guest; name another port.",
    )
    NOBODY_THERE = _stops(
        "Nobody has the destination address.",
        "`web1` calls `10.20.0.77`, which is inside the VPC and which no port has.",
        "See `weft port list` for the addresses that there are. Addresses of the VPC are never outside.",
    )
    RECEIVER_NOT_ATTACHED = _stops(
        "The port that has the destination address is not attached.",
        "`db1` was created and belongs to no VM yet, so nobody would hear the packet.",
        "Give it to a VM with `weft port attach`, or plug it into a network namespace with `weft port plug`.",
    )
    ROUTER_OFFERS_NOTHING = _stops(
        "The destination is a router, which offers nothing but an answer to pings of its gateways.",
        "`web1` calls `10.20.0.1:53/udp`, its gateway, for a name.",
        "Name servers are told to guests by DHCP; see `weft subnet show`.",
    )
    POLICY_DENIED = _stops(
        "A network policy denies it.",
        "The project has the policy `no-ssh` with the rule `deny tcp 22 from 0.0.0.0/0`, and `web1` calls port 22 of "
        "`db1`, whose groups would let it in.",
        "No group can allow it. Put an `allow` before the rule with `weft network-policy rule add POLICY RULE --at 1`, "
        "or remove the rule. docs/explain/who-wins.md says who decides.",
    )
    ISOLATED = _stops(
        "An isolation policy keeps its target apart from everything else.",
        "The policy `apart` isolates the subnet `data`, and `db1` in `data` calls `web1` in another subnet.",
        "Add an exception with `weft network-policy rule add POLICY 'allow tcp 5432 with group web'`, or delete the "
        "policy.",
    )
    NO_EGRESS_RULE = _stops(
        "No rule of the sender's security groups allows it.",
        "`web1` is in the group `locked`, which has no egress rules, and calls `db1`.",
        "Add an egress rule to one of the sender's groups, or give the port a group that has one. "
        "`weft explain` shows the commands and what each would open.",
    )
    NO_INGRESS_RULE = _stops(
        "No rule of the receiver's security groups allows it.",
        "`db1` is in the group `db`, which lets in `tcp 5432 from group web` only, and `web1` pings it.",
        "Add an ingress rule to one of the receiver's groups, or give the port a group that has one. "
        "`weft explain` shows the commands and what each would open.",
    )
    NOT_PEERED = _stops(
        "The project has its half of a peering, and the other project has not: nothing passes by it yet.",
        "`web1` calls `10.30.0.5`, and `acme/data` has not made its half of the peering yet.",
        "If that is whom it is for, ask the other project to make its half; see `weft peering list`.",
    )
    NO_SNAT = _stops(
        "The destination is outside, and the VPC has no SNAT.",
        "`web1` calls `192.0.2.1`, and the VPC has no SNAT, or one that lets nobody out.",
        "Create one with `weft snat create`; where no external address is free, ask the operator for some.",
    )
    NO_DNAT = _stops(
        "No DNAT is for this external address, protocol and port.",
        "Somebody outside calls `203.0.113.10:443`, and only `203.0.113.10:8080/tcp` is forwarded; or calls "
        "`10.20.0.3`, which is an address inside a VPC and means nothing outside.",
        "Forward the external port with `weft dnat create`; where no external address is free, ask the operator for "
        "some.",
    )
    NOT_FROM_OUTSIDE = _stops(
        "A packet from outside has a source address of the VPC, of a peer, or of nobody.",
        "A packet with the source `10.20.0.9`, an address of the VPC, comes from the external network.",
        "Ask about an address that is outside; inside addresses that come from there are lies.",
    )
    PORT_ZERO = _stops(
        "TCP and UDP have no port 0 on this data plane.",
        "`web1` sends UDP to port 0, and the hosts carry packets with Open vSwitch in user space.",
        "Use another port: 0 is reserved, and is told to mean `any` by most programs.",
    )
    ERROR_STAYS = _stops(
        "ICMP errors of guests do not leave the VPC on this data plane.",
        "Somebody outside calls a DNAT to a port of `web2` where nobody listens, and OVN does not send him the error.",
        "Nothing: who called waits until his own limit instead of being told.",
    )
    NOT_OF_A_FLOW = _stops(
        "It answers a flow that does not exist, or that is not allowed.",
        "A guest sends a TCP reset or an echo reply to somebody who asked nothing.",
        "Nothing: only answers to allowed flows pass.",
    )
    REFUSED_BY_PEER = _stops(
        "The peered project's side stops it.",
        "`web1` calls `10.30.0.5` of the peer `acme/data`, whose groups do not let it in, or where nobody has it.",
        "Ask the peer: what is there is its to see, and `weft explain` tells it from its side.",
    )
    REFUSED_BY_OTHER_SIDE = _stops(
        "The other side's rules stop it, or nobody is there.",
        "`web1` is in a subnet that `acme/net` lends, and calls `10.20.9.4` there: its rules let the packet go, and "
        "it is not delivered.",
        "Ask the other project: whose subnet it is, or whose port stands in yours. What judges there is its to see.",
    )
    REFUSED_OUTSIDE = _stops(
        "It leaves the project, and the other side does not let it in.",
        "`web1` calls an external address that is another project's, and nothing is forwarded there.",
        "Ask whoever has the address: what is behind it is not this project's to see.",
    )
