"""Which faults change nothing, because other rules of the same group or policy say the same.

Reckoned with sets of packets, not as the verifier does it.
"""

import re
from ipaddress import IPv4Network

from weftwork.program.linux import Family, NftChain, NftElement, NftSet, Uplink
from weftwork.program.resource import Program, Resource
from weftwork.testing.faults.fault import Fault
from weftwork.verifier.boxes import (
    ADDRESSES,
    EVERYTHING,
    NOTHING,
    PROTOCOLS,
    TRANSPORT_PORTS,
    Box,
    Boxes,
    same,
    subtract,
    union,
)

_CHAIN = re.compile(r"(?:policy\.)?(?:in|out)\.(?:(?:\w+/\w+/)?[a-z]|p\d)\b")
"""A group's (a guest's of another project with that before) or a policy's, and the beginning of its sets' names."""
_RULE = re.compile(
    r"(?:meta l4proto (\d+) ?)?(?:ct reply proto-src (\d+)(?:-(\d+))? ?)?"
    r"(?:ct (?:original|reply) ip saddr @(\S+) ?)?"
    r"(accept|goto stamp|meta priority set 0001:0001 return|counter name \"\w+\" drop)"
)


def is_hidden(fault: Fault, program: Program) -> bool:
    """Does the fault change nothing? Then no packet can show it."""
    return _is_covered(fault, program) or _is_shortcut(fault) or _is_about_nobody(fault, program)


def _is_covered(fault: Fault, program: Program) -> bool:
    """Do the other rules of the chain say the same?"""
    touched = {found for one in fault.added | fault.removed if (found := _chain_of(one))}
    after = fault.apply(program)
    return bool(touched) and all(
        same(was, now)
        for one in touched
        for odd in (EVERYTHING, NOTHING)
        for was, now in zip(
            _decided(program, fault.scope, *one, odd=odd), _decided(after, fault.scope, *one, odd=odd), strict=True
        )
    )


def _is_shortcut(fault: Fault) -> bool:
    """Does it take away a rule that only saves others, or ask for the same in other words?"""
    lost, come = _rules(fault.removed) - _rules(fault.added), _rules(fault.added) - _rules(fault.removed)
    if not come:
        # TCP is let pass first because most packets are TCP: the rules behind it do not speak of TCP.
        return lost == {"meta l4proto 6 accept"}
    # From outside nothing comes with an address of the VPC, so a hairpin is known by either of its interfaces.
    return any("masquerade" in rule for rule in lost) and {one.replace("oifname", "iifname") for one in lost} == come


def _is_about_nobody(fault: Fault, program: Program) -> bool:
    """Does it speak of peers or of DNAT, where there is none? What brings them brings all rules before the judge."""
    names = {one.name for one in fault.added | fault.removed if isinstance(one, NftChain)}
    legs = any(isinstance(one, Uplink) and one.name.startswith("peer") and one.scope == fault.scope for one in program)
    if names == {"translated"}:
        return not any(
            isinstance(one, NftSet) and (one.scope, one.name) == (fault.scope, "dnat_map") for one in program
        )
    changed = _rules(fault.removed) ^ _rules(fault.added)
    return bool(names) and not legs and (names <= {"from_peer", "to_peer"} or all("peer" in rule for rule in changed))


def _rules(program: Program) -> set[str]:
    return {rule for one in program if isinstance(one, NftChain) for rule in one.rules}


def _chain_of(one: Resource) -> tuple[Family, str] | None:
    match one:
        case NftChain(family=family, name=name) | NftElement(family=family, set=name):
            found = _CHAIN.match(name)
            return (family, found[0]) if found else None
        case _:
            return None


def _decided(program: Program, scope: str, family: Family, name: str, *, odd: Boxes) -> tuple[Boxes, Boxes]:
    """The flows that a chain allows and those that it denies, as sets: the first rule that matches decides.

    Each group of peers is a place of its own. `odd` is what a rule allows that is not one of a group's or a policy's.
    """
    here = [one for one in program if one.scope == scope]
    chain = next((one for one in here if isinstance(one, NftChain) and (one.family, one.name) == (family, name)), None)
    allowed, denied = NOTHING, NOTHING
    for rule in reversed(chain.rules if chain else ()):
        boxes, drops = _said(here, family, rule, odd)
        allowed, denied = subtract(allowed, boxes), subtract(denied, boxes)
        if drops:
            denied = (*denied, *boxes)
        else:
            allowed = (*allowed, *boxes)
    return union(allowed), union(denied)


def _said(here: list[Resource], family: Family, rule: str, odd: Boxes) -> tuple[Boxes, bool]:
    """What a rule is about, and whether it drops that."""
    found = _RULE.fullmatch(rule)
    if found is None:
        return odd, False
    protocol, first, last, peers, verdict = found.groups()
    span = (int(protocol), int(protocol)) if protocol else PROTOCOLS
    ports = (int(first), int(last or first)) if first else TRANSPORT_PORTS
    places = _places(here, family, peers)
    return tuple(Box(source=place, protocol=span, port=ports) for place in places), verdict.endswith("drop")


def _places(here: list[Resource], family: Family, peers: str | None) -> list[tuple[int, int]]:
    if peers is None:
        return [ADDRESSES]
    if peers.startswith("members."):
        place = 0xF0000000 + int.from_bytes(peers.encode()[-2:], "big")
        return [(place, place)]
    elements = (one for one in here if isinstance(one, NftElement) and (one.family, one.set) == (family, peers))
    networks = (IPv4Network(one.element) for one in elements)
    return [(int(one.network_address), int(one.broadcast_address)) for one in networks]
