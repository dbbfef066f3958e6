"""Why a packet is delivered or not: every reason there is. A code, once published, never changes meaning."""

from dataclasses import dataclass
from enum import Enum

from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import Rule


class ReasonCode(Enum):
    """The value says what the reason means."""

    # What lets a packet pass.
    EGRESS_RULE = "A rule of the sender's security groups allows it."
    INGRESS_RULE = "A rule of the receiver's security groups allows it."
    SNAT = "The VPC's SNAT gives it an external source address."
    DNAT = "A DNAT leads the external address and port to a port of the VPC."
    HAIRPIN = "It came by an external address of its own VPC, so the receiver sees its own gateway as the source."
    PEERING = "The VPCs of the sender and of the receiver are peered."
    GATEWAY_PING = "Gateways answer pings of their own VPC."
    PART_OF_FLOW = "It belongs to a flow that is allowed."

    # What stops it.
    PORT_NOT_FOUND = "The sending port does not exist."
    SENDER_NOT_ATTACHED = "The sending port is not attached."
    SPOOFED_SOURCE = "The source address is not the port's own."
    TUNNEL = "Guests cannot send tunnelled packets."
    ROGUE_DHCP = "Guests cannot answer as DHCP servers."
    NOT_UNICAST = "The destination is not the address of one host."
    OWN_ADDRESS = "The destination is the sender's own address."
    NOBODY_THERE = "Nobody has the destination address."
    RECEIVER_NOT_ATTACHED = "The port that has the destination address is not attached."
    ROUTER_OFFERS_NOTHING = "The destination is a router, which offers nothing but an answer to pings of its gateways."
    NO_EGRESS_RULE = "No rule of the sender's security groups allows it."
    NO_INGRESS_RULE = "No rule of the receiver's security groups allows it."
    NOT_PEERED = "The project has its half of a peering, and the other project has not: nothing passes by it yet."
    NO_SNAT = "The destination is outside, and the VPC has no SNAT."
    NO_DNAT = "No DNAT is for this external address, protocol and port."
    NOT_FROM_OUTSIDE = "A packet from outside has a source address of the VPC, of a peer, or of nobody."
    NOT_OF_A_FLOW = "It answers a flow that does not exist, or that is not allowed."


@dataclass(frozen=True, slots=True)
class Reason:
    """`thing` is the name of what decides: a security group, a NAT, a port; `rule` is the rule, where one decides."""

    code: ReasonCode
    owner: ProjectKey | None = None
    thing: str = ""
    rule: Rule | None = None
