"""What rules are made of, as values that know what they do to a packet: the part of nft's language that we use."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Protocol

from weftwork.verifier.linux.frame import ETHER_ARP, INVALID, TCP, UDP, Packet
from weftwork.verifier.linux.sets import Elements, NotUnderstood, Value, Values

Sets = dict[str, Elements]
Read = Callable[[Packet], Value | None]
"""None: the packet has no such thing, and the rule does not hold."""


@dataclass(frozen=True, slots=True)
class Field:
    """`words` as nft has them; `type` is how constants beside it are written."""

    words: str
    type: str
    read: Read


@dataclass(frozen=True, slots=True)
class Verdict:
    """`accept`, `drop`, `return`, `jump` and `goto` with the chain's name."""

    kind: str
    chain: str = ""


class Step(Protocol):
    """True: go on with the rule. False: the rule does not hold. A verdict ends it."""

    def __call__(self, packet: Packet, sets: Sets) -> bool | Verdict: ...


@dataclass(frozen=True, slots=True)
class Compare:
    """One field against spans of numbers, or words."""

    field: Field
    wanted: tuple[tuple[Value, Value], ...]
    negated: bool = False
    mask: int | None = None

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        value = self.field.read(packet)
        if value is None:
            return False
        if self.mask is not None:
            assert isinstance(value, int)
            value &= self.mask
        return _within(value, self.wanted) is not self.negated


def _within(value: Value, spans: tuple[tuple[Value, Value], ...]) -> bool:
    """Asked more often than anything else: without generators."""
    if isinstance(value, str):
        for low, _ in spans:  # noqa: SIM110 - a generator costs more than it does
            if value == low or _is_called(value, str(low)):
                return True
        return False
    for low, high in spans:  # noqa: SIM110
        if low <= value <= high:  # type: ignore[operator]
            return True
    return False


def _is_called(value: str, wanted: str) -> bool:
    """`peer*` is every interface whose name begins so."""
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


@dataclass(frozen=True, slots=True)
class Member:
    """Are the fields together an element of the set?"""

    fields: tuple[Field, ...]
    set: str
    negated: bool = False

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        key = _key(self.fields, packet)
        return key is not None and (_set(sets, self.set, self.fields).get(key) is not None) != self.negated


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A verdict map: without an element the next rule has its turn."""

    fields: tuple[Field, ...]
    map: str

    def __call__(self, packet: Packet, sets: Sets) -> bool | Verdict:
        key = _key(self.fields, packet)
        found = None if key is None else _set(sets, self.map, self.fields).get(key)
        return False if found is None else Verdict(str(found[0]), str(found[1]))


@dataclass(frozen=True, slots=True)
class Assign:
    """Sets `meta mark`, `meta priority` or `ct mark`, to a constant, a field, or what a map has for fields."""

    target: str
    constant: Value | None = None
    source: tuple[Field, ...] = ()
    map: str = ""

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        value = self.constant
        if self.source:
            key = _key(self.source, packet)
            if key is None:
                return False
            found: Values | None = _set(sets, self.map, self.source).get(key) if self.map else key
            if not found:
                return False
            value = found[0]
        if self.target == "meta mark":
            assert isinstance(value, int)
            packet.mark = value
        elif self.target == "meta priority":
            packet.priority = str(value)
        elif packet.flow is None:
            return False
        else:
            assert isinstance(value, int)
            packet.flow.mark = value
        return True


@dataclass(frozen=True, slots=True)
class Count:
    name: str

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        packet.counted.append(self.name)
        return True


@dataclass(frozen=True, slots=True)
class Remember:
    """Adds an element to a dynamic set. With `over`, only who comes too often gets further."""

    set: str
    fields: tuple[Field, ...]
    over: bool

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        if not _set(sets, self.set, self.fields).dynamic:
            raise NotUnderstood(f"update @{self.set}, which packets cannot change")
        if "" in (_key(self.fields, packet) or ("",)):
            raise NotUnderstood(f"update @{self.set} with what the packet does not have")
        return packet.too_fast or not self.over


@dataclass(frozen=True, slots=True)
class Limit:
    """Holds as long as nobody comes too often."""

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        return not packet.too_fast


@dataclass(frozen=True, slots=True)
class Sometimes:
    """Holds for one packet of several, whichever. Only in front of what decides nothing can that be told."""

    of: int

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        raise NotUnderstood("a rule that decides by chance")


@dataclass(frozen=True, slots=True)
class Log:
    """Tells of the packet, and does nothing to it."""

    prefix: str

    def __call__(self, packet: Packet, sets: Sets) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Decide:
    verdict: Verdict

    def __call__(self, packet: Packet, sets: Sets) -> Verdict:
        return self.verdict


@dataclass(frozen=True, slots=True)
class Translate:
    """`dnat` to what a map has, `snat` to an address, or `masquerade` as the interface that it leaves by (None).

    Translating is the tables' caller's: a rule only says so.
    """

    kind: str
    fields: tuple[Field, ...] = ()
    map: str = ""
    address: int | None = None

    def __call__(self, packet: Packet, sets: Sets) -> bool | Verdict:
        if self.map:
            key = _key(self.fields, packet)
            found = None if key is None else _set(sets, self.map, self.fields).get(key)
            if found is None:
                return False
            packet.translation = (self.kind, *found)
        else:
            packet.translation = (self.kind,) if self.address is None else (self.kind, self.address)
        return Verdict("accept")


Rule = tuple[Step, ...]


def only_looks(rule: Rule, looking_chains: Container[str] = frozenset()) -> bool:
    """Whether the rule can do nothing but log: whatever it finds, the next one has its turn, and the packet is as it
    was. `looking_chains` are those that hold nothing else."""
    *before, last = rule or (Decide(Verdict("accept")),)
    logs = isinstance(last, Log) or (
        isinstance(last, Decide) and last.verdict.kind == "jump" and last.verdict.chain in looking_chains
    )
    return logs and all(isinstance(step, Compare | Member | Limit | Sometimes | Log) for step in before)


def _key(fields: tuple[Field, ...], packet: Packet) -> Values | None:
    values = []
    for field in fields:
        value = field.read(packet)
        if value is None:
            return None
        values.append(value)
    return tuple(values)


def _set(sets: Sets, name: str, fields: tuple[Field, ...]) -> Elements:
    found = sets.get(name)
    if found is None:
        raise NotUnderstood(f"no set is called {name}")
    if len(found.types) != len(fields):
        raise NotUnderstood(f"{[field.words for field in fields]} in set {name} of {found.types}")
    for field, type_ in zip(fields, found.types, strict=True):
        if field.type != type_:
            raise NotUnderstood(f"{[field.words for field in fields]} in set {name} of {found.types}")
    return found


def _protocol(packet: Packet) -> int | None:
    return packet.protocol if packet.is_ip else None


def _port(protocols: tuple[int, ...], end: str) -> Read:
    def read(packet: Packet) -> int | None:
        if not packet.is_ip or packet.protocol not in protocols:
            return None
        return packet.source_port if end == "sport" else packet.destination_port

    return read


def _flow(direction: str, end: str) -> Read:
    def read(packet: Packet) -> int | None:
        if packet.flow is None:
            return None
        ends = packet.flow.original if direction == "original" else packet.flow.reply
        match end:
            case "ip saddr":
                return ends.source
            case "ip daddr":
                return ends.destination
            case "proto-src":
                return ends.source_port
            case _:
                return ends.destination_port

    return read


def _of_ip(read: Read) -> Read:
    return lambda packet: read(packet) if packet.is_ip else None


def _of_arp(name: str) -> Read:
    return lambda packet: getattr(packet.arp, name) if packet.ether_type == ETHER_ARP and packet.arp else None


def _packet_type(packet: Packet) -> str:
    """A group address is one with the first bit of its first byte set; the bridge tells no other host from ours."""
    if packet.ether_destination == "ff:ff:ff:ff:ff:ff":
        return "broadcast"
    return "multicast" if int(packet.ether_destination[:2], 16) & 1 else "other"


def _mac_number(packet: Packet) -> int:
    return int(packet.ether_destination.replace(":", ""), 16)


def _status(bit: str) -> Read:
    def read(packet: Packet) -> int | None:
        if packet.flow is None:
            return None
        return int(packet.flow.confirmed if bit == "confirmed" else packet.flow.dnat)

    return read


def _fields() -> dict[str, Field]:
    def one(words: str, type_: str, read: Read) -> tuple[str, Field]:
        return words, Field(words, type_, read)

    flows = (
        one(f"ct {direction} {end}", "ipv4_addr" if end.startswith("ip") else "inet_service", _flow(direction, end))
        for direction in ("original", "reply")
        for end in ("ip saddr", "ip daddr", "proto-src", "proto-dst")
    )
    ports = (
        one(f"{name} {end}", "inet_service", _port(protocols, end))
        for name, protocols in (("tcp", (TCP,)), ("udp", (UDP,)), ("th", (TCP, UDP)))
        for end in ("sport", "dport")
    )
    return dict(
        (
            *flows,
            *ports,
            one("iifname", "ifname", lambda packet: packet.iif),
            one("oifname", "ifname", lambda packet: packet.oif),
            one("ether saddr", "ether_addr", lambda packet: packet.ether_source),
            one("ether daddr", "ether_addr", lambda packet: packet.ether_destination),
            one("ether type", "ether_type", lambda packet: packet.ether_type),
            one("meta protocol", "ether_type", lambda packet: packet.ether_type),
            one("ip saddr", "ipv4_addr", _of_ip(lambda packet: packet.source)),
            one("ip daddr", "ipv4_addr", _of_ip(lambda packet: packet.destination)),
            one("arp saddr ip", "ipv4_addr", _of_arp("sender")),
            one("arp saddr ether", "ether_addr", _of_arp("sender_mac")),
            one("arp htype", "number", _of_arp("htype")),
            one("arp ptype", "ether_type", _of_arp("ptype")),
            one("arp hlen", "number", _of_arp("hlen")),
            one("arp plen", "number", _of_arp("plen")),
            one("arp operation", "arp_op", _of_arp("operation")),
            one("icmp type", "icmp_type", lambda packet: packet.icmp_type if _protocol(packet) == 1 else None),
            one("icmpv6 type", "icmp_type", lambda packet: packet.icmp_type if packet.protocol == 58 else None),
            one("meta l4proto", "inet_proto", _protocol),
            one("meta mark", "mark", lambda packet: packet.mark),
            one("meta priority", "classid", lambda packet: packet.priority),
            one("meta pkttype", "pkt_type", _packet_type),
            one("meta length", "number", lambda packet: packet.length),
            one("ct mark", "mark", lambda packet: packet.flow.mark if packet.flow else None),
            one("ct state", "ct_state", lambda packet: packet.state if packet.flow else INVALID),
            one("ct l3proto", "nf_proto", lambda packet: 2 if packet.flow else None),
        )
    )


FIELDS = _fields()
MASKED_MAC = Field("ether daddr &", "ether_addr", _mac_number)
STATUS = {bit: Field(f"ct status {bit}", "number", _status(bit)) for bit in ("dnat", "confirmed")}
