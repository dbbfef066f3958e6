"""Random cases from a seed: an intent, what it is changed to, and packets that look for the corners of both.

Two tenants share all addresses; two more can be peered with them and with each other. Ports stand at the edges of the
ranges that rules speak of.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.testing import strategies as make
from weftwork.verifier.model import TUNNEL_PROTOCOLS, Model
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Phase, Probe

GUESTS = "weq-guests"
"""The namespace that holds the far ends of all ports."""

TENANTS = (*make.PROJECTS, make.AMBER)
_WORLDS = (TENANTS[:2], TENANTS[:3], (TENANTS[0], *TENANTS[2:]))
"""The tenants of a case."""
GROUPS = ("a", "b", "c", "d")
EXPERIMENT = 253
"""A protocol number for experiments (RFC 3692): what is neither TCP, UDP nor ICMP."""

_PLACES = (("default", 63), ("default", 64), ("default", 127), ("default", 128), ("data", 2), ("data", 254))
"""Subnet and last octet of each tenant's ports: the edges of 10.<net>.1.64/26, first and last of 10.<net>.2.0/24."""
_FEW_PLACES = (_PLACES[1], _PLACES[3], _PLACES[5])
"""Of the tenants that are there to be peers."""

_SUBNETS = {"default": 1, "data": 2}
_LENT = "data"
"""The subnet that tenants share."""


def _places(owner: ProjectKey) -> tuple[tuple[str, int], ...]:
    return _PLACES if owner in make.TENANTS else _FEW_PLACES


def _at(owner: ProjectKey, place: tuple[str, int]) -> IPv4Address:
    subnet, octet = place
    return IPv4Address(f"10.{make.net_of(owner)}.{_SUBNETS[subnet]}.{octet}")


_ADDRESSES = {
    Inside(owner, make.port(owner, number + 1).id): _at(owner, place)
    for owner in TENANTS
    for number, place in enumerate(_places(owner))
}
_ADDRESSES |= {
    Inside(owner, made.id): IPv4Address(str(made.addresses[0]))
    for owner in TENANTS
    for lender in TENANTS
    for made in (make.lodger(owner, lender, _LENT, vlan=_SUBNETS[_LENT]),)
}
_EXTERNAL = {
    owner: (f"198.51.100.{10 + 2 * number}", f"198.51.100.{11 + 2 * number}") for number, owner in enumerate(TENANTS)
}
EXTERNAL = tuple(IPv4Address(text) for pair in _EXTERNAL.values() for text in pair)
"""The external addresses that the tenants use, two each."""

_CIDRS = (
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
_RANGES = (None, (80, 80), (1000, 2000), (0, 0), (65535, 65535), (5000, 5001), (0, 65535), (1024, 65535))
NEIGHBOUR = IPv4Address("198.51.100.200")
"""On the external network itself."""
_OUTSIDE = (
    *map(IPv4Address, ("203.0.113.63", "203.0.113.64", "203.0.113.127", "203.0.113.128", "8.8.8.8")),
    NEIGHBOUR,
)
_NOBODY = tuple(
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
_NOBODY_AT_PEERS = ("1.0", "1.1", "1.65", "2.1", "2.255", "77.7", "255.255")
"""The ends of addresses in the other tenants' ranges: nobody's, and the gateways."""
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


@dataclass(slots=True)
class Case:
    """`shots` are sent under `before`. Then the intent becomes `after`: flows go on, and `later` is sent."""

    seed: int
    before: Intent
    after: Intent | None
    shots: list[Shot]
    later: list[Shot] = field(default_factory=list)


def draw_case(seed: int, *, packets: int = 20) -> Case:
    """`packets` are sent under the first intent, half as many new ones under the second."""
    random = Random(seed)
    before = {owner: _project(random, owner) for owner in random.choice(_WORLDS)}
    for _ in range(random.choice((2, 3, 4, 5, 6)) if len(before) > 2 else 1):
        _make_half(random, before)
    _add_policies(Random(seed), before)
    for _ in range(random.choice((0, 1, 2))):
        _lend(random, before)
    after = deepcopy(before)
    for _ in range(random.randint(1, 4)):
        _change(random, after)
    numbers = _Numbers(random)
    shots = _shots(random, before, numbers, packets)
    return Case(seed, before, after, shots, _shots(random, after, numbers, packets // 2))


def device_of(port: Port) -> str:
    """The far end of a port: `red3`."""
    return f"{port.owner.org}{port.name}"


def _project(random: Random, owner: ProjectKey) -> ProjectIntent:
    own = make.project(
        make.vpc(owner, vni=make.vni_of(owner)),
        *(make.subnet(owner, name, vlan=vlan) for name, vlan in _SUBNETS.items()),
        *(_group(random, owner, name) for name in GROUPS),
        *(_port(random, owner, number) for number in range(len(_places(owner)))),
    )
    if random.random() < 0.7:
        own.snat = _snat(random, owner)
    for _ in range(random.randint(0, 3)):
        make.put(own, _dnat(random, owner))
    return own


def _add_policies(random: Random, intent: Intent) -> None:
    for owner, own in intent.items():
        for number in range(random.choice((0, 0, 1, 1, 2, 3, 4))):
            make.put(own, _policy(random, owner, f"p{number}"))


def _port(random: Random, owner: ProjectKey, number: int) -> Port:
    subnet, octet = _places(owner)[number]
    port = make.port(owner, number + 1, subnet=subnet, vlan=_SUBNETS[subnet], groups=_groups(random))
    attached = Attachment(AttachmentKind.NETNS, GUESTS, f"{owner.org}{number}")
    return replace(
        port,
        name=str(number),
        addresses=(_at(owner, (subnet, octet)),),
        attachment=attached if random.random() < 0.96 else None,
    )


def _groups(random: Random) -> tuple[str, ...]:
    return tuple(sorted(random.sample(GROUPS, random.choice((0, 1, 1, 1, 2, 2, 3)))))


def _group(random: Random, owner: ProjectKey, name: str) -> SecurityGroup:
    egress = [_rule(random) for _ in range(random.randint(0, 3))]
    if random.random() < 0.5:
        egress.append(make.allow("0.0.0.0/0"))
    ingress = [_rule(random) for _ in range(random.randint(0, 4))]
    return make.group(owner, name, ingress=tuple(ingress), egress=tuple(egress))


def _rule(random: Random) -> Rule:
    protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ALL))
    span = None if protocol is Protocol.ICMP else random.choice(_RANGES)
    chance = random.random()
    peer: GroupRef | IPv4Network = IPv4Network(random.choice(_CIDRS))
    if chance < 0.35:
        peer = GroupRef(random.choice(GROUPS))
    elif chance < 0.5:
        peer = GroupRef(random.choice(GROUPS), random.choice(TENANTS))
    return Rule(protocol, PortRange(*span) if span else None, peer)


def _policy(random: Random, owner: ProjectKey, name: str) -> NetworkPolicy:
    """Few priorities, so that names decide, too."""
    kind = random.choice(tuple(PolicyKind))
    return NetworkPolicy(
        owner=owner,
        name=name,
        kind=kind,
        subnet=random.choice(("", *_SUBNETS)),
        priority=random.choice((1, 1, 100, 65535)),
        rules=_policy_rules(random, kind),
        created_at=0,
    )


def _policy_rules(random: Random, kind: PolicyKind) -> tuple[PolicyRule, ...]:
    """What a policy denies it mostly denies narrowly, or little would be left to pass."""
    rules: list[PolicyRule] = []
    for _ in range(random.choice((0, 1, 1, 2, 3, 4))):
        plain = _rule(random)
        peer: GroupRef | SubnetRef | IPv4Network = GroupRef(random.choice(GROUPS))
        if isinstance(plain.peer, IPv4Network):
            peer = plain.peer if random.random() < 0.8 else SubnetRef(random.choice(tuple(_SUBNETS)))
        action = Action.ALLOW if kind is PolicyKind.ISOLATION else random.choice(tuple(Action))
        rules.append(PolicyRule(action, plain.protocol, plain.ports, peer))
    return tuple(dict.fromkeys(rules))


def _lend(random: Random, intent: Intent) -> None:
    """Some tenant's subnet to another, whose guest moves in; or out, if it is there."""
    lender, owner = random.sample(list(intent), 2)
    made = make.lodger(owner, lender, _LENT, vlan=_SUBNETS[_LENT], groups=_groups(random))
    if made.id in intent[owner].ports:
        del intent[owner].ports[made.id]
        return
    make.put(intent[lender], make.share(lender, _LENT, owner))
    name = f"l{TENANTS.index(lender)}"
    attached = Attachment(AttachmentKind.NETNS, GUESTS, f"{owner.org}{name}")
    make.put(intent[owner], replace(made, name=name, attachment=attached))


def _make_half(random: Random, intent: Intent) -> None:
    """An offer, or the answer to one, of anybody who may; rarely towards nobody."""
    owner = random.choice(list(intent))
    nobody, *peers = make.can_peer(intent, owner, tuple(intent))
    wanted = [peer for peer in peers if owner in intent[peer].peerings] or peers or [nobody]
    make.put(intent[owner], make.peering(owner, random.choice(wanted)))


def _snat(random: Random, owner: ProjectKey) -> Snat:
    return make.snat(owner, random.choice(_EXTERNAL[owner]), enabled=random.random() < 0.85)


def _dnat(random: Random, owner: ProjectKey) -> Dnat:
    return make.dnat(
        owner,
        f"{random.choice(_EXTERNAL[owner])}:{random.choice((80, 81, 65535))}",
        f"{_at(owner, random.choice(_places(owner)))}:{random.choice((80, 1000, 2001, 65535))}",
        random.choice((Protocol.TCP, Protocol.UDP)),
    )


def _change(random: Random, intent: Intent) -> None:
    """One thing that a tenant may change."""
    owner = random.choice(list(intent))
    own = intent[owner]
    match random.choice(
        (
            *("group", "group", "port", "port", "snat", "dnat", "attach"),
            *("peering", "peering", "policy", "policy", "lend"),
        )
    ):
        case "lend":
            _lend(random, intent)
        case "peering":
            if own.peerings and random.random() < 0.5:
                del own.peerings[random.choice(sorted(own.peerings))]
            else:
                _make_half(random, intent)
        case "policy":
            _change_policies(random, own, owner)
        case "group":
            group = random.choice(list(own.groups.values()))
            ingress, egress = list(group.ingress), list(group.egress)
            for rules in random.sample((ingress, egress), random.randint(1, 2)):
                if rules and random.random() < 0.6:
                    rules.pop(random.randrange(len(rules)))
                else:
                    rules.append(_rule(random))
            make.put(own, replace(group, ingress=tuple(ingress), egress=tuple(egress)))
        case "port":
            port = random.choice(list(own.ports.values()))
            make.put(own, replace(port, groups=_groups(random)))
        case "snat":
            own.snat = _snat(random, owner) if random.random() < 0.6 else None
        case "dnat":
            if own.dnats and random.random() < 0.5:
                del own.dnats[random.choice(sorted(own.dnats))]
            else:
                make.put(own, _dnat(random, owner))
        case "attach":
            number = random.randrange(len(own.ports))
            port = list(own.ports.values())[number]
            attached = Attachment(AttachmentKind.NETNS, GUESTS, device_of(port))
            make.put(own, replace(port, attachment=None if port.attachment else attached))


def _change_policies(random: Random, own: ProjectIntent, owner: ProjectKey) -> None:
    """One comes, goes, moves or has other rules."""
    old = random.choice((None, *own.policies.values()))
    if old is None:
        make.put(own, _policy(random, owner, f"p{random.randrange(6)}"))
    elif random.random() < 0.4:
        del own.policies[old.name]
    elif random.random() < 0.5:
        make.put(own, replace(old, priority=random.choice((1, 99, 101, 65535))))
    else:
        make.put(own, replace(old, rules=_policy_rules(random, old.kind)))


class _Numbers:
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


def _shots(random: Random, intent: Intent, numbers: _Numbers, packets: int) -> list[Shot]:
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


def _lies(random: Random, intent: Intent, shot: Shot, numbers: _Numbers) -> Iterator[Shot]:
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


def _lies_from_outside(random: Random, intent: Intent, model: Model, numbers: _Numbers) -> Iterator[Shot]:
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


def _from_outside(random: Random, intent: Intent, numbers: _Numbers) -> Shot | None:
    source = Outside(random.choice(_OUTSIDE))
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


def _from_port(random: Random, intent: Intent, numbers: _Numbers) -> Shot | None:
    owner = random.choice(list(intent))
    attached = [port for port in intent[owner].ports.values() if port.attachment]
    if not attached:
        return None
    port = random.choice(attached)
    destination = _destination(random, intent, port.home)
    protocol, number = _service(random, intent, owner, destination)
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
        return found or [IPv4Address(text) for text in _EXTERNAL[whose]]

    other = random.choice([one for one in intent if one != owner])
    chance = random.random()
    peers = [peer for peer, _ in peers_of(intent, owner)]
    if peers and chance < 0.45:
        other = random.choice(peers)
    if chance < (0.45 if peers else 0.15) and make.net_of(other) != make.net_of(owner):
        if random.random() < 0.9:
            return random.choice(of_ports(other))
        return IPv4Address(f"10.{make.net_of(other)}.{random.choice(_NOBODY_AT_PEERS)}")
    if chance < 0.6:
        return random.choice(of_ports(owner))
    if chance < 0.68:
        return random.choice(external(owner))
    if chance < 0.76:
        return random.choice(external(other))
    if chance < 0.90:
        return random.choice(_OUTSIDE)
    if chance < 0.94:
        return IPv4Address(f"10.{make.net_of(owner)}.{random.choice((1, 2))}.1")
    return random.choice(_NOBODY)


def _service(random: Random, intent: Intent, owner: ProjectKey, destination: IPv4Address) -> tuple[int, int]:
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


def _formed(random: Random, probe: Probe, numbers: _Numbers) -> Shot | None:
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
            unique = numbers.is_new(probe.destination) and numbers.is_new(_ADDRESSES[probe.source])
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
