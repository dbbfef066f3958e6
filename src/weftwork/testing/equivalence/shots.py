"""Random packets that look for the corners of an intent."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.security_group import Protocol
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.world import (
    ADDRESSES,
    EXPERIMENT,
    EXTERNAL,
    EXTERNAL_OF,
    NOBODY,
    NOBODY_AT_PEERS,
    OUTSIDERS,
)
from weftwork.verifier.model import TUNNEL_PROTOCOLS, Model
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Phase, Probe

_FIRST_SOURCE_PORT = 30000
_TRIES = 8


class Form(Enum):
    """How the packet looks on the wire, beyond what its probe says."""

    PLAIN = "plain"
    FRAGMENTS = "fragments"
    FIRST_FRAGMENT = "first fragment alone"
    LAST_FRAGMENT = "last fragment alone"
    SYN_ACK = "SYN-ACK"
    RESET = "RST"
    FINAL = "FIN"
    ECHO_REPLY = "echo reply"
    UNREACHABLE = "ICMP error"
    WRONG_MAC = "to another guest's MAC"
    LYING_MAC = "from another guest's MAC"


NEVER_DELIVERED = frozenset({Form.FIRST_FRAGMENT, Form.LAST_FRAGMENT, Form.LYING_MAC})
"""Beyond the model: half a datagram is none, and frames that lie about who they are from are dropped.

One to a wrong MAC may be lost too, or arrive where an honest one would, but nowhere else.
"""


@dataclass(frozen=True, slots=True)
class Shot:
    probe: Probe
    form: Form = Form.PLAIN
    answers: tuple[Phase, ...] = ()
    """What the receiver sends back when it gets the packet."""


class Numbers:
    """Source ports that no other packet of the case has; and for protocols without ports, ends that none has."""

    def __init__(self, random: Random) -> None:
        self._next = _FIRST_SOURCE_PORT + random.randrange(10000)
        self._portless: set[IPv4Address] = set()

    def source_port(self) -> int:
        self._next += 1
        return self._next

    def is_new(self, end: IPv4Address) -> bool:
        new = end not in self._portless
        self._portless.add(end)
        return new


def draw_shots(random: Random, intent: Intent, numbers: Numbers, packets: int) -> list[Shot]:
    """Nearly half of them such as are delivered, which is rare among those drawn blindly."""
    model, shots = Model(intent), list[Shot]()
    while len(shots) < packets:
        want = random.random() < 0.5
        for _ in range(_TRIES):
            draw = _from_outside if random.random() < 0.2 else _from_port
            shot = draw(random, intent, numbers)
            if shot and model.verdict(shot.probe).delivered == want:
                break
        if shot:
            shots.append(shot)
        if shot and random.random() < 0.1 and model.verdict(shot.probe).delivered:
            shots += _lies(random, intent, shot, numbers)
    # Aside, so that the other packets of a seed stay what they are.
    shots += _lies_from_outside(deepcopy(random), intent, model, numbers)
    return shots


def _lies(random: Random, intent: Intent, shot: Shot, numbers: Numbers) -> Iterator[Shot]:
    """What one may send, sent by another in his name: but for the lie it would pass."""
    probe = shot.probe
    if not isinstance(probe.source, Inside) or probe.protocol not in (TCP, UDP) or shot.form is not Form.PLAIN:
        return
    ports = intent[probe.source.owner].ports
    address = ports[probe.source.port].addresses[0]
    liars = [one for one in ports.values() if one.attachment and not {address, probe.destination} & {*one.addresses}]
    if liars and isinstance(address, IPv4Address):
        liar = Inside(probe.source.owner, random.choice(liars).id)
        yield Shot(replace(probe, source=liar, source_address=address, source_port=numbers.source_port()))


def _lies_from_outside(random: Random, intent: Intent, model: Model, numbers: Numbers) -> Iterator[Shot]:
    """What a guest may send to a DNAT of its own VPC, sent in its name by somebody outside."""
    forwards = [(owner, dnat) for owner, own in intent.items() for dnat in own.dnats.values()]
    random.shuffle(forwards)
    for owner, dnat in forwards:
        protocol = TCP if dnat.protocol is Protocol.TCP else UDP
        for port in random.sample(list(intent[owner].ports.values()), len(intent[owner].ports)):
            outer, address = dnat.external_ip, port.addresses[0]
            assert isinstance(outer, IPv4Address) and isinstance(address, IPv4Address)
            honest = Probe(Inside(owner, port.id), outer, protocol, numbers.source_port(), dnat.external_port)
            if port.home == owner and address != dnat.internal_ip and model.verdict(honest).delivered:
                yield Shot(replace(honest, source=Outside(address)))
                return


def _from_outside(random: Random, intent: Intent, numbers: Numbers) -> Shot | None:
    source = Outside(random.choice(OUTSIDERS))
    if random.random() < 0.05:
        source = Outside(IPv4Address(random.choice(("10.0.1.64", "10.1.1.64"))))
    forwards = [dnat for own in intent.values() for dnat in own.dnats.values()]
    protocol = random.choice((TCP, UDP, UDP, ICMP))
    if forwards and random.random() < 0.8:
        dnat = random.choice(forwards)
        assert isinstance(dnat.external_ip, IPv4Address)
        destination, port = dnat.external_ip, dnat.external_port + random.choice((0, 0, 0, 0, -1, 1))
        if random.random() < 0.9:
            protocol = TCP if dnat.protocol is Protocol.TCP else UDP
    else:
        destination = random.choice(EXTERNAL)
        port = random.choice((80, 22, 65535))
        if random.random() < 0.3:
            destination = IPv4Address(random.choice(("10.0.1.64", "10.0.2.254", "10.1.1.64")))
    return _formed(random, Probe(source, destination, protocol, numbers.source_port(), port % 65536), numbers)


def _from_port(random: Random, intent: Intent, numbers: Numbers) -> Shot | None:
    owner = random.choice(list(intent))
    attached = [port for port in intent[owner].ports.values() if port.attachment]
    if not attached:
        return None
    port = random.choice(attached)
    destination = _destination(random, intent, port.home)
    protocol, number = service(random, intent, owner, destination)
    probe = Probe(Inside(owner, port.id), destination, protocol, numbers.source_port(), number)
    if destination in port.addresses:
        return None
    if random.random() < 0.03:
        others = [one.addresses[0] for one in intent[owner].ports.values() if one is not port]
        liar = random.choice((*others, IPv4Address("10.0.1.200"), IPv4Address("192.0.2.7")))
        assert isinstance(liar, IPv4Address)
        probe = replace(probe, source_address=liar)
    if random.random() < 0.02:
        probe = replace(probe, protocol=UDP, source_port=67, destination_port=random.choice((68, 80)))
    return _formed(random, probe, numbers)


def _destination(random: Random, intent: Intent, owner: ProjectKey) -> IPv4Address:
    def of_ports(whose: ProjectKey) -> list[IPv4Address]:
        everyone = (port for own in intent.values() for port in own.ports.values() if port.home == whose)
        return sorted(address for port in everyone if isinstance(address := port.addresses[0], IPv4Address))

    def external(whose: ProjectKey) -> list[IPv4Address]:
        found = [one.external_ip for one in intent[whose].dnats.values() if isinstance(one.external_ip, IPv4Address)]
        return found or [IPv4Address(text) for text in EXTERNAL_OF[whose]]

    other = random.choice([one for one in intent if one != owner])
    chance = random.random()
    peers = [peer for peer, _ in peers_of(intent, owner)]
    if peers and chance < 0.45:
        other = random.choice(peers)
    if chance < (0.45 if peers else 0.15) and make.net_of(other) != make.net_of(owner):
        if random.random() < 0.9:
            return random.choice(of_ports(other))
        return IPv4Address(f"10.{make.net_of(other)}.{random.choice(NOBODY_AT_PEERS)}")
    if chance < 0.6:
        return random.choice(of_ports(owner))
    if chance < 0.68:
        return random.choice(external(owner))
    if chance < 0.76:
        return random.choice(external(other))
    if chance < 0.90:
        return random.choice(OUTSIDERS)
    if chance < 0.94:
        return IPv4Address(f"10.{make.net_of(owner)}.{random.choice((1, 2))}.1")
    return random.choice(NOBODY)


def service(random: Random, intent: Intent, owner: ProjectKey, destination: IPv4Address) -> tuple[int, int]:
    """Protocol and destination port: mostly at an edge of some rule."""
    forwards = [one for own in intent.values() for one in own.dnats.values() if one.external_ip == destination]
    if forwards and random.random() < 0.8:
        dnat = random.choice(forwards)
        return (TCP if dnat.protocol is Protocol.TCP else UDP), dnat.external_port
    chance = random.random()
    if chance < 0.14:
        return ICMP, 0
    if chance < 0.20:
        return random.choice((EXPERIMENT, EXPERIMENT, *sorted(TUNNEL_PROTOCOLS))), 0
    protocol = random.choice((TCP, UDP))
    edges = sorted(set(_edges(intent[owner])))
    if edges and random.random() < 0.9:
        return protocol, random.choice(edges)
    return protocol, random.choice((22, 4789, 33000))


def _edges(own: ProjectIntent) -> Iterator[int]:
    of_groups = (rule.ports for group in own.groups.values() for rule in (*group.ingress, *group.egress))
    of_policies = (rule.ports for policy in own.policies.values() for rule in policy.rules)
    for ports in (*of_groups, *of_policies):
        if ports:
            low, high = ports.min, ports.max
            yield from (one for one in (low - 1, low, high, high + 1) if 0 <= one <= 65535)


def _formed(random: Random, probe: Probe, numbers: Numbers) -> Shot | None:
    chance = random.random()
    match probe.protocol:
        case 6:
            return _formed_tcp(random, probe, chance)
        case 17:
            return _formed_udp(random, probe, chance)
        case 1:
            if chance < 0.08:
                stray = replace(probe, phase=Phase.STRAY)
                return Shot(stray, random.choice((Form.ECHO_REPLY, Form.UNREACHABLE)))
            return Shot(probe, answers=(Phase.REPLY,))
        case _:
            assert isinstance(probe.source, Inside), "from outside come TCP, UDP and ICMP"
            unique = numbers.is_new(probe.destination) and numbers.is_new(ADDRESSES[probe.source])
            return Shot(replace(probe, source_port=0), answers=(Phase.REPLY,)) if unique else None


def _formed_tcp(random: Random, probe: Probe, chance: float) -> Shot:
    if chance < 0.1:
        stray = replace(probe, phase=Phase.STRAY)
        return Shot(stray, random.choice((Form.SYN_ACK, Form.RESET, Form.FINAL, Form.UNREACHABLE)))
    if chance < 0.13 and isinstance(probe.source, Inside):
        return Shot(probe, random.choice((Form.WRONG_MAC, Form.LYING_MAC)))
    if chance < 0.25:
        probe = replace(probe, phase=Phase.MIDDLE)
    return Shot(probe, answers=random.choice(((Phase.REPLY,), (Phase.REPLY,), (Phase.ERROR,), ())))


def _formed_udp(random: Random, probe: Probe, chance: float) -> Shot:
    answers = random.choice(((Phase.REPLY,), (Phase.REPLY, Phase.ERROR), (Phase.ERROR,), ()))
    if chance < 0.12:
        return Shot(probe, Form.FRAGMENTS, answers)
    if chance < 0.16:
        return Shot(probe, random.choice((Form.FIRST_FRAGMENT, Form.LAST_FRAGMENT)))
    if chance < 0.19 and isinstance(probe.source, Inside):
        return Shot(probe, random.choice((Form.WRONG_MAC, Form.LYING_MAC)))
    return Shot(probe, answers=answers)
