"""Of VMs, and of the keys that let people into them."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

VM_NOT_FOUND = code(
    Kind.UNKNOWN,
    "VM_NOT_FOUND",
    "No such VM",
    "The project has no VM of this name or id.",
    "See `weft vm ps`.",
)
VM_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "VM_ALREADY_EXISTS",
    "VM already exists",
    "The project has a VM of this name, and the call would make another one.",
    "Choose another name, or remove that one with `weft vm rm`.",
)
INVALID_VM = code(
    Kind.INVALID,
    "INVALID_VM",
    "Invalid VM",
    "Something that was asked for of a VM cannot be: its size, a service, an environment variable, a placement.",
    "Correct what the message names.",
)
VM_NOT_STOPPED = code(
    Kind.CONFLICT,
    "VM_NOT_STOPPED",
    "VM is not stopped",
    "What was asked for is possible only while the VM is stopped.",
    "Stop it first: `weft vm stop NAME`.",
)
PORT_OF_VM = code(
    Kind.CONFLICT,
    "PORT_OF_VM",
    "Port of a VM",
    "The port came with a VM and goes with it: it cannot be deleted, detached or plugged by itself.",
    "Remove the VM with `weft vm rm NAME`.",
)
NO_HOST_FITS = code(
    Kind.CONFLICT,
    "NO_HOST_FITS",
    "No host fits",
    "No host can take the VM; the message says of each why.",
    "Add a host, free one, or ask for less: a smaller flavour, fewer labels.",
)
NO_VMS_HERE = code(
    Kind.CONFLICT,
    "NO_VMS_HERE",
    "No VMs here",
    "This server has no machine that runs VMs.",
    "Start one with `weft up`, on a machine that `weft doctor` finds fit for VMs.",
)
VOLUMES_UNSUPPORTED = code(
    Kind.INVALID,
    "VOLUMES_UNSUPPORTED",
    "No volumes yet",
    "A VM was asked for with volumes, which this version does not have.",
    "Leave them out; the VM's own disk stays as long as the VM.",
)
SSH_KEY_NOT_FOUND = code(
    Kind.UNKNOWN,
    "SSH_KEY_NOT_FOUND",
    "No such SSH key",
    "The project has no SSH key of this name or id.",
    "See `weft ssh-key list`.",
)
SSH_KEY_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "SSH_KEY_ALREADY_EXISTS",
    "SSH key already exists",
    "The project has another SSH key of this name.",
    "Choose another name, or delete that one with `weft ssh-key delete`.",
)
INVALID_SSH_KEY = code(
    Kind.INVALID,
    "INVALID_SSH_KEY",
    "Invalid SSH key",
    "The text is no public key in OpenSSH's form, or one that is too weak.",
    "Give the content of a file such as ~/.ssh/id_ed25519.pub; `ssh-keygen -t ed25519` makes one.",
)
