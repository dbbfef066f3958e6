"""OVN's match expressions (ovn-sb(5), Logical_Flow, match): as much of them as our rows use. The rest is refused."""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Protocol

from weftwork.verifier.ovn.packet import ICMP, TCP, UDP, Packet


class NotUnderstood(Exception):
    """A row says what the verifier does not know: we do not guess."""


class Names(Protocol):
    """What `@` and `$` stand for."""

    def has_port(self, group: str, port: str) -> bool: ...
    def has_address(self, name: str, address: int) -> bool: ...


Holds = Callable[[Packet, Names], bool]
_Span = tuple[int, int]
_Read = Callable[[Packet], int | None]

ANYTHING = "1"

_MASKED = re.compile(r"\d+/\d+")
_WORD = re.compile(r'\s*("[^"]*"|&&|\|\||==|!=|<=|>=|<|>|[!(){},]|[^\s!(){},=<>&|"]+)')


def _of(protocol: int, read: Callable[[Packet], int]) -> _Read:
    return lambda packet: read(packet) if packet.family != "arp" and packet.protocol == protocol else None


def _in_ip4(read: Callable[[Packet], int]) -> _Read:
    return lambda packet: read(packet) if packet.family == "ip4" else None


_NUMBERS: dict[str, _Read] = {
    "ip4.src": _in_ip4(lambda packet: packet.source),
    "ip4.dst": _in_ip4(lambda packet: packet.destination),
    "ip.proto": lambda packet: packet.protocol if packet.family != "arp" else None,
    "tcp.src": _of(TCP, lambda packet: packet.source_port),
    "tcp.dst": _of(TCP, lambda packet: packet.destination_port),
    "udp.src": _of(UDP, lambda packet: packet.source_port),
    "udp.dst": _of(UDP, lambda packet: packet.destination_port),
    "icmp4.type": _of(ICMP, lambda packet: packet.icmp_type),
    "tcp.flags": _of(TCP, lambda packet: packet.tcp_flags),
}
_FACTS: dict[str, Callable[[Packet], bool]] = {
    "ip": lambda packet: packet.family != "arp",
    "ip4": lambda packet: packet.family == "ip4",
    "ip6": lambda packet: packet.family == "ip6",
    "arp": lambda packet: packet.family == "arp",
    "icmp4": lambda packet: packet.family == "ip4" and packet.protocol == ICMP,
    "tcp": lambda packet: packet.family != "arp" and packet.protocol == TCP,
    "udp": lambda packet: packet.family != "arp" and packet.protocol == UDP,
    "ip.is_frag": lambda packet: packet.is_fragment,
    "eth.mcast": lambda packet: packet.to_many,
    "ct.new": lambda packet: packet.is_new,
}
_PORTS: dict[str, Callable[[Packet], str]] = {
    "inport": lambda packet: packet.inport,
    "outport": lambda packet: packet.outport,
}


@lru_cache(maxsize=65536)
def parse(text: str) -> Holds:
    words = _WORD.findall(text)
    if "".join(words).replace('"', "") != re.sub(r"[\s\"]", "", text):
        raise NotUnderstood(f"match {text!r}")
    parser = _Parser(text, words)
    found = parser.either()
    if parser.words:
        raise parser.trouble()
    return found


@lru_cache(maxsize=65536)
def conditions(text: str) -> tuple[str, ...]:
    """What must all hold, each by itself; one that is the whole match where that is a choice."""
    found, depth, start = list[str](), 0, 0
    for place, sign in enumerate(text):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0 and text.startswith("||", place):
            return (text,)
        if depth == 0 and text.startswith("&&", place):
            found.append(text[start:place].strip())
            start = place + 2
    return (*found, text[start:].strip())


class _Parser:
    def __init__(self, text: str, words: list[str]) -> None:
        self._text = text
        self.words = words

    def trouble(self) -> NotUnderstood:
        return NotUnderstood(f"match {self._text!r} at {' '.join(self.words[:3])!r}")

    def either(self) -> Holds:
        found = self._all()
        while self._skip("||"):
            found = _or(found, self._all())
        return found

    def _all(self) -> Holds:
        found = self._one()
        while self._skip("&&"):
            found = _and(found, self._one())
        return found

    def _one(self) -> Holds:
        if self._skip("("):
            found = self.either()
            if not self._skip(")"):
                raise self.trouble()
            return found
        if self._skip("!"):
            return self._denied(self._take())
        word = self._take()
        if word == ANYTHING and (not self.words or self.words[0] not in ("<", "<=")):
            return lambda packet, names: True
        if word.isdecimal():
            return self._between(int(word))
        if word in _FACTS:
            fact = _FACTS[word]
            return lambda packet, names: fact(packet)
        if word in _PORTS:
            return self._port(_PORTS[word])
        if word in _NUMBERS:
            return self._compared(_NUMBERS[word])
        raise self.trouble()

    def _denied(self, word: str) -> Holds:
        """Of facts only: what it means of a field that a packet lacks, we need not know."""
        if word not in _FACTS:
            raise self.trouble()
        fact = _FACTS[word]
        return lambda packet, names: not fact(packet)

    def _port(self, read: Callable[[Packet], str]) -> Holds:
        if not self._skip("=="):
            raise self.trouble()
        wanted = self._take()
        if wanted.startswith("@"):
            return lambda packet, names: names.has_port(wanted[1:], read(packet))
        if not wanted.startswith('"'):
            raise self.trouble()
        return lambda packet, names: read(packet) == wanted.strip('"')

    def _compared(self, read: _Read) -> Holds:
        relation = self._take()
        if relation not in ("==", "!="):
            raise self.trouble()
        negated = relation == "!="
        if self.words and self.words[0].startswith("$"):
            name = self._take()[1:]
            return lambda packet, names: (
                (value := read(packet)) is not None and (names.has_address(name, value) != negated)
            )
        if self.words and _MASKED.fullmatch(self.words[0]) and not negated:
            return self._masked(read)
        spans = self._spans()

        def holds(packet: Packet, names: Names) -> bool:
            value = read(packet)
            return value is not None and any(low <= value <= high for low, high in spans) != negated

        return holds

    def _masked(self, read: _Read) -> Holds:
        wanted, mask = map(int, self._take().split("/"))
        return lambda packet, names: (value := read(packet)) is not None and value & mask == wanted

    def _between(self, low: int) -> Holds:
        """`a <= field <= b`"""
        if not self._skip("<="):
            raise self.trouble()
        read = _NUMBERS.get(self._take())
        if read is None or not self._skip("<="):
            raise self.trouble()
        high = int(self._take())

        def holds(packet: Packet, names: Names) -> bool:
            value = read(packet)
            return value is not None and low <= value <= high

        return holds

    def _spans(self) -> tuple[_Span, ...]:
        if not self._skip("{"):
            return (self._span(),)
        spans = [self._span()]
        while self._skip(","):
            spans.append(self._span())
        if not self._skip("}"):
            raise self.trouble()
        return tuple(spans)

    def _span(self) -> _Span:
        word = self._take()
        if word.isdecimal():
            return (int(word), int(word))
        try:
            network = IPv4Network(word)
        except ValueError as error:
            raise self.trouble() from error
        return int(network.network_address), int(network.broadcast_address)

    def _skip(self, word: str) -> bool:
        if not self.words or self.words[0] != word:
            return False
        self.words.pop(0)
        return True

    def _take(self) -> str:
        if not self.words:
            raise self.trouble()
        return self.words.pop(0)


def _and(one: Holds, other: Holds) -> Holds:
    return lambda packet, names: one(packet, names) and other(packet, names)


def _or(one: Holds, other: Holds) -> Holds:
    return lambda packet, names: one(packet, names) or other(packet, names)
