"""Peerings between VPCs."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

PEERING_NOT_FOUND = code(
    Kind.UNKNOWN,
    "PEERING_NOT_FOUND",
    "No such peering",
    "The project has no half of a peering of this name, or with this project.",
    "See `weft peering list`; make the project's half with `weft peering create`.",
)
PEERING_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "PEERING_ALREADY_EXISTS",
    "Peering already exists",
    "The project has a peering of this name with another project, or one with this project under another name.",
    "Choose another name, or use the peering that is there.",
)
INVALID_PEER = code(
    Kind.INVALID,
    "INVALID_PEER",
    "Invalid peer",
    "VPCs are peered, and subnets shared, with another project.",
    "Name the other project as ORG/PROJECT.",
)
TOO_MANY_PEERINGS = code(
    Kind.EXHAUSTED,
    "TOO_MANY_PEERINGS",
    "Too many peerings",
    "A VPC has at most 50 peerings.",
    "Delete peerings that are not needed.",
)
