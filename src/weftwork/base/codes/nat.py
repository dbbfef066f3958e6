"""NAT and external addresses."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

SNAT_NOT_FOUND = code(
    Kind.UNKNOWN,
    "SNAT_NOT_FOUND",
    "No such SNAT",
    "The VPC has no SNAT, or not with this external address.",
    "See `weft snat list`.",
)
SNAT_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "SNAT_ALREADY_EXISTS",
    "SNAT already exists",
    "The VPC has a SNAT that differs from the one asked for. A VPC has one SNAT.",
    "Delete the SNAT that is there first.",
)
DNAT_NOT_FOUND = code(
    Kind.UNKNOWN,
    "DNAT_NOT_FOUND",
    "No such DNAT",
    "The VPC has no DNAT for this external address, port and protocol.",
    "See `weft dnat list`.",
)
DNAT_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "DNAT_ALREADY_EXISTS",
    "DNAT already exists",
    "The external port is forwarded to another address or port already.",
    "Choose another external port, or delete the DNAT that is there first.",
)
NAT_TARGET_NOT_FOUND = code(
    Kind.UNKNOWN,
    "NAT_TARGET_NOT_FOUND",
    "No port at the internal address",
    "No port of the VPC has the internal address.",
    "Create the port first, or choose the address of a port.",
)
EXTERNAL_IP_NOT_OFFERED = code(
    Kind.INVALID,
    "EXTERNAL_IP_NOT_OFFERED",
    "External address not offered",
    "The address is not in the operator's external pools, or is their network, gateway or broadcast address.",
    "Leave it out to get a free one.",
)
EXTERNAL_IP_IN_USE = code(
    Kind.CONFLICT,
    "EXTERNAL_IP_IN_USE",
    "External address in use",
    "The external address belongs to another VPC.",
    "Leave it out to get a free one.",
)
EXTERNAL_POOL_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "EXTERNAL_POOL_EXHAUSTED",
    "No free external address",
    "Every external address is taken, or the operator offers none.",
    "Ask the operator for external addresses, or use one that your VPC has.",
)
