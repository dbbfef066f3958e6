"""Laws of what passes between peered VPCs: model, sets of packets and the oracle say the same."""

from copy import deepcopy
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_worlds import SERVICES, any_matches, attached, denied, may_pass, sendable

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, is_peered
from weftwork.model.port import Port
from weftwork.testing import strategies as make
from weftwork.verifier.across import across
from weftwork.verifier.boxes import Point, contains
from weftwork.verifier.diff import diff
from weftwork.verifier.lodging import lodging
from weftwork.verifier.model import Model
from weftwork.verifier.packet import Inside, Probe
from weftwork.verifier.reach import NEVER_FROM_GUESTS, Groups, Reach

RED, GREEN = make.TENANTS[0], make.GREEN


@st.composite
def peered(draw: st.DrawFn) -> Intent:
    """Red and green, mostly with both halves, and mostly with rules that name each other's groups."""
    intent = draw(make.intents())
    for owner, other in ((RED, GREEN), (GREEN, RED)):
        own = intent.setdefault(owner, make.project(make.vpc(owner, vni=make.vni_of(owner))))
        own.peerings.clear()
        own.ports.clear()  # others have their ids
        if own.vpc is None:
            make.put(own, make.vpc(owner, vni=make.vni_of(owner)))
        if draw(st.integers(0, 9)):
            make.put(own, make.peering(owner, other))
        make.put(own, make.subnet(owner))
        rules = st.lists(make.rules(), max_size=2).map(tuple)
        naming = make.allow(f"{other}/web")
        open_ = (naming, make.allow("10.0.0.0/8"))
        ingress, egress = ((*draw(rules), *draw(st.lists(st.sampled_from(open_)))) for _ in range(2))
        make.put(own, make.group(owner, "web", ingress=ingress, egress=egress))
        for number in range(draw(st.integers(1, 3))):
            groups = draw(st.sampled_from(((), ("web",), ("web",))))
            make.put(own, make.port(owner, number + 40 * make.net_of(owner), groups=groups))
    return intent


def address(port: Port) -> IPv4Address:
    one = port.addresses[0]
    assert isinstance(one, IPv4Address)
    return one


def class_of(found: Reach, port: Port) -> Groups:
    return next(groups for groups, members in found.members.items() if (int(address(port)), port.id) in members)


def set_says(found: Reach, a: Port, b: Port, protocol: int, number: int) -> bool:
    if not found.members:
        return False
    point = Point(int(address(a)), int(address(b)), protocol, number)
    return contains(found.between(class_of(found, a), class_of(found, b)), point) and not contains(
        NEVER_FROM_GUESTS, point
    )


def passes(intent: Intent, owner: ProjectKey, a: Port, other: ProjectKey, b: Port, protocol: int, number: int) -> bool:
    if not (is_peered(intent, owner, other) and sendable(protocol, number)):
        return False
    out = may_pass(intent[owner], a, "out", protocol, number, address(b), called(other, b))
    return out and may_pass(intent[other], b, "in", protocol, number, address(a), called(owner, a))


def called(owner: ProjectKey, port: Port) -> tuple[str, ...]:
    """The port's groups, as rules of a peer name them."""
    return tuple(f"{owner}/{name}" for name in port.groups)


@settings(max_examples=60, deadline=None)
@given(peered())
def test_between_peers_model_sets_and_oracle_agree(intent: Intent) -> None:
    model, found = Model(intent), across(intent, RED, GREEN)
    for owner, other in ((RED, GREEN), (GREEN, RED)):
        for a in attached(intent[owner]):
            for b in attached(intent[other]):
                for protocol, number in SERVICES:
                    verdict = model.verdict(Probe(Inside(owner, a.id), address(b), protocol, 40000, number))
                    told = verdict.receiver == Inside(other, b.id)
                    assert told == passes(intent, owner, a, other, b, protocol, number)
                    assert told == set_says(found, a, b, protocol, number)


@settings(max_examples=30, deadline=None)
@given(peered())
def test_without_one_half_everything_that_passed_is_lost_and_nothing_is_gained(intent: Intent) -> None:
    halved = deepcopy(intent)
    halved[GREEN].peerings.clear()
    before, after = across(intent, RED, GREEN), across(halved, RED, GREEN)

    found = diff(before, after)

    assert after == Reach() and not found.gained
    lost = {pair for change in found.lost for pair in change.pairs()}
    for a in attached(intent[RED]):
        for b in attached(intent[GREEN]):
            for one, other in ((a, b), (b, a)):
                passed = any(set_says(before, one, other, *service) for service in SERVICES)
                assert not passed or (one.id, other.id) in lost


@st.composite
def lent(draw: st.DrawFn) -> Intent:
    """Red's subnet with guests of red and, mostly, of green and of amber."""
    intent: Intent = {}
    for owner in (RED, GREEN, make.AMBER):
        own = intent[owner] = make.project(make.vpc(owner, vni=make.vni_of(owner)), make.subnet(owner))
        rules = st.lists(make.rules(), max_size=2).map(tuple)
        open_ = (make.allow("web"), make.allow(f"{RED}/web"), make.allow("10.0.0.0/8"))
        ingress, egress = ((*draw(rules), *draw(st.lists(st.sampled_from(open_)))) for _ in range(2))
        make.put(own, make.group(owner, "web", ingress=ingress, egress=egress))
        groups = draw(st.sampled_from(((), ("web",), ("web",))))
        if owner == RED:
            make.put(own, make.port(owner, 1, groups=groups))
            make.put(own, make.port(owner, 2, groups=("web",)))
        else:
            make.put(own, make.port(owner, 1, groups=groups))
            make.put(intent[RED], make.share(RED, "default", owner))
            if draw(st.booleans()):
                make.put(intent[RED], draw(make.policies(RED, intent[RED])))
            if draw(st.integers(0, 4)):
                make.put(own, make.lodger(owner, RED, groups=groups))
    return intent


@settings(max_examples=40, deadline=None)
@given(lent())
def test_in_a_shared_subnet_model_sets_and_oracle_agree(intent: Intent) -> None:
    model, found = Model(intent), lodging(intent, RED)
    here = [port for own in intent.values() for port in attached(own) if port.home == RED]
    for a in here:
        for b in here:
            if a is b or {a.owner, b.owner} == {RED}:
                continue
            for protocol, number in SERVICES:
                verdict = model.verdict(Probe(Inside(a.owner, a.id), address(b), protocol, 40000, number))
                told = verdict.receiver == Inside(b.owner, b.id)
                assert told == meets(intent, a, b, protocol, number)
                assert told == set_says(found, a, b, protocol, number)


def meets(intent: Intent, a: Port, b: Port, protocol: int, number: int) -> bool:
    """Each side by its own project's rules, in which only its own groups have no project."""
    for_a = b.groups if b.owner == a.owner else called(b.owner, b)
    for_b = a.groups if b.owner == a.owner else called(a.owner, a)
    out = any_matches(intent[a.owner], a, "out", protocol, number, address(b), for_a)
    into = any_matches(intent[b.owner], b, "in", protocol, number, address(a), for_b)
    home = intent[RED]
    of_a, of_b = ((port.groups if port.owner == RED else ()) for port in (a, b))
    stopped = denied(home, a, "out", protocol, number, address(b), of_b) or denied(
        home, b, "in", protocol, number, address(a), of_a
    )
    return sendable(protocol, number) and out and into and not stopped
