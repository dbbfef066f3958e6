"""Network policies."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

NETWORK_POLICY_NOT_FOUND = code(
    Kind.UNKNOWN,
    "NETWORK_POLICY_NOT_FOUND",
    "No such network policy",
    "The project has no network policy of this name or id.",
    "See `weft network-policy list`.",
)
NETWORK_POLICY_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "NETWORK_POLICY_ALREADY_EXISTS",
    "Network policy already exists",
    "The project has a policy of this name, of another kind or target, or with another priority or other rules.",
    "Choose another name, or change the policy with `weft network-policy update`.",
)
INVALID_PRIORITY = code(
    Kind.INVALID,
    "INVALID_PRIORITY",
    "Invalid priority",
    "A policy has a priority from 1 to 65535; the lowest is asked first.",
    "Give a number from 1 to 65535.",
)
INVALID_ACTION = code(
    Kind.INVALID,
    "INVALID_ACTION",
    "Invalid action",
    "A rule of a policy allows or denies, and a rule of an isolation policy can only allow.",
    "Say `allow` or `deny`; in an isolation policy leave the denying to the policy itself.",
)
INVALID_POLICY_KIND = code(
    Kind.INVALID,
    "INVALID_POLICY_KIND",
    "Invalid kind of policy",
    "A network policy is for ingress, for egress, or an isolation.",
    "Say which of the three.",
)
TOO_MANY_POLICIES = code(
    Kind.EXHAUSTED,
    "TOO_MANY_POLICIES",
    "Too many network policies",
    "A project has at most 50 network policies.",
    "Put rules that belong together into one policy, or delete policies that are not needed.",
)
