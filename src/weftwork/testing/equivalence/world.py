"""Where everybody is in random cases: tenants, their subnets and addresses, and the corners of what rules speak of.

Two tenants share all addresses; two more can be peered with them and with each other. Ports stand at the edges of the
ranges that rules speak of.
"""

from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.model.port import Port
from weftwork.testing import strategies as make
from weftwork.verifier.packet import Inside

GUESTS = "weq-guests"
"""The namespace that holds the far ends of all ports."""

TENANTS = (*make.PROJECTS, make.AMBER)
WORLDS = (TENANTS[:2], TENANTS[:3], (TENANTS[0], *TENANTS[2:]))
"""The tenants of a case."""
GROUPS = ("a", "b", "c", "d")
EXPERIMENT = 253
"""A protocol number for experiments (RFC 3692): what is neither TCP, UDP nor ICMP."""

_PLACES = (("default", 63), ("default", 64), ("default", 127), ("default", 128), ("data", 2), ("data", 254))
"""Subnet and last octet of each tenant's ports: the edges of 10.<net>.1.64/26, first and last of 10.<net>.2.0/24."""
_FEW_PLACES = (_PLACES[1], _PLACES[3], _PLACES[5])
"""Of the tenants that are there to be peers."""

SUBNETS = {"default": 1, "data": 2}
LENT = "data"
"""The subnet that tenants share."""


def places_of(owner: ProjectKey) -> tuple[tuple[str, int], ...]:
    return _PLACES if owner in make.TENANTS else _FEW_PLACES


def at(owner: ProjectKey, place: tuple[str, int]) -> IPv4Address:
    subnet, octet = place
    return IPv4Address(f"10.{make.net_of(owner)}.{SUBNETS[subnet]}.{octet}")


ADDRESSES = {
    Inside(owner, make.port(owner, number + 1).id): at(owner, place)
    for owner in TENANTS
    for number, place in enumerate(places_of(owner))
}
ADDRESSES |= {
    Inside(owner, made.id): IPv4Address(str(made.addresses[0]))
    for owner in TENANTS
    for lender in TENANTS
    for made in (make.lodger(owner, lender, LENT, vlan=SUBNETS[LENT]),)
}
EXTERNAL_OF = {
    owner: (f"198.51.100.{10 + 2 * number}", f"198.51.100.{11 + 2 * number}") for number, owner in enumerate(TENANTS)
}
EXTERNAL = tuple(IPv4Address(text) for pair in EXTERNAL_OF.values() for text in pair)
"""The external addresses that the tenants use, two each."""

CIDRS = (
    "0.0.0.0/0",
    "0.0.0.0/0",
    "10.0.0.0/16",
    "10.0.1.64/26",
    "10.0.1.0/26",
    "10.0.1.64/32",
    "10.0.1.128/25",
    "10.0.2.0/24",
    "10.0.2.254/32",
    "10.1.0.0/16",
    "10.1.1.64/26",
    "10.0.0.0/8",
    "203.0.113.64/26",
    "198.51.100.0/24",
    "198.51.100.12/31",
)
RANGES = (None, (80, 80), (1000, 2000), (0, 0), (65535, 65535), (5000, 5001), (0, 65535), (1024, 65535))
NEIGHBOUR = IPv4Address("198.51.100.200")
"""On the external network itself."""
OUTSIDERS = (
    *map(IPv4Address, ("203.0.113.63", "203.0.113.64", "203.0.113.127", "203.0.113.128", "8.8.8.8")),
    NEIGHBOUR,
)
NOBODY = tuple(
    map(
        IPv4Address,
        (
            "10.0.1.0",
            "10.0.1.65",
            "10.0.1.255",
            "10.0.2.255",
            "10.0.77.7",
            "10.0.255.255",
            "224.0.0.1",
            "255.255.255.255",
        ),
    )
)
NOBODY_AT_PEERS = ("1.0", "1.1", "1.65", "2.1", "2.255", "77.7", "255.255")
"""The ends of addresses in the other tenants' ranges: nobody's, and the gateways."""


def device_of(port: Port) -> str:
    """The far end of a port: `red3`."""
    return f"{port.owner.org}{port.name}"
