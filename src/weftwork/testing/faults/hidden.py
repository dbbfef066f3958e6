"""Which faults change nothing, because other rules of the same group say the same.

Reckoned with sets of packets, not as the verifier does it.
"""

import re
from ipaddress import IPv4Network

from weftwork.program.linux import Family, NftChain, NftElement
from weftwork.program.resource import Program, Resource
from weftwork.testing.faults.fault import Fault
from weftwork.verifier.boxes import ADDRESSES, PROTOCOLS, TRANSPORT_PORTS, Box, Boxes, same, union

_OF_A_GROUP = re.compile(r"(in|out)\.[a-z]\b")
_RULE = re.compile(
    r"(?:meta l4proto (\d+) ?)?(?:ct reply proto-src (\d+)(?:-(\d+))? ?)?"
    r"(?:ct (?:original|reply) ip saddr @(\S+) ?)?(?:accept|goto stamp)"
)


def is_hidden(fault: Fault, program: Program) -> bool:
    """Do the other rules of the group say the same? Then nothing changes, and no packet can show it."""
    touched = {found for one in fault.added | fault.removed if (found := _group_chain(one))}
    return bool(touched) and all(
        _opened(program, fault.scope, *one) == _opened(fault.apply(program), fault.scope, *one)
        or same(_opened(program, fault.scope, *one), _opened(fault.apply(program), fault.scope, *one))
        for one in touched
    )


def _group_chain(one: Resource) -> tuple[Family, str] | None:
    match one:
        case NftChain(family=family, name=name) | NftElement(family=family, set=name):
            found = _OF_A_GROUP.match(name)
            return (family, found[0]) if found else None
        case _:
            return None


def _opened(program: Program, scope: str, family: Family, name: str) -> Boxes:
    """The flows that a group's chain allows, as a set. Each group of peers is a place of its own."""
    here = [one for one in program if one.scope == scope]
    chain = next((one for one in here if isinstance(one, NftChain) and (one.family, one.name) == (family, name)), None)
    boxes: list[Box] = []
    for rule in chain.rules if chain else ():
        found = _RULE.fullmatch(rule)
        if found is None:
            return (Box(source=(hash(rule) % (1 << 32),) * 2),)
        protocol, first, last, peers = found.groups()
        span = (int(protocol), int(protocol)) if protocol else PROTOCOLS
        ports = (int(first), int(last or first)) if first else TRANSPORT_PORTS
        for place in _places(here, family, peers):
            boxes.append(Box(source=place, protocol=span, port=ports))
    return union(boxes)


def _places(here: list[Resource], family: Family, peers: str | None) -> list[tuple[int, int]]:
    if peers is None:
        return [ADDRESSES]
    if peers.startswith("members."):
        place = 0xF0000000 + int.from_bytes(peers.encode()[-2:], "big")
        return [(place, place)]
    elements = (one for one in here if isinstance(one, NftElement) and (one.family, one.set) == (family, peers))
    networks = (IPv4Network(one.element) for one in elements)
    return [(int(one.network_address), int(one.broadcast_address)) for one in networks]
