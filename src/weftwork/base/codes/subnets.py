"""VPCs, subnets, and subnets that other projects share."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

# VPCs and subnets.

INVALID_CIDR = code(
    Kind.INVALID,
    "INVALID_CIDR",
    "Invalid CIDR",
    "The range is malformed, has host bits set, has a size that is not offered, or cannot be used by guests.",
    "Give a unicast range such as 10.1.0.0/16.",
)
CIDR_OVERLAP = code(
    Kind.CONFLICT,
    "CIDR_OVERLAP",
    "Overlapping CIDR",
    "The range overlaps another subnet of the VPC, a peer's range, or a range that the operator reserved.",
    "Choose a range that does not overlap, or leave it out to get a free one.",
)
SUBNET_OUTSIDE_VPC = code(
    Kind.INVALID,
    "SUBNET_OUTSIDE_VPC",
    "Subnet outside its VPC",
    "The subnet's range is not inside the VPC's.",
    "Choose a range inside the VPC's, which `weft vpc show` tells.",
)
IPV6_NOT_SUPPORTED = code(
    Kind.INVALID,
    "IPV6_NOT_SUPPORTED",
    "IPv6 is not supported here yet",
    "VPCs, subnets, ports and NAT have IPv4 addresses for now, and rules with IPv6 ranges would match nothing.",
    "Give an IPv4 range or address; leave out rules for `::/0`.",
)
CIDR_POOL_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "CIDR_POOL_EXHAUSTED",
    "No free range",
    "Every range of the pool (for a VPC), or of the VPC (for a subnet), is taken.",
    "Give a range of your own, or delete what is not needed.",
)
VNI_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "VNI_EXHAUSTED",
    "No free network number",
    "Every virtual network identifier of the deployment is taken.",
    "Delete VPCs that are not needed.",
)
VLAN_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "VLAN_EXHAUSTED",
    "Too many subnets",
    "A VPC has at most 4094 subnets.",
    "Delete subnets that are not needed.",
)
VPC_NOT_FOUND = code(
    Kind.UNKNOWN,
    "VPC_NOT_FOUND",
    "No such VPC",
    "The project has no VPC, or you may not see it.",
    "Check organisation and project, or create it with `weft vpc create`.",
)
VPC_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "VPC_ALREADY_EXISTS",
    "VPC already exists",
    "The project has a VPC that differs from the one asked for. A project has one VPC.",
    "Use the VPC that is there, or delete it first.",
)
SUBNET_NOT_FOUND = code(
    Kind.UNKNOWN,
    "SUBNET_NOT_FOUND",
    "No such subnet",
    "The project has no subnet of this name or id.",
    "See `weft subnet list`.",
)
SUBNET_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "SUBNET_ALREADY_EXISTS",
    "Subnet already exists",
    "The project has a subnet of this name that differs from the one asked for.",
    "Choose another name, or ask for the same parameters.",
)

# Shared subnets.

SHARE_NOT_FOUND = code(
    Kind.UNKNOWN,
    "SHARE_NOT_FOUND",
    "No such share",
    "The subnet is not shared with this project.",
    "See `weft subnet shares`.",
)
PORT_IN_SHARED_SUBNET = code(
    Kind.INVALID,
    "PORT_IN_SHARED_SUBNET",
    "A port in another project's subnet",
    "A reach test is held against every change that could break it, so one about such a port would let the borrower "
    "stop what the lender does.",
    "Ask `weft explain`; `--dry-run` says what a change would open or close for it.",
)
