"""Flows that Open vSwitch tracks, and which of them live by a translation or a rule that is no more. Pure.

OVN leaves them: a flow that was translated once stays so in its own words, whatever became of the NAT, and what answers
a flow passes until a packet in the flow's own direction is refused (ovn-northd(8)).
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.program.ovn import LoadBalancer, LogicalRouter, LogicalSwitchPort, Nat
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.packet import ECHO_REQUEST
from weftwork.verifier.ovn.tracked import Opening

_PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
_ENTRY = re.compile(r"(?P<protocol>\w+),orig=\((?P<orig>[^)]*)\),reply=\((?P<reply>[^)]*)\)(?:.*?,zone=(?P<zone>\d+))?")


@dataclass(frozen=True, slots=True)
class Tuple:
    """One direction. For ICMP, `source_port` is the identifier, and `kind` says type and code."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    kind: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """`protocol` is IANA's number, 0 for one that the datapath does not name."""

    zone: int
    protocol: int
    original: Tuple
    reply: Tuple

    @property
    def flush(self) -> tuple[str, ...]:
        """The arguments of `dpctl/flush-conntrack` (ovs-dpctl(8)) for this flow alone."""
        one = self.original
        words = [f"ct_nw_src={one.source}", f"ct_nw_dst={one.destination}", f"ct_nw_proto={self.protocol}"]
        if one.kind is not None:
            words += [f"icmp_id={one.source_port}", f"icmp_type={one.kind[0]}", f"icmp_code={one.kind[1]}"]
        else:
            words += [f"ct_tp_src={one.source_port}", f"ct_tp_dst={one.destination_port}"]
        return f"zone={self.zone}", ",".join(words)


@dataclass(frozen=True, slots=True)
class Translations:
    """What is translated today: forwards as (protocol, outer, inner), and the addresses that guests have outside."""

    forwards: frozenset[tuple[int, str, str]]
    outside: frozenset[IPv4Address]


def translations_of(program: Iterable[Resource]) -> Translations:
    forwards: set[tuple[int, str, str]] = set()
    outside: set[IPv4Address] = set()
    for one in program:
        match one:
            case LoadBalancer():
                forwards |= {(_PROTOCOLS[one.protocol], outer, inner) for outer, inner in one.vips}
            case Nat(external=IPv4Address() as address):
                outside.add(address)
    return Translations(frozenset(forwards), frozenset(outside))


def read(dump: str, zones: Container[int] | None = None) -> Iterator[TrackedFlow]:
    """What `dpctl/dump-conntrack` prints, of these zones or of all; IPv6 is none of ours."""
    for line in dump.splitlines():
        found = _ENTRY.match(line)
        zone = int(found["zone"] or 0) if found else 0
        if found and ":" not in found["orig"] and (zones is None or zone in zones):
            yield TrackedFlow(
                zone=zone,
                protocol=_protocol(found["protocol"]),
                original=_tuple(found["orig"]),
                reply=_tuple(found["reply"]),
            )


def dead(flows: Iterable[TrackedFlow], today: Translations) -> Iterator[TrackedFlow]:
    """Those that live by a translation that is not among today's."""
    for flow in flows:
        there, back = flow.original, flow.reply
        if (there.destination, there.destination_port) != (back.source, back.source_port) and flow.protocol != 1:
            forward = (
                flow.protocol,
                f"{there.destination}:{there.destination_port}",
                f"{back.source}:{back.source_port}",
            )
            if forward not in today.forwards:
                yield flow
                continue
        if there.source != back.destination and back.destination not in today.outside:
            yield flow


def places_of(zones: Mapping[str, int], program: Iterable[Resource]) -> Mapping[int, str]:
    """By zone, the guest's port or the router that it belongs to; a router has one for each way to translate."""
    names: set[str] = set()
    for one in program:
        if isinstance(one, LogicalRouter) or (isinstance(one, LogicalSwitchPort) and not one.type):
            names.add(one.name)
    owners = ((number, name.removesuffix("_dnat").removesuffix("_snat")) for name, number in zones.items())
    return {number: name for number, name in owners if name in names}


def opening_of(flow: TrackedFlow, at: str) -> Opening:
    one = flow.original
    return Opening(
        at=at,
        protocol=flow.protocol,
        source=one.source,
        source_port=one.source_port,
        destination=one.destination,
        destination_port=one.destination_port,
        icmp_type=one.kind[0] if one.kind else ECHO_REQUEST,
    )


def _protocol(word: str) -> int:
    return int(word) if word.isdecimal() else _PROTOCOLS.get(word, 0)


def _tuple(text: str) -> Tuple:
    values: Mapping[str, str] = dict(part.split("=") for part in text.split(","))
    kind = (int(values["type"]), int(values["code"])) if "type" in values else None
    return Tuple(
        source=IPv4Address(values["src"]),
        source_port=int(values.get("sport", values.get("id", "0"))),
        destination=IPv4Address(values["dst"]),
        destination_port=int(values.get("dport", "0")),
        kind=kind,
    )
