"""MicroVMs as their host sees them."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

GUEST_NOT_HERE = code(
    Kind.UNKNOWN,
    "GUEST_NOT_HERE",
    "No such VM on this host",
    "The host does not know the VM (yet).",
    "Wait until the VM is programmed; its conditions say what keeps it.",
)
GUEST_NOT_RUNNING = code(
    Kind.CONFLICT,
    "GUEST_NOT_RUNNING",
    "VM is not running",
    "What was asked for takes a VM that runs.",
    "Start it, or wait until it is RUNNING.",
)
GUEST_BUSY = code(
    Kind.THROTTLED,
    "GUEST_BUSY",
    "Too many sessions in the VM",
    "All ways into the VM that do not lead over its network are taken.",
    "End a session, and try again.",
)
