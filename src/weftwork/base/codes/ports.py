"""Ports, and what they are plugged into."""

from weftwork.base.codes.code import code
from weftwork.base.errors import Kind

PORT_NOT_FOUND = code(
    Kind.UNKNOWN,
    "PORT_NOT_FOUND",
    "No such port",
    "The project has no port of this name or id.",
    "See `weft port list`.",
)
PORT_ALREADY_EXISTS = code(
    Kind.EXISTS,
    "PORT_ALREADY_EXISTS",
    "Port already exists",
    "The project has a port of this name that differs from the one asked for.",
    "Choose another name, or ask for the same parameters.",
)
IP_OUTSIDE_SUBNET = code(
    Kind.INVALID,
    "IP_OUTSIDE_SUBNET",
    "Address outside the subnet",
    "The address is not inside the subnet (for NAT: not inside any subnet of the VPC).",
    "Choose an address inside it, or leave it out to get a free one.",
)
IP_RESERVED = code(
    Kind.INVALID,
    "IP_RESERVED",
    "Reserved address",
    "The address is the subnet's network, gateway or broadcast address.",
    "Choose another address, or leave it out to get a free one.",
)
IP_ALREADY_ALLOCATED = code(
    Kind.CONFLICT,
    "IP_ALREADY_ALLOCATED",
    "Address already in use",
    "Another port of the subnet has the address.",
    "Choose another address, or leave it out to get a free one.",
)
SUBNET_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "SUBNET_EXHAUSTED",
    "No free address",
    "Every address of the subnet is taken.",
    "Delete ports that are not needed, or create another subnet.",
)
MAC_ALREADY_USED = code(
    Kind.CONFLICT,
    "MAC_ALREADY_USED",
    "MAC already in use",
    "Another port of the VPC has the MAC address.",
    "Choose another MAC, or leave it out to get a new one.",
)
MAC_RESERVED = code(
    Kind.INVALID,
    "MAC_RESERVED",
    "Reserved MAC",
    "MAC addresses that begin with 02:47 are the gateways'.",
    "Choose another MAC, or leave it out to get a new one.",
)
MAC_EXHAUSTED = code(
    Kind.EXHAUSTED,
    "MAC_EXHAUSTED",
    "No MAC left",
    "The VPC has given out all of its 4294967296 MAC addresses; none is given twice.",
    "Give MAC addresses of your own, or create the VPC anew.",
)
PORT_ALREADY_ATTACHED = code(
    Kind.CONFLICT,
    "PORT_ALREADY_ATTACHED",
    "Port already attached",
    "The port belongs to another VM, or is plugged into a network namespace.",
    "Detach or unplug it first, or use another port.",
)
PORT_ATTACHED_OTHERWISE = code(
    Kind.CONFLICT,
    "PORT_ATTACHED_OTHERWISE",
    "Port attached in another way",
    "A VM's port is detached and a plugged one is unplugged, not the other way round.",
    "Use detach for a VM's port and unplug for a namespace's.",
)
NOTHING_TO_PLUG_INTO = code(
    Kind.CONFLICT,
    "NOTHING_TO_PLUG_INTO",
    "No chassis to plug into",
    "This server writes OVN's rows for chassis that others look after: no namespace of theirs is within its reach.",
    "Attach the port to its VM, and give the VM's interface the port's `iface-id` on its chassis.",
)
INTERFACE_IN_USE = code(
    Kind.CONFLICT,
    "INTERFACE_IN_USE",
    "Interface name in use",
    "Another port is plugged into the namespace under this interface name.",
    "Choose another interface name, or unplug the other port.",
)
