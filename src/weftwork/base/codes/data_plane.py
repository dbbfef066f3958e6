"""What the data plane carries, and its packets for those who may see them."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

# What the data plane carries.

BACKEND_UNSUPPORTED = code(
    Kind.INVALID,
    "BACKEND_UNSUPPORTED",
    "Not carried by the data plane",
    "The data plane that this network runs on cannot carry what was asked for, and would do less without a word.",
    "Ask for what the message says instead; docs/reference/data-planes.md lists what each data plane carries.",
)

# Packets, for those who may see them.

CAPTURE_FILTER_INVALID = code(
    Kind.INVALID,
    "CAPTURE_FILTER_INVALID",
    "Filter not understood",
    "The expression does not say which packets, in the language of pcap-filter(7).",
    "Write it as for tcpdump, such as `tcp port 443 and host 10.0.1.5`, with addresses instead of names.",
)
CAPTURE_UNAVAILABLE = code(
    Kind.CONFLICT,
    "CAPTURE_UNAVAILABLE",
    "No capture there",
    "Packets are captured at a port's device, and there is none, or the host cannot listen at it.",
    "Attach the port, and wait until it is programmed: weft wait port NAME; a host needs tcpdump.",
)
TOO_MANY_CAPTURES = code(
    Kind.THROTTLED,
    "TOO_MANY_CAPTURES",
    "Too many captures",
    "A host runs so many captures at the same time and no more: each copies packets.",
    "Wait until one has ended, and end yours when you have seen enough.",
)
