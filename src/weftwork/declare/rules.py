"""A security rule as people write and read it: `tcp 80-90 from 10.0.0.0/8`, `all to group web`.

The same text stands in tables and is taken by `--ingress` and `--egress`.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

PROTOCOLS = ("tcp", "udp", "icmp", "all")
ANYWHERE = "0.0.0.0/0"

Direction = Literal["ingress", "egress"]
_WORD: dict[Direction, str] = {"ingress": "from", "egress": "to"}
_RULE = re.compile(
    r"(?P<protocol>\w+)(?:\s+(?P<ports>[0-9,-]+))?(?:\s+(?P<word>from|to)\s+(?P<peer>(?:group\s+)?\S+))?"
)


@dataclass(frozen=True, slots=True)
class PortSpan:
    """Transport ports, both ends included."""

    min: int
    max: int

    def __str__(self) -> str:
        return str(self.min) if self.min == self.max else f"{self.min}-{self.max}"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: a CIDR, or a security group by name or id."""

    text: str
    is_group: bool

    def __str__(self) -> str:
        return f"group {self.text}" if self.is_group else self.text


@dataclass(frozen=True, slots=True)
class RuleText:
    direction: Direction
    protocol: str
    ports: PortSpan | None
    peer: Peer

    def __str__(self) -> str:
        ports = f" {self.ports}" if self.ports else ""
        return f"{self.protocol}{ports} {_WORD[self.direction]} {self.peer}"


def parse_rules(text: str, direction: Direction) -> tuple[RuleText, ...]:
    """`PROTOCOL [PORTS] [from|to PEER]`, with one rule for each of the comma-separated ports.

    ValueError says what is wrong.
    """
    match = _RULE.fullmatch(text.strip())
    if match is None:
        word = _WORD[direction]
        raise ValueError(f"{text!r} is not a rule such as 'tcp 80 {word} 10.0.0.0/8' or 'all {word} web'")
    if match["word"] not in (None, _WORD[direction]):
        raise ValueError(f"{text!r}: an {direction} rule says '{_WORD[direction]}', not '{match['word']}'")
    return expand_rules(
        direction, match["protocol"], (match["ports"],) if match["ports"] else (), (match["peer"] or "any",)
    )


def expand_rules(
    direction: Direction, protocol: str, ports: tuple[str, ...], peers: tuple[str, ...]
) -> tuple[RuleText, ...]:
    """One rule for each combination of ports and peers. ValueError says what is wrong."""
    if protocol.lower() not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is not a protocol: one of {', '.join(PROTOCOLS)}")
    spans: tuple[PortSpan | None, ...] = tuple(parse_span(part) for text in ports for part in text.split(",")) or (
        None,
    )
    if spans != (None,) and protocol.lower() not in ("tcp", "udp"):
        raise ValueError(f"{protocol.lower()} has no ports: say tcp or udp, or leave the ports out")
    return tuple(RuleText(direction, protocol.lower(), span, parse_peer(peer)) for span in spans for peer in peers)


def parse_span(text: str) -> PortSpan:
    """`80` or `80-90`."""
    low, dash, high = text.partition("-")
    if not (_is_port(low) and (_is_port(high) if dash else True)):
        raise ValueError(f"{text!r} is not a port or a range such as 80 or 80-90")
    span = PortSpan(int(low), int(high) if dash else int(low))
    if span.min > span.max:
        raise ValueError(f"{text!r} is a range from high to low: say {span.max}-{span.min}")
    return span


def parse_peer(text: str) -> Peer:
    """A CIDR, an address, `any`, or else a security group's name or id; `group NAME` is always a group."""
    word, _, name = text.partition(" ")
    if word == "group" and name.strip():
        return Peer(name.strip(), is_group=True)
    if text == "any":
        return Peer(ANYWHERE, is_group=False)
    try:
        return Peer(str(ip_network(text)), is_group=False)
    except ValueError as error:
        if "host bits" in str(error):
            network = ip_network(text, strict=False)
            raise ValueError(f"{text!r} has host bits set: the network is {network}") from None
    if re.fullmatch(r"[0-9./:]+", text):
        raise ValueError(f"{text!r} is not a CIDR; if a security group is meant, say 'group {text}'")
    return Peer(text, is_group=True)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
