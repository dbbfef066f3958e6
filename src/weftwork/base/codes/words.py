"""Words of a request, before anything is looked up."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

INVALID_ARGUMENT = code(
    Kind.INVALID,
    "INVALID_ARGUMENT",
    "Invalid argument",
    "A field holds a value that it cannot have.",
    "Correct the field that the message names.",
)
MISSING_FIELD = code(
    Kind.INVALID,
    "MISSING_FIELD",
    "Missing field",
    "A field that the call needs is empty.",
    "Fill in the field that the message names.",
)
FIELD_TOO_LONG = code(
    Kind.INVALID,
    "FIELD_TOO_LONG",
    "Field too long",
    "A text or a list is longer than the field allows.",
    "Shorten it to the limit in the message.",
)
MESSAGE_TOO_LARGE = code(
    Kind.INVALID,
    "MESSAGE_TOO_LARGE",
    "Message too large",
    "The whole request is larger than the server accepts.",
    "Split the request into several.",
)
MALFORMED_MESSAGE = code(
    Kind.INVALID,
    "MALFORMED_MESSAGE",
    "Malformed message",
    "The request's bytes are not the message that the call takes, or a text in it is not UTF-8.",
    "Use a client that was generated from the same .proto files.",
)
UNKNOWN_FIELD = code(
    Kind.INVALID,
    "UNKNOWN_FIELD",
    "Unknown field",
    "The JSON has a field, or the path a parameter, that the call does not know.",
    "Correct its spelling, or leave it out.",
)
INVALID_HEADER = code(
    Kind.INVALID,
    "INVALID_HEADER",
    "Invalid header",
    "A header of the request holds what it cannot hold, or has no meaning for this call.",
    "Correct the header that the message names, or leave it out.",
)
INVALID_FILTER = code(
    Kind.INVALID,
    "INVALID_FILTER",
    "Invalid filter or order",
    "The filter or the order of a list is not understood, or names a field that the things of the list do not have.",
    'Write such as name = "web1" AND mtu_bytes > 1400; see docs/reference/rest.md.',
)
INVALID_NAME = code(
    Kind.INVALID,
    "INVALID_NAME",
    "Invalid name",
    "Names are RFC 1123 labels: a-z, 0-9 and -, at most 63, neither first nor last a -.",
    "Use a-z, 0-9 and -, at most 63 of them, with a letter or a digit at both ends.",
)
INVALID_IP = code(
    Kind.INVALID,
    "INVALID_IP",
    "Invalid IP address",
    "The text is not an IP address, or not one that can be used here.",
    "Give an address such as 10.1.0.10.",
)
INVALID_MAC = code(
    Kind.INVALID,
    "INVALID_MAC",
    "Invalid MAC address",
    "The text is not a unicast MAC address.",
    "Give an address such as 02:57:00:00:00:01, or leave the field empty.",
)
INVALID_PROTOCOL = code(
    Kind.INVALID,
    "INVALID_PROTOCOL",
    "Invalid protocol",
    "The protocol is unknown, or cannot be used here.",
    "Use tcp, udp, icmp or all; NAT takes tcp or udp.",
)
INVALID_PORT_RANGE = code(
    Kind.INVALID,
    "INVALID_PORT_RANGE",
    "Invalid port range",
    "Transport ports are 0-65535 (in NAT 1-65535), the lower one first, and belong to TCP and UDP only.",
    "Correct the range, or leave it out to mean all ports.",
)
INVALID_SOURCE = code(
    Kind.INVALID,
    "INVALID_SOURCE",
    "Invalid rule source",
    "The source of a rule is neither a CIDR nor a security group.",
    "Give a CIDR such as 0.0.0.0/0, or the name of a security group.",
)
INVALID_LEASE_TIME = code(
    Kind.INVALID,
    "INVALID_LEASE_TIME",
    "Invalid lease time",
    "DHCP leases last from a minute to a year.",
    "Give 60 to 31536000 seconds, or 0 for a day.",
)
INVALID_DOMAIN_NAME = code(
    Kind.INVALID,
    "INVALID_DOMAIN_NAME",
    "Invalid domain name",
    "The text is not a domain name.",
    "Give a name such as internal.example.",
)
INVALID_PAGE_TOKEN = code(
    Kind.INVALID,
    "INVALID_PAGE_TOKEN",
    "Invalid page token",
    "The page token is not one of ours, or of another list.",
    "Start from the first page, with an empty token.",
)
INVALID_NETNS = code(
    Kind.INVALID,
    "INVALID_NETNS",
    "Invalid network namespace",
    "The name cannot be a network namespace's, or is one of ours (weft-...).",
    "Name a namespace as in `ip netns list`: letters, digits, dot, dash and underscore, at most 64.",
)
INVALID_INTERFACE = code(
    Kind.INVALID,
    "INVALID_INTERFACE",
    "Invalid interface name",
    "Interface names have at most 15 characters, without spaces, slashes and colons.",
    "Give a name such as eth0.",
)
