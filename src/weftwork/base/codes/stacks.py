"""Stacks, NICs and routers that are asked for at a host's own interface."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

STACK_NOT_FOUND = code(
    Kind.UNKNOWN,
    "STACK_NOT_FOUND",
    "No such stack",
    "Stack not created: this host has none of this number.",
    "Make it with `weft stack add`, or list them with `weft stack list`.",
)
NIC_NOT_FOUND = code(
    Kind.UNKNOWN,
    "NIC_NOT_FOUND",
    "No such NIC",
    "The stack has no NIC of this id.",
    "List them with `weft nic list`.",
)
NIC_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "NIC_ALREADY_EXISTS",
    "NIC exists, and is another",
    "The stack has a NIC of this id, and what is asked differs from it.",
    "Change it with `weft nic update`, or delete it first.",
)
ROUTER_NOT_FOUND = code(
    Kind.UNKNOWN,
    "ROUTER_NOT_FOUND",
    "No such router",
    "The stack has no router.",
    "Make it with `weft router add`.",
)
ROUTER_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "ROUTER_ALREADY_EXISTS",
    "Router exists, and is another",
    "The stack has a router, and what is asked differs from it.",
    "Change it with `weft router update`, or delete it first.",
)
VPC_ID_INVALID = code(
    Kind.INVALID,
    "VPC_ID_INVALID",
    "Not the number of a stack",
    "The number of a stack is from 1 to 16777215.",
    "Choose another number.",
)
VLAN_INVALID = code(
    Kind.INVALID,
    "VLAN_INVALID",
    "Not a VLAN",
    "A VLAN is a number from 1 to 4094.",
    "Choose another number.",
)
LINK_NOT_FOUND = code(
    Kind.INVALID,
    "LINK_NOT_FOUND",
    "No such link",
    "The host's own namespace has no such link, or it is one of ours.",
    "Make it first: a NIC that is adopted, and an external bridge, are the operator's.",
)
NO_UNDERLAY = code(
    Kind.CONFLICT,
    "NO_UNDERLAY",
    "No underlay address",
    "The agent was not told which address of this host other hosts send to.",
    "Start it with `--underlay ADDRESS`.",
)
VNI_TAKEN = code(
    Kind.CONFLICT,
    "VNI_TAKEN",
    "VNI taken",
    "Another network of this host has this VNI on the wire.",
    "Name another one for the VLAN with `--vni`, on all hosts that it spans.",
)
ROUTER_RANGE_TOO_WIDE = code(
    Kind.INVALID,
    "ROUTER_RANGE_TOO_WIDE",
    "Ranges too far apart",
    "The ranges of a router with NAT must lie in one of at most /8.",
    "Choose ranges that are closer, such as all in 10.0.0.0/8.",
)
WATCHED_TOO_SLOWLY = code(
    Kind.THROTTLED,
    "WATCHED_TOO_SLOWLY",
    "Watched too slowly",
    "More changes came than are kept for whoever watches.",
    "List what is there, and watch anew.",
)
