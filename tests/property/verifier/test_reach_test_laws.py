"""Reach tests against a plain oracle, port by port; and what a change newly breaks against all that fails."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_worlds import any_matches, attached, passes_inside, sendable

from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import SubnetRef
from weftwork.model.port import Port
from weftwork.model.reach_test import End, Internet, Must, PortRef, ReachTest
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.testing import strategies as make
from weftwork.verifier.reach_index import ReachIndex
from weftwork.verifier.reach_tests import Counterexample, broken_by, fails
from weftwork.verifier.trial import Changes, Standing

OWNER = make.TENANTS[0]
NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17}
OUTSIDE = (IPv4Address("8.8.8.8"), IPv4Address("203.0.113.64"))


GROUPS = ("default", "web", "db")
PEERS = ("0.0.0.0/0", "10.0.1.0/25", "10.0.1.11/32", "10.0.2.0/24", "203.0.113.64/26", *GROUPS)
SERVICES = ((Protocol.ALL, None), (Protocol.TCP, 80), (Protocol.TCP, 443), (Protocol.UDP, 443), (Protocol.ALL, 80))
NUMBERS_ASKED = (80, 443, 4789)


def a_rule(random: Random) -> Rule:
    return make.allow(random.choice(PEERS), *random.choice(SERVICES))


def a_group(random: Random, name: str) -> SecurityGroup:
    ways = [tuple(a_rule(random) for _ in range(random.randrange(3))) for _ in ("in", "out")]
    return make.group(OWNER, name, ingress=ways[0], egress=ways[1])


def a_port(random: Random, number: int) -> Port:
    """Of the first three in one subnet, the others in the other."""
    where = {"subnet": make.SUBNETS[number // 3], "vlan": 1 + number // 3}
    groups = tuple(sorted(random.sample(GROUPS, random.randrange(3))))
    return make.port(OWNER, number, groups=groups, attachment=random.choice((make.TAP, make.TAP, None)), **where)


def a_dnat(random: Random) -> Dnat:
    target = f"10.0.1.{10 + random.randrange(3)}:{random.choice((80, 443))}"
    return make.dnat(OWNER, f"198.51.100.10:{random.choice((80, 8080))}", target)


def a_world(random: Random) -> ProjectIntent:
    subnets = (make.subnet(OWNER, name, vlan=1 + number) for number, name in enumerate(make.SUBNETS))
    groups = (a_group(random, name) for name in GROUPS)
    ports = (a_port(random, number) for number in range(6))
    nat = [make.snat(OWNER, "198.51.100.10")] * random.randrange(2)
    return make.project(make.vpc(OWNER), *subnets, *groups, *ports, *nat, a_dnat(random))


def changed(random: Random, own: ProjectIntent) -> ProjectIntent:
    new = own.copy()
    for _ in range(random.choice((1, 1, 2, 3))):
        match random.randrange(6):
            case 0 | 1:
                make.put(new, a_group(random, random.choice(GROUPS)))
            case 2 | 3:
                make.put(new, a_port(random, random.randrange(6)))
            case 4:
                make.put(new, a_dnat(random))
            case _:
                new.snat = None if new.snat else make.snat(OWNER, "198.51.100.10")
    return new


def an_end(random: Random) -> End:
    choices: tuple[End, ...] = (
        PortRef(make.port(OWNER, random.randrange(6)).id),
        GroupRef(random.choice(GROUPS)),
        SubnetRef(random.choice(make.SUBNETS)),
        IPv4Network(random.choice(("10.0.1.0/25", "10.0.1.11/32", "10.0.2.0/24", "203.0.113.64/32", "0.0.0.0/0"))),
        Internet(),
    )
    return random.choice(choices)


def a_test(random: Random) -> ReachTest:
    """Of one service, so that the oracle need not ask about many."""
    number = random.choice(NUMBERS_ASKED)
    return ReachTest(
        owner=OWNER,
        name="test",
        must=random.choice(tuple(Must)),
        source=an_end(random),
        destination=an_end(random),
        protocol=random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP)),
        ports=PortRange(number, number),
        created_at=0,
    )


def meant(own: ProjectIntent, end: End) -> list[Port]:
    match end:
        case PortRef(port_id):
            return [port for port in attached(own) if port.id == port_id]
        case GroupRef(name):
            return [port for port in attached(own) if name in port.groups]
        case SubnetRef(name):
            return [
                port for port in attached(own) if name in own.subnets and port.addresses[0] in own.subnets[name].cidr
            ]
        case IPv4Network():
            return [port for port in attached(own) if port.addresses[0] in end]
        case _:
            return []


def addresses(own: ProjectIntent, end: End) -> list[IPv4Address]:
    """Addresses outside that are meant: a few of them, as every rule treats many alike."""
    if isinstance(end, Internet):
        return list(OUTSIDE)
    return [one for one in OUTSIDE if isinstance(end, IPv4Network) and one in end]


def is_missing(own: ProjectIntent, end: End) -> bool:
    if isinstance(end, PortRef):
        return not meant(own, end)
    return isinstance(end, IPv4Network) and end.prefixlen == 32 and not (meant(own, end) or addresses(own, end))


def questions(own: ProjectIntent, test: ReachTest) -> Iterator[tuple[str | int, str | int, bool]]:
    """Whoever is meant at both ends, and whether the packet passes."""
    assert test.ports
    protocol, number = NUMBERS[test.protocol], test.ports.min
    for one in meant(own, test.source):
        for other in meant(own, test.destination):
            if one is not other and sendable(protocol, number):
                yield one.id, other.id, passes_inside(own, one, other, protocol, number)
        for address in addresses(own, test.destination):
            if sendable(protocol, number):
                out = own.snat is not None and own.snat.enabled
                yield one.id, int(address), out and any_matches(own, one, "out", protocol, number, address, ())
    for address in addresses(own, test.source):
        for port in meant(own, test.destination):
            forwarded = any(
                (dnat.internal_ip, dnat.protocol, dnat.internal_port) == (port.addresses[0], test.protocol, number)
                for dnat in own.dnats.values()
            )
            yield int(address), port.id, forwarded and any_matches(own, port, "in", protocol, number, address, ())


def wrong(own: ProjectIntent, test: ReachTest) -> set[tuple[str | int, str | int]]:
    return {(a, b) for a, b, passes in questions(own, test) if passes is (test.must is Must.NOT_REACH)}


def missing(own: ProjectIntent, test: ReachTest) -> bool:
    return test.must is Must.REACH and any(is_missing(own, end) for end in test.ends)


def is_right(found: Counterexample, own: ProjectIntent, test: ReachTest) -> bool:
    """Does the packet show what it is said to show? Ends outside may be other ones than the oracle asks about."""
    if found.is_missing:
        return missing(own, test)
    pairs = wrong(own, test)
    inside = {port.id for port in attached(own)}
    if found.source in inside and found.destination in inside:
        return (found.source, found.destination) in pairs
    return True


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=True))
def test_a_test_fails_when_and_only_when_some_packet_says_so(random: Random) -> None:
    own = a_world(random)
    for _ in range(40):
        assert_fails_rightly(own, a_test(random))


def assert_fails_rightly(own: ProjectIntent, test: ReachTest) -> None:
    found = fails(ReachIndex(own), own, test)
    if missing(own, test) or wrong(own, test):
        assert found is not None
    elif found is not None:
        assert isinstance(found.source, int) or isinstance(found.destination, int), "only the outside is asked in part"
    if found is not None:
        assert is_right(found, own, test)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=True))
def test_a_change_breaks_a_test_when_something_is_wrong_that_was_right(random: Random) -> None:
    old = a_world(random)
    new = changed(random, old)
    with Standing(old).trial(changes_between(old, new)) as trial:
        for _ in range(40):
            test = a_test(random)
            assert_broken_rightly(broken_by(trial, new, test), old, new, test)


def assert_broken_rightly(
    found: Counterexample | None, old: ProjectIntent, new: ProjectIntent, test: ReachTest
) -> None:
    newly = wrong(new, test) - wrong(old, test)
    newly_missing = test.must is Must.REACH and any(
        is_missing(new, one) and not is_missing(old, one) for one in test.ends
    )
    if newly or newly_missing:
        assert found is not None
    if found is None:
        return
    assert not found.is_missing or newly_missing
    ends = (found.source, found.destination)
    if not found.is_missing and all(isinstance(end, str) for end in ends):
        assert ends in newly
    assert fails(ReachIndex(new), new, test) is not None


def changes_between(old: ProjectIntent, new: ProjectIntent) -> Changes:
    things = [
        *(
            thing
            for own in (old, new)
            for shelf in (own.subnets, own.groups, own.ports, own.dnats)
            for thing in shelf.values()
        ),
        *(thing for own in (old, new) for thing in (own.vpc, own.snat) if thing),
    ]
    keys = {make.key_of(thing) for thing in things}
    return {key: new.get(key) for key in sorted(keys, key=str) if old.get(key) != new.get(key)}
