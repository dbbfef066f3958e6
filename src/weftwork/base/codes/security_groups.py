"""Security groups and their rules."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

SECURITY_GROUP_NOT_FOUND = code(
    Kind.UNKNOWN,
    "SECURITY_GROUP_NOT_FOUND",
    "No such security group",
    "The project has no security group of this name or id.",
    "See `weft security-group list`.",
)
SECURITY_GROUP_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "SECURITY_GROUP_ALREADY_EXISTS",
    "Security group already exists",
    "The project has a security group of this name that differs from the one asked for.",
    "Choose another name, or update the group that is there.",
)
SECURITY_GROUP_REQUIRED = code(
    Kind.IN_USE,
    "SECURITY_GROUP_REQUIRED",
    "Security group is needed",
    "The group `default` is what ports without a group get; it goes with its VPC.",
    "Remove the group's rules, if they should allow nothing.",
)
TOO_MANY_SECURITY_GROUPS = code(
    Kind.INVALID,
    "TOO_MANY_SECURITY_GROUPS",
    "Too many security groups",
    "A port has at most 16 security groups.",
    "Put the rules of several groups into one.",
)
TOO_MANY_RULES = code(
    Kind.INVALID,
    "TOO_MANY_RULES",
    "Too many rules",
    "A security group has at most 200 rules for each direction, a network policy at most 100.",
    "Use wider ranges, sources by security group, or several groups.",
)
RULE_NOT_FOUND = code(
    Kind.UNKNOWN,
    "RULE_NOT_FOUND",
    "No such rule",
    "The security group has no such rule.",
    "See `weft security-group show`; a rule is removed by the words it was added with.",
)
REVISION_CHANGED = code(
    Kind.CONFLICT,
    "REVISION_CHANGED",
    "Changed in the meantime",
    "The object was changed after the revision that the call is for.",
    "Read it again, and decide again.",
)
