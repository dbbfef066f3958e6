"""Every code a refused caller can meet: what it means and what to do. A code, once published, never changes meaning.

`CODE.refusal(message)` makes the error; `ALL` is for the reference page. Why packets pass or not is the registry's
other half, `base/reasons.py`; no code is in both.
"""

from dataclasses import dataclass

from weftwork.base.errors import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Code:
    """`name` travels as `google.rpc.ErrorInfo.reason`; `what_to_do` is the hint unless the refusal has its own."""

    kind: Kind
    name: str
    title: str
    meaning: str
    what_to_do: str

    def refusal(self, message: str, *, hint: str = "", **details: str) -> Refusal:
        return Refusal(self.kind, self.name, message, hint=hint or self.what_to_do, details=details)


ALL: dict[str, Code] = {}


def _code(kind: Kind, name: str, title: str, meaning: str, what_to_do: str) -> Code:
    assert name not in ALL, f"{name} is listed twice"
    ALL[name] = Code(kind, name, title, meaning, what_to_do)
    return ALL[name]


# Words of a request, before anything is looked up.

INVALID_ARGUMENT = _code(
    Kind.INVALID,
    "INVALID_ARGUMENT",
    "Invalid argument",
    "A field holds a value that it cannot have.",
    "Correct the field that the message names.",
)
MISSING_FIELD = _code(
    Kind.INVALID,
    "MISSING_FIELD",
    "Missing field",
    "A field that the call needs is empty.",
    "Fill in the field that the message names.",
)
FIELD_TOO_LONG = _code(
    Kind.INVALID,
    "FIELD_TOO_LONG",
    "Field too long",
    "A text or a list is longer than the field allows.",
    "Shorten it to the limit in the message.",
)
MESSAGE_TOO_LARGE = _code(
    Kind.INVALID,
    "MESSAGE_TOO_LARGE",
    "Message too large",
    "The whole request is larger than the server accepts.",
    "Split the request into several.",
)
MALFORMED_MESSAGE = _code(
    Kind.INVALID,
    "MALFORMED_MESSAGE",
    "Malformed message",
    "The request's bytes are not the message that the call takes, or a text in it is not UTF-8.",
    "Use a client that was generated from the same .proto files.",
)
UNKNOWN_FIELD = _code(
    Kind.INVALID,
    "UNKNOWN_FIELD",
    "Unknown field",
    "The JSON has a field, or the path a parameter, that the call does not know.",
    "Correct its spelling, or leave it out.",
)
INVALID_HEADER = _code(
    Kind.INVALID,
    "INVALID_HEADER",
    "Invalid header",
    "A header of the request holds what it cannot hold, or has no meaning for this call.",
    "Correct the header that the message names, or leave it out.",
)
INVALID_FILTER = _code(
    Kind.INVALID,
    "INVALID_FILTER",
    "Invalid filter or order",
    "The filter or the order of a list is not understood, or names a field that the things of the list do not have.",
    'Write such as name = "web1" AND mtu_bytes > 1400; see docs/reference/rest.md.',
)
INVALID_NAME = _code(
    Kind.INVALID,
    "INVALID_NAME",
    "Invalid name",
    "Names are RFC 1123 labels: a-z, 0-9 and -, at most 63, neither first nor last a -.",
    "Use a-z, 0-9 and -, at most 63 of them, with a letter or a digit at both ends.",
)
INVALID_IP = _code(
    Kind.INVALID,
    "INVALID_IP",
    "Invalid IP address",
    "The text is not an IP address, or not one that can be used here.",
    "Give an address such as 10.1.0.10.",
)
INVALID_MAC = _code(
    Kind.INVALID,
    "INVALID_MAC",
    "Invalid MAC address",
    "The text is not a unicast MAC address.",
    "Give an address such as 02:57:00:00:00:01, or leave the field empty.",
)
INVALID_PROTOCOL = _code(
    Kind.INVALID,
    "INVALID_PROTOCOL",
    "Invalid protocol",
    "The protocol is unknown, or cannot be used here.",
    "Use tcp, udp, icmp or all; NAT takes tcp or udp.",
)
INVALID_PORT_RANGE = _code(
    Kind.INVALID,
    "INVALID_PORT_RANGE",
    "Invalid port range",
    "Transport ports are 0-65535 (in NAT 1-65535), the lower one first, and belong to TCP and UDP only.",
    "Correct the range, or leave it out to mean all ports.",
)
INVALID_SOURCE = _code(
    Kind.INVALID,
    "INVALID_SOURCE",
    "Invalid rule source",
    "The source of a rule is neither a CIDR nor a security group.",
    "Give a CIDR such as 0.0.0.0/0, or the name of a security group.",
)
INVALID_LEASE_TIME = _code(
    Kind.INVALID,
    "INVALID_LEASE_TIME",
    "Invalid lease time",
    "DHCP leases last from a minute to a year.",
    "Give 60 to 31536000 seconds, or 0 for a day.",
)
INVALID_DOMAIN_NAME = _code(
    Kind.INVALID,
    "INVALID_DOMAIN_NAME",
    "Invalid domain name",
    "The text is not a domain name.",
    "Give a name such as internal.example.",
)
INVALID_PAGE_TOKEN = _code(
    Kind.INVALID,
    "INVALID_PAGE_TOKEN",
    "Invalid page token",
    "The page token is not one of ours, or of another list.",
    "Start from the first page, with an empty token.",
)
INVALID_NETNS = _code(
    Kind.INVALID,
    "INVALID_NETNS",
    "Invalid network namespace",
    "The name cannot be a network namespace's, or is one of ours (weft-...).",
    "Name a namespace as in `ip netns list`: letters, digits, dot, dash and underscore, at most 64.",
)
INVALID_INTERFACE = _code(
    Kind.INVALID,
    "INVALID_INTERFACE",
    "Invalid interface name",
    "Interface names have at most 15 characters, without spaces, slashes and colons.",
    "Give a name such as eth0.",
)

# VPCs and subnets.

INVALID_CIDR = _code(
    Kind.INVALID,
    "INVALID_CIDR",
    "Invalid CIDR",
    "The range is malformed, has host bits set, has a size that is not offered, or cannot be used by guests.",
    "Give a unicast range such as 10.1.0.0/16.",
)
CIDR_OVERLAP = _code(
    Kind.CONFLICT,
    "CIDR_OVERLAP",
    "Overlapping CIDR",
    "The range overlaps another subnet of the VPC, a peer's range, or a range that the operator reserved.",
    "Choose a range that does not overlap, or leave it out to get a free one.",
)
SUBNET_OUTSIDE_VPC = _code(
    Kind.INVALID,
    "SUBNET_OUTSIDE_VPC",
    "Subnet outside its VPC",
    "The subnet's range is not inside the VPC's.",
    "Choose a range inside the VPC's, which `weft vpc show` tells.",
)
IPV6_NOT_SUPPORTED = _code(
    Kind.INVALID,
    "IPV6_NOT_SUPPORTED",
    "IPv6 is not supported here yet",
    "VPCs, subnets, ports and NAT have IPv4 addresses for now, and rules with IPv6 ranges would match nothing.",
    "Give an IPv4 range or address; leave out rules for `::/0`.",
)
CIDR_POOL_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "CIDR_POOL_EXHAUSTED",
    "No free range",
    "Every range of the pool (for a VPC), or of the VPC (for a subnet), is taken.",
    "Give a range of your own, or delete what is not needed.",
)
VNI_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "VNI_EXHAUSTED",
    "No free network number",
    "Every virtual network identifier of the deployment is taken.",
    "Delete VPCs that are not needed.",
)
VLAN_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "VLAN_EXHAUSTED",
    "Too many subnets",
    "A VPC has at most 4094 subnets.",
    "Delete subnets that are not needed.",
)
VPC_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "VPC_NOT_FOUND",
    "No such VPC",
    "The project has no VPC, or you may not see it.",
    "Check organisation and project, or create it with `weft vpc create`.",
)
VPC_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "VPC_ALREADY_EXISTS",
    "VPC already exists",
    "The project has a VPC that differs from the one asked for. A project has one VPC.",
    "Use the VPC that is there, or delete it first.",
)
SUBNET_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "SUBNET_NOT_FOUND",
    "No such subnet",
    "The project has no subnet of this name or id.",
    "See `weft subnet list`.",
)
SUBNET_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "SUBNET_ALREADY_EXISTS",
    "Subnet already exists",
    "The project has a subnet of this name that differs from the one asked for.",
    "Choose another name, or ask for the same parameters.",
)

# Ports.

PORT_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "PORT_NOT_FOUND",
    "No such port",
    "The project has no port of this name or id.",
    "See `weft port list`.",
)
PORT_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "PORT_ALREADY_EXISTS",
    "Port already exists",
    "The project has a port of this name that differs from the one asked for.",
    "Choose another name, or ask for the same parameters.",
)
IP_OUTSIDE_SUBNET = _code(
    Kind.INVALID,
    "IP_OUTSIDE_SUBNET",
    "Address outside the subnet",
    "The address is not inside the subnet (for NAT: not inside any subnet of the VPC).",
    "Choose an address inside it, or leave it out to get a free one.",
)
IP_RESERVED = _code(
    Kind.INVALID,
    "IP_RESERVED",
    "Reserved address",
    "The address is the subnet's network, gateway or broadcast address.",
    "Choose another address, or leave it out to get a free one.",
)
IP_ALREADY_ALLOCATED = _code(
    Kind.CONFLICT,
    "IP_ALREADY_ALLOCATED",
    "Address already in use",
    "Another port of the subnet has the address.",
    "Choose another address, or leave it out to get a free one.",
)
SUBNET_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "SUBNET_EXHAUSTED",
    "No free address",
    "Every address of the subnet is taken.",
    "Delete ports that are not needed, or create another subnet.",
)
MAC_ALREADY_USED = _code(
    Kind.CONFLICT,
    "MAC_ALREADY_USED",
    "MAC already in use",
    "Another port of the VPC has the MAC address.",
    "Choose another MAC, or leave it out to get a new one.",
)
MAC_RESERVED = _code(
    Kind.INVALID,
    "MAC_RESERVED",
    "Reserved MAC",
    "MAC addresses that begin with 02:47 are the gateways'.",
    "Choose another MAC, or leave it out to get a new one.",
)
MAC_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "MAC_EXHAUSTED",
    "No MAC left",
    "The VPC has given out all of its 4294967296 MAC addresses; none is given twice.",
    "Give MAC addresses of your own, or create the VPC anew.",
)
PORT_ALREADY_ATTACHED = _code(
    Kind.CONFLICT,
    "PORT_ALREADY_ATTACHED",
    "Port already attached",
    "The port belongs to another VM, or is plugged into a network namespace.",
    "Detach or unplug it first, or use another port.",
)
PORT_ATTACHED_OTHERWISE = _code(
    Kind.CONFLICT,
    "PORT_ATTACHED_OTHERWISE",
    "Port attached in another way",
    "A VM's port is detached and a plugged one is unplugged, not the other way round.",
    "Use detach for a VM's port and unplug for a namespace's.",
)
NOTHING_TO_PLUG_INTO = _code(
    Kind.CONFLICT,
    "NOTHING_TO_PLUG_INTO",
    "No chassis to plug into",
    "This server writes OVN's rows for chassis that others look after: no namespace of theirs is within its reach.",
    "Attach the port to its VM, and give the VM's interface the port's `iface-id` on its chassis.",
)
INTERFACE_IN_USE = _code(
    Kind.CONFLICT,
    "INTERFACE_IN_USE",
    "Interface name in use",
    "Another port is plugged into the namespace under this interface name.",
    "Choose another interface name, or unplug the other port.",
)

# Security groups.

SECURITY_GROUP_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "SECURITY_GROUP_NOT_FOUND",
    "No such security group",
    "The project has no security group of this name or id.",
    "See `weft security-group list`.",
)
SECURITY_GROUP_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "SECURITY_GROUP_ALREADY_EXISTS",
    "Security group already exists",
    "The project has a security group of this name that differs from the one asked for.",
    "Choose another name, or update the group that is there.",
)
SECURITY_GROUP_REQUIRED = _code(
    Kind.IN_USE,
    "SECURITY_GROUP_REQUIRED",
    "Security group is needed",
    "The group `default` is what ports without a group get; it goes with its VPC.",
    "Remove the group's rules, if they should allow nothing.",
)
TOO_MANY_SECURITY_GROUPS = _code(
    Kind.INVALID,
    "TOO_MANY_SECURITY_GROUPS",
    "Too many security groups",
    "A port has at most 16 security groups.",
    "Put the rules of several groups into one.",
)
TOO_MANY_RULES = _code(
    Kind.INVALID,
    "TOO_MANY_RULES",
    "Too many rules",
    "A security group has at most 200 rules for each direction, a network policy at most 100.",
    "Use wider ranges, sources by security group, or several groups.",
)
RULE_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "RULE_NOT_FOUND",
    "No such rule",
    "The security group has no such rule.",
    "See `weft security-group show`; a rule is removed by the words it was added with.",
)
REVISION_CHANGED = _code(
    Kind.CONFLICT,
    "REVISION_CHANGED",
    "Changed in the meantime",
    "The object was changed after the revision that the call is for.",
    "Read it again, and decide again.",
)

# Several changes as one.

TOO_MANY_STEPS = _code(
    Kind.INVALID,
    "TOO_MANY_STEPS",
    "Too many changes in one batch",
    "A batch is one transaction, and holds only so many changes.",
    "Make several batches of it; each of them is all or nothing.",
)
INVALID_BATCH = _code(
    Kind.INVALID,
    "INVALID_BATCH",
    "Invalid batch",
    "A batch has no changes, an empty one, or a batch inside.",
    "Give it at least one change; put the changes of an inner batch into the outer one.",
)

# Project files.

INVALID_PROJECT_FILE = _code(
    Kind.INVALID,
    "INVALID_PROJECT_FILE",
    "Invalid project file",
    "A file does not have the form of project files, or holds what they may not hold.",
    "Correct the line that the message names; `weft schema` prints the form, `weft export` an example.",
)
REPLACE_NEEDED = _code(
    Kind.CONFLICT,
    "REPLACE_NEEDED",
    "Replacement needed",
    "What a file asks of an object cannot be had in place: it would have to be deleted and made again.",
    "See in the message what would be lost, then apply with --replace; or leave the object as it is.",
)

# Changes that undo themselves.

CONFIRMATION_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "CONFIRMATION_NOT_FOUND",
    "No such confirmation",
    "No change of the project waits, or waited lately, to be confirmed by that name; or the change changed nothing.",
    "See `weft confirm list`.",
)
CONFIRMATION_OVER = _code(
    Kind.CONFLICT,
    "CONFIRMATION_OVER",
    "Confirmation over",
    "The change waits for nothing any more: it was undone, or that was tried.",
    "See `weft confirm list`, then make the change again.",
)
CONFIRMATION_EXISTS = _code(
    Kind.EXISTS,
    "CONFIRMATION_EXISTS",
    "Confirmation exists",
    "Another change of the project is to be confirmed by that name.",
    "Choose another one, or let the server choose.",
)
INVALID_PROBE = _code(
    Kind.INVALID,
    "INVALID_PROBE",
    "Invalid probe",
    "A probe is not understood.",
    "Write it as `from web1 to 10.1.0.5 tcp/443`, or `not from web1 to internet icmp`.",
)

# The history.

REVISION_NOT_KNOWN = _code(
    Kind.UNKNOWN,
    "REVISION_NOT_KNOWN",
    "Revision not known",
    "The project's journal does not reach back to this revision, or has not come to it yet.",
    "`weft history` lists the revisions that are known.",
)
ROLLBACK_IMPOSSIBLE = _code(
    Kind.CONFLICT,
    "ROLLBACK_IMPOSSIBLE",
    "Rollback impossible",
    "What the project had then cannot be had again: somebody else has it now, or it would stand on nothing.",
    "Go back to a later revision, or make the change by hand around what the message names.",
)

# NAT.

SNAT_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "SNAT_NOT_FOUND",
    "No such SNAT",
    "The VPC has no SNAT, or not with this external address.",
    "See `weft snat list`.",
)
SNAT_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "SNAT_ALREADY_EXISTS",
    "SNAT already exists",
    "The VPC has a SNAT that differs from the one asked for. A VPC has one SNAT.",
    "Delete the SNAT that is there first.",
)
DNAT_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "DNAT_NOT_FOUND",
    "No such DNAT",
    "The VPC has no DNAT for this external address, port and protocol.",
    "See `weft dnat list`.",
)
DNAT_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "DNAT_ALREADY_EXISTS",
    "DNAT already exists",
    "The external port is forwarded to another address or port already.",
    "Choose another external port, or delete the DNAT that is there first.",
)
NAT_TARGET_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "NAT_TARGET_NOT_FOUND",
    "No port at the internal address",
    "No port of the VPC has the internal address.",
    "Create the port first, or choose the address of a port.",
)
EXTERNAL_IP_NOT_OFFERED = _code(
    Kind.INVALID,
    "EXTERNAL_IP_NOT_OFFERED",
    "External address not offered",
    "The address is not in the operator's external pools, or is their network, gateway or broadcast address.",
    "Leave it out to get a free one.",
)
EXTERNAL_IP_IN_USE = _code(
    Kind.CONFLICT,
    "EXTERNAL_IP_IN_USE",
    "External address in use",
    "The external address belongs to another VPC.",
    "Leave it out to get a free one.",
)
EXTERNAL_POOL_EXHAUSTED = _code(
    Kind.EXHAUSTED,
    "EXTERNAL_POOL_EXHAUSTED",
    "No free external address",
    "Every external address is taken, or the operator offers none.",
    "Ask the operator for external addresses, or use one that your VPC has.",
)

# Peerings.

PEERING_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "PEERING_NOT_FOUND",
    "No such peering",
    "The project has no half of a peering of this name, or with this project.",
    "See `weft peering list`; make the project's half with `weft peering create`.",
)
PEERING_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "PEERING_ALREADY_EXISTS",
    "Peering already exists",
    "The project has a peering of this name with another project, or one with this project under another name.",
    "Choose another name, or use the peering that is there.",
)
INVALID_PEER = _code(
    Kind.INVALID,
    "INVALID_PEER",
    "Invalid peer",
    "VPCs are peered, and subnets shared, with another project.",
    "Name the other project as ORG/PROJECT.",
)
TOO_MANY_PEERINGS = _code(
    Kind.EXHAUSTED,
    "TOO_MANY_PEERINGS",
    "Too many peerings",
    "A VPC has at most 50 peerings.",
    "Delete peerings that are not needed.",
)

# Network policies.

NETWORK_POLICY_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "NETWORK_POLICY_NOT_FOUND",
    "No such network policy",
    "The project has no network policy of this name or id.",
    "See `weft network-policy list`.",
)
NETWORK_POLICY_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "NETWORK_POLICY_ALREADY_EXISTS",
    "Network policy already exists",
    "The project has a policy of this name, of another kind or target, or with another priority or other rules.",
    "Choose another name, or change the policy with `weft network-policy update`.",
)
INVALID_PRIORITY = _code(
    Kind.INVALID,
    "INVALID_PRIORITY",
    "Invalid priority",
    "A policy has a priority from 1 to 65535; the lowest is asked first.",
    "Give a number from 1 to 65535.",
)
INVALID_ACTION = _code(
    Kind.INVALID,
    "INVALID_ACTION",
    "Invalid action",
    "A rule of a policy allows or denies, and a rule of an isolation policy can only allow.",
    "Say `allow` or `deny`; in an isolation policy leave the denying to the policy itself.",
)
INVALID_POLICY_KIND = _code(
    Kind.INVALID,
    "INVALID_POLICY_KIND",
    "Invalid kind of policy",
    "A network policy is for ingress, for egress, or an isolation.",
    "Say which of the three.",
)
TOO_MANY_POLICIES = _code(
    Kind.EXHAUSTED,
    "TOO_MANY_POLICIES",
    "Too many network policies",
    "A project has at most 50 network policies.",
    "Put rules that belong together into one policy, or delete policies that are not needed.",
)

# Reach tests.

REACH_TEST_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "REACH_TEST_NOT_FOUND",
    "No such reach test",
    "The project has no reach test of this name or id.",
    "See `weft reach-test list`.",
)
REACH_TEST_ALREADY_EXISTS = _code(
    Kind.EXISTS,
    "REACH_TEST_ALREADY_EXISTS",
    "Reach test already exists",
    "The project has a reach test of this name that differs from the one asked for.",
    "Choose another name, or replace it with `weft reach-test apply`.",
)
INVALID_REACH_TEST = _code(
    Kind.INVALID,
    "INVALID_REACH_TEST",
    "Invalid reach test",
    "A word of a reach test is not understood, or the two ends together make no question.",
    "Ends are port:NAME, group:NAME, subnet:NAME, an address, a CIDR or internet; services tcp/443, udp/53, icmp, all.",
)
TOO_MANY_REACH_TESTS = _code(
    Kind.INVALID,
    "TOO_MANY_REACH_TESTS",
    "Too many reach tests",
    "A project has at most 200 reach tests.",
    "Name groups or subnets instead of single ports, so that one test says more.",
)
REACH_TEST_FAILS = _code(
    Kind.CONFLICT,
    "REACH_TEST_FAILS",
    "Reach test fails now",
    "A reach test is stored only if it holds at that moment; the message names a packet that shows that it does not.",
    "Change the network or the test; or store it all the same with --override-reach-tests.",
)
REACH_TEST_FAILED = _code(
    Kind.CONFLICT,
    "REACH_TEST_FAILED",
    "A reach test forbids it",
    "The change would make a reach test of the project fail; the message names the test and a packet that shows it. "
    "Nothing was changed.",
    "Make another change, change the test (`weft reach-test apply`), or repeat the call with --override-reach-tests.",
)

# Shared subnets.

SHARE_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "SHARE_NOT_FOUND",
    "No such share",
    "The subnet is not shared with this project.",
    "See `weft subnet shares`.",
)
PORT_IN_SHARED_SUBNET = _code(
    Kind.INVALID,
    "PORT_IN_SHARED_SUBNET",
    "A port in another project's subnet",
    "A reach test is held against every change that could break it, so one about such a port would let the borrower "
    "stop what the lender does.",
    "Ask `weft explain`; `--dry-run` says what a change would open or close for it.",
)

# Who may, and how much.

NOT_AUTHENTICATED = _code(
    Kind.UNAUTHENTICATED,
    "NOT_AUTHENTICATED",
    "Not logged in",
    "The call does not say who makes it, or what says so is not valid, or is no longer.",
    "Log in with `weft login`, or give an API token with WEFT_TOKEN.",
)
ROLE_TOO_LOW = _code(
    Kind.FORBIDDEN,
    "ROLE_TOO_LOW",
    "Role too low",
    "Who makes the call is known, and has not the role that it needs.",
    "Ask an administrator of the project for the role that the message names.",
)
IDENTITY_PROVIDER_UNAVAILABLE = _code(
    Kind.UNAVAILABLE,
    "IDENTITY_PROVIDER_UNAVAILABLE",
    "Identity provider away",
    "The issuer of logins does not answer, and the server has no keys of it to check a login with.",
    "Try again in half a minute; the operator sees why in the server's log.",
)
TLS_REQUIRED = _code(
    Kind.INVALID,
    "TLS_REQUIRED",
    "Needs TLS",
    "The server is told to listen where others than this machine reach it, and has no certificate.",
    "Set server.tls_certificate and server.tls_key, or listen on 127.0.0.1 or [::1].",
)
TLS_UNAVAILABLE = _code(
    Kind.UNAVAILABLE,
    "TLS_UNAVAILABLE",
    "Unusable certificate",
    "The server's certificate, its key or the authority of its clients cannot be read, or do not fit each other.",
    "Correct the files that server.tls_certificate, server.tls_key and server.tls_client_ca name.",
)
TOKEN_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "TOKEN_NOT_FOUND",
    "No such token",
    "No API token of the project, or of the organisation, has this id.",
    "List them with `weft token list`.",
)
QUOTA_EXCEEDED = _code(
    Kind.EXHAUSTED,
    "QUOTA_EXCEEDED",
    "Quota used up",
    "The project has as many as it may have; the details say of what, how many, and the limit.",
    "Delete what is not needed, or ask the operator for more: `weft quota show` says what there is.",
)
EXTERNAL_IP_NOT_ALLOWED = _code(
    Kind.FORBIDDEN,
    "EXTERNAL_IP_NOT_ALLOWED",
    "External address not allowed",
    "The operator lets the project use some external addresses only, and not this one.",
    "Use one that the message lists, or leave it out to get one that is free.",
)
CIDR_NOT_ALLOWED = _code(
    Kind.FORBIDDEN,
    "CIDR_NOT_ALLOWED",
    "Range not allowed",
    "The operator lets the project's VPC have some ranges only, and not this one.",
    "Use one inside those that the message lists, or leave it out.",
)
TOO_MANY_REQUESTS = _code(
    Kind.THROTTLED,
    "TOO_MANY_REQUESTS",
    "Too many requests",
    "The tenant asks more often, or has more calls and watches going on, than the server lets one tenant.",
    "Wait a moment, and ask less often; what many calls read one by one, a list reads at once.",
)

# Every noun.

IN_USE = _code(
    Kind.IN_USE,
    "IN_USE",
    "Still in use",
    "Something depends on the object; the message and the details say what.",
    "Delete what depends on it first, or repeat the call with --cascade.",
)
TOO_MANY_CONFLICTS = _code(
    Kind.CONFLICT,
    "TOO_MANY_CONFLICTS",
    "Too many conflicts",
    "Others kept changing the same objects while the call was being decided. Nothing was changed.",
    "Try again.",
)

# The data plane.

OVN_CONNECTION_FAILED = _code(
    Kind.UNAVAILABLE,
    "OVN_CONNECTION_FAILED",
    "OVN cannot be reached",
    "The server cannot connect to OVN's northbound database.",
    "Check the endpoint, and that ovsdb-server runs.",
)
STORE_UNAVAILABLE = _code(
    Kind.UNAVAILABLE,
    "STORE_UNAVAILABLE",
    "Store unavailable",
    "The store is out of reach or full. Nothing was changed, or the change is not known to be durable.",
    "Try again; look at the server's log and at the free space of its disk.",
)
STORE_NOT_EMPTY = _code(
    Kind.CONFLICT,
    "STORE_NOT_EMPTY",
    "Store not empty",
    "A store is moved into an empty one only: nothing is overwritten or mixed.",
    "Name another target, or empty this one.",
)
STORE_NOT_MOVED = _code(
    Kind.CONFLICT,
    "STORE_NOT_MOVED",
    "Store not moved",
    "After the copy the two stores do not hold the same: somebody wrote meanwhile.",
    "Stop all servers over both stores, empty the target and do it again.",
)
STORE_LIMIT = _code(
    Kind.UNAVAILABLE,
    "STORE_LIMIT",
    "Too large for the store",
    "The change is larger than etcd's members are told to take in one transaction. Nothing was changed.",
    "Start etcd with --max-txn-ops and --max-request-bytes as docs/howto/run-on-etcd.md says, or make smaller changes.",
)
TARGET_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "TARGET_NOT_FOUND",
    "No such target",
    "There is no host of this name, or the host has no such driver.",
    "See `weft target list`.",
)

# The server.

NOT_READY = _code(
    Kind.UNAVAILABLE,
    "NOT_READY",
    "Server not ready",
    "The server has started and still reads its store.",
    "Try again in a moment; the health service says when it is ready.",
)
TOO_MANY_CALLS = _code(
    Kind.UNAVAILABLE,
    "TOO_MANY_CALLS",
    "Too many calls at once",
    "The server works on as many calls as it takes. Nothing was changed.",
    "Try again in a moment, with fewer calls in flight.",
)


# The REST door.

NO_SUCH_PATH = _code(
    Kind.UNKNOWN,
    "NO_SUCH_PATH",
    "No such path",
    "Nothing is at this path, whoever asks.",
    "See /docs for the paths that there are.",
)
METHOD_NOT_ALLOWED = _code(
    Kind.INVALID,
    "METHOD_NOT_ALLOWED",
    "Method not allowed",
    "The path is there, and does not take this method.",
    "Use one of the methods in the header Allow.",
)
NOT_ACCEPTABLE = _code(
    Kind.INVALID,
    "NOT_ACCEPTABLE",
    "Not acceptable",
    "The caller accepts none of the media types that the answer comes in.",
    "Accept application/json; of a watch, text/event-stream.",
)
UNSUPPORTED_MEDIA_TYPE = _code(
    Kind.INVALID,
    "UNSUPPORTED_MEDIA_TYPE",
    "Unsupported media type",
    "The body of the request is of a type that the call does not take.",
    "Send JSON, with Content-Type: application/json.",
)

REQUEST_TOO_SLOW = _code(
    Kind.INVALID,
    "REQUEST_TOO_SLOW",
    "Request too slow",
    "The body of the request did not arrive in time.",
    "Send the body right behind the head of the request.",
)
CROSS_SITE = _code(
    Kind.FORBIDDEN,
    "CROSS_SITE",
    "From another site",
    "A browser sent the request for a page of another site, or under a name that is not this server's.",
    "Open the server's own page, at localhost or at its address.",
)

# What the data plane carries.

BACKEND_UNSUPPORTED = _code(
    Kind.INVALID,
    "BACKEND_UNSUPPORTED",
    "Not carried by the data plane",
    "The data plane that this network runs on cannot carry what was asked for, and would do less without a word.",
    "Ask for what the message says instead; docs/reference/data-planes.md lists what each data plane carries.",
)

# Packets, for those who may see them.

CAPTURE_FILTER_INVALID = _code(
    Kind.INVALID,
    "CAPTURE_FILTER_INVALID",
    "Filter not understood",
    "The expression does not say which packets, in the language of pcap-filter(7).",
    "Write it as for tcpdump, such as `tcp port 443 and host 10.0.1.5`, with addresses instead of names.",
)
CAPTURE_UNAVAILABLE = _code(
    Kind.CONFLICT,
    "CAPTURE_UNAVAILABLE",
    "No capture there",
    "Packets are captured at a port's device, and there is none, or the host cannot listen at it.",
    "Attach the port, and wait until it is programmed: weft wait port NAME; a host needs tcpdump.",
)
TOO_MANY_CAPTURES = _code(
    Kind.THROTTLED,
    "TOO_MANY_CAPTURES",
    "Too many captures",
    "A host runs so many captures at the same time and no more: each copies packets.",
    "Wait until one has ended, and end yours when you have seen enough.",
)

# The fleet.

NO_FLEET = _code(
    Kind.CONFLICT,
    "NO_FLEET",
    "No fleet here",
    "This server looks after no other hosts: it listens for no agents.",
    "Start `weft server` with `--agents-listen`; one machine alone needs no hosts.",
)
HOST_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "HOST_NOT_FOUND",
    "No such host",
    "The fleet has no host of this name.",
    "List them with `weft host list`.",
)
HOST_ALREADY_EXISTS = _code(
    Kind.CONFLICT,
    "HOST_ALREADY_EXISTS",
    "Host exists",
    "The fleet has a host of this name, or one with this underlay address.",
    "Choose another name or address; for a new token of the same host, say `--again`.",
)
HOST_IN_USE = _code(
    Kind.CONFLICT,
    "HOST_IN_USE",
    "Host in use",
    "Ports are plugged on the host.",
    "Plug them on another host, or unplug them, and try again.",
)
HOST_DRAINING = _code(
    Kind.CONFLICT,
    "HOST_DRAINING",
    "Host is being drained",
    "No port is plugged on a host that is being drained.",
    "Choose another host, or end it with `weft host drain --undo`.",
)
JOIN_REFUSED = _code(
    Kind.FORBIDDEN,
    "JOIN_REFUSED",
    "Join refused",
    "The token is not known, was used, or has expired; or the host's certificate is good for no host any more.",
    "Get a new token with `weft host add NAME --again`, and start the agent with it.",
)
AGENT_ALREADY_CONNECTED = _code(
    Kind.CONFLICT,
    "AGENT_ALREADY_CONNECTED",
    "Agent already connected",
    "An agent with the same identity is connected, and answers.",
    "Stop one of the two: a host has one agent. After a lost connection, wait five seconds.",
)

# Doing a thing once, and following what happens.

IDEMPOTENCY_KEY_REUSED = _code(
    Kind.CONFLICT,
    "IDEMPOTENCY_KEY_REUSED",
    "Idempotency key used again",
    "The key stands for another request that was carried out in the last 24 hours.",
    "Make a new key for each new request, and send a key again only with the very same request.",
)
HISTORY_COMPACTED = _code(
    Kind.CONFLICT,
    "HISTORY_COMPACTED",
    "History is gone",
    "What happened after the revision is not kept any more, or the revision is of another store.",
    "Watch from the beginning: without a revision one gets everything as it is now, and what changes from there.",
)

# Container images.

INVALID_IMAGE_REFERENCE = _code(
    Kind.INVALID,
    "INVALID_IMAGE_REFERENCE",
    "Invalid name of an image",
    "The text is no name of a container image.",
    "Write such as nginx, nginx:1.27, registry.example/team/app:2 or app@sha256:… with 64 hexadecimal digits.",
)
IMAGE_NOT_FOUND = _code(
    Kind.UNKNOWN,
    "IMAGE_NOT_FOUND",
    "Image not found",
    "The registry, the file or this machine has no image of that name.",
    "Check its name and its tag; `weft image list` shows what is on this machine.",
)
IMAGE_ACCESS_DENIED = _code(
    Kind.FORBIDDEN,
    "IMAGE_ACCESS_DENIED",
    "Access to the image denied",
    "The registry wants a login that it was not given, or would send it over a line that others read.",
    "Log in with `docker login` or `podman login`, or let REGISTRY_AUTH_FILE name the file with the login.",
)
IMAGE_INVALID = _code(
    Kind.INVALID,
    "IMAGE_INVALID",
    "Invalid image",
    "A document of the image is not what the OCI specification says, or bytes are not those that their digest names.",
    "Pull it again; if it stays so, the image or its registry is damaged and has to be made or pushed anew.",
)
IMAGE_PLATFORM_MISSING = _code(
    Kind.INVALID,
    "IMAGE_PLATFORM_MISSING",
    "Image is not for this platform",
    "The image is not made for the operating system and the architecture that were asked for.",
    "Choose one of the platforms that the message lists, or another image.",
)
IMAGE_REFUSED = _code(
    Kind.INVALID,
    "IMAGE_REFUSED",
    "Image refused",
    "A layer of the image is damaged, leads out of the image, or grows beyond every measure. Nothing is left of it.",
    "Do not trust this image. When it is yours, make its layers anew.",
)
IMAGE_IN_USE = _code(
    Kind.IN_USE,
    "IMAGE_IN_USE",
    "Image in use",
    "The image's disk is in use.",
    "Stop what uses it first.",
)
IMAGES_BUSY = _code(
    Kind.CONFLICT,
    "IMAGES_BUSY",
    "Images are being changed",
    "Images come, or are removed, at this moment: one has to wait for the other.",
    "Ask again in a moment.",
)
REGISTRY_UNAVAILABLE = _code(
    Kind.UNAVAILABLE,
    "REGISTRY_UNAVAILABLE",
    "Registry unavailable",
    "The registry does not answer, breaks off again and again, or has too many requests.",
    "Try again later; what has arrived is kept, and only the rest is fetched then.",
)
