"""Does the chain of a security group say what its rules say? Asked at every edge that either of them knows.

The chain is asked alone, so that no other group of a port can hide it; and about members that are only there for the
question, so that it does not matter who is a member now.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.verifier.linux.frame import ICMP, NEW, TCP, UDP, Flow, Packet, Tuple
from weftwork.verifier.linux.rules import Compare, Member
from weftwork.verifier.linux.rules import Rule as NftRule
from weftwork.verifier.linux.sets import NotUnderstood
from weftwork.verifier.linux.tables import Stop, Table
from weftwork.verifier.model import NUMBERS, Peer, allows

MEMBERS = "members."
_EXPERIMENT = 253
_SCTP = 132
_NUMBERED = (TCP, UDP, ICMP, _SCTP)
"""A flow of pings has a number where others have ports, and a rule could take it for one. SCTP has ports that no rule
speaks of; where connection tracking keeps them, DCCP and UDP-Lite are alike."""
_OWN = int(IPv4Address("100.64.0.1"))
_NOBODY = int(IPv4Address("100.64.0.2"))
_FIRST_MEMBER = int(IPv4Address("100.64.1.0"))


@dataclass(frozen=True, slots=True)
class Service:
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Difference:
    service: Service
    peer: IPv4Address
    allowed: bool
    """By the rules; the chain says the opposite."""


def wrong(table: Table, chain: str, rules: Iterable[Rule], *, inwards: bool) -> Iterator[Difference]:
    """Where the chain and the rules differ. A chain that is not there allows nothing."""
    rules = tuple(rules)
    said = table.chains[chain].rules if chain in table.chains else ()
    atoms = atoms_of(rules, said)
    with ExitStack() as stack:
        for name, address in atoms.items():
            if MEMBERS + name in table.sets:
                stack.enter_context(table.sets[MEMBERS + name].holding([str(IPv4Address(address))]))
        peers = {address: Peer(IPv4Address(address)) for address in edges_of(table, rules, said)}
        peers |= {address: Peer(IPv4Address(address), (name,)) for name, address in atoms.items()}
        for service, (address, peer) in product(services_of(rules, said), peers.items()):
            allowed = any(allows(rule, service.protocol, service.port, peer) for rule in rules)
            if allowed != _passes(table, chain, service, address, inwards=inwards):
                yield Difference(service, peer.address, allowed)


def _passes(table: Table, chain: str, service: Service, peer: int, *, inwards: bool) -> bool:
    if chain not in table.chains:
        return False
    decided = table.decides(chain, packet_of(service, peer, inwards=inwards))
    return decided is not None and not isinstance(decided, Stop)


def packet_of(service: Service, peer: int, *, inwards: bool) -> Packet:
    """One that opens a flow with the peer."""
    source, destination = (peer, _OWN) if inwards else (_OWN, peer)
    original = Tuple(source, 40000, destination, service.port)
    return Packet(
        source=source,
        source_port=40000,
        destination=destination,
        destination_port=service.port,
        protocol=service.protocol,
        state=NEW,
        flow=Flow(service.protocol, original, original.reversed),
        mark=2,
    )


def atoms_of(rules: tuple[Rule, ...], said: tuple[NftRule, ...]) -> dict[str, int]:
    """An address for each group that either names, of a member that is there for the question only."""
    return {name: _FIRST_MEMBER + number for number, name in enumerate(sorted(_groups(rules, said)))}


def services_of(rules: tuple[Rule, ...], said: tuple[NftRule, ...]) -> list[Service]:
    ports, protocols = {0, 65535}, {ICMP, TCP, UDP, _SCTP, _EXPERIMENT}
    for rule in rules:
        if rule.ports:
            ports |= {rule.ports.min - 1, rule.ports.min, rule.ports.max, rule.ports.max + 1}
        if rule.protocol is not Protocol.ALL:
            protocols.add(NUMBERS[rule.protocol])
    for step in (step for rule in said for step in rule):
        if isinstance(step, Compare):
            spans = [(low, high) for low, high in step.wanted if isinstance(low, int) and isinstance(high, int)]
            if step.field.type == "inet_service":
                ports |= {one for low, high in spans for one in (low - 1, low, high, high + 1)}
            elif step.field.type == "inet_proto":
                protocols |= {low for low, _ in spans}
    numbers = sorted(one for one in ports if 0 <= one <= 65535)
    return [
        Service(protocol, port)
        for protocol in sorted(protocols)
        for port in (numbers if protocol in _NUMBERED else (0,))
    ]


def edges_of(table: Table, rules: tuple[Rule, ...], said: tuple[NftRule, ...]) -> set[int]:
    addresses = {_NOBODY}
    for rule in rules:
        if isinstance(rule.peer, IPv4Network):
            addresses |= _around(int(rule.peer.network_address), int(rule.peer.broadcast_address))
    for step in (step for rule in said for step in rule):
        if isinstance(step, Member):
            if step.set not in table.sets:
                raise NotUnderstood(f"no set is called {step.set}")
            elements = table.sets[step.set]
            if elements.interval:
                for (first, length), _ in elements:
                    assert isinstance(first, int) and isinstance(length, int)
                    addresses |= _around(first, first + (1 << (32 - length)) - 1)
        elif isinstance(step, Compare) and step.field.type == "ipv4_addr":
            for low, high in step.wanted:
                assert isinstance(low, int) and isinstance(high, int)
                addresses |= _around(low, high)
    return {one for one in addresses if 0 <= one < 1 << 32}


def _around(first: int, last: int) -> set[int]:
    return {first - 1, first, last, last + 1}


def _groups(rules: tuple[Rule, ...], said: tuple[NftRule, ...]) -> set[str]:
    named = {str(rule.peer) for rule in rules if isinstance(rule.peer, GroupRef)}
    steps = (step for rule in said for step in rule)
    return named | {
        step.set.removeprefix(MEMBERS) for step in steps if isinstance(step, Member) and step.set.startswith(MEMBERS)
    }
