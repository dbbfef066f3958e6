"""The model, the sets and a plain oracle agree on random intents; sets kept up to date are sets made anew."""

from collections.abc import Iterator
from copy import deepcopy
from ipaddress import IPv4Address
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_worlds import SERVICES, attached, may_pass, passes_inside, questions, sendable

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.testing import strategies as make
from weftwork.verifier.boxes import NOTHING, Box, Point, Span, contains, intersect, same, subtract, union
from weftwork.verifier.diff import ReachDiff, diff
from weftwork.verifier.model import Model, is_one_host
from weftwork.verifier.packet import Inside, Outside, Probe
from weftwork.verifier.reach import NEVER_FROM_GUESTS, Reach
from weftwork.verifier.reach_index import ReachIndex, reach

OUTSIDE = [IPv4Address(text) for text in ("198.51.100.200", "203.0.113.64", "203.0.113.128", "8.8.8.8", "11.0.1.1")]


def number_of(port: Port) -> int:
    return int(port.addresses[0])


def set_says(found: Reach, a: Port, b: Port, protocol: int, number: int) -> bool:
    point = Point(number_of(a), number_of(b), protocol, number)
    return contains(found.between(a.groups, b.groups), point) and not contains(NEVER_FROM_GUESTS, point)


@settings(max_examples=60, deadline=None)
@given(make.intents())
def test_between_ports_model_sets_and_oracle_agree(intent: Intent) -> None:
    model = Model(intent)
    found = {owner: reach(own) for owner, own in intent.items()}
    for owner, own, a, b in questions(intent):
        destination = b.addresses[0]
        assert isinstance(destination, IPv4Address)
        for protocol, number in SERVICES:
            probe = Probe(Inside(owner, a.id), destination, protocol, 40000, number)
            told = model.verdict(probe).delivered
            assert told == (sendable(protocol, number) and passes_inside(own, a, b, protocol, number)), probe
            assert told == set_says(found[owner], a, b, protocol, number), probe


@settings(max_examples=60, deadline=None)
@given(make.intents())
def test_to_the_outside_and_from_it_model_sets_and_oracle_agree(intent: Intent) -> None:
    model = Model(intent)
    for owner, own in intent.items():
        found = reach(own)
        for port in attached(own):
            for protocol, number in SERVICES:
                for there in OUTSIDE:
                    told = model.verdict(Probe(Inside(owner, port.id), there, protocol, 40000, number)).delivered
                    rule = may_pass(own, port, "out", protocol, number, there, ())
                    snat = own.snat is not None and own.snat.enabled
                    assert told == (snat and rule and sendable(protocol, number))
                    point = Point(number_of(port), int(there), protocol, number)
                    never = contains(NEVER_FROM_GUESTS, point)
                    assert told == (contains(found.outwards.get(port.groups, NOTHING), point) and not never)
        by_address = {port.addresses[0]: port for port in attached(own)}
        for dnat in own.dnats.values():
            protocol = {"tcp": 6, "udp": 17}[dnat.protocol.value]
            target = by_address.get(dnat.internal_ip)
            for there in OUTSIDE:
                assert isinstance(dnat.external_ip, IPv4Address)
                probe = Probe(Outside(there), dnat.external_ip, protocol, 40000, dnat.external_port)
                told = model.verdict(probe).delivered
                assert told == (
                    target is not None and may_pass(own, target, "in", protocol, dnat.internal_port, there, ())
                )
                point = Point(int(there), int(dnat.external_ip), protocol, dnat.external_port)
                forward = found.forwards.get(dnat.name)
                assert told == (forward is not None and contains(forward.sources, point))
            for port in attached(own):
                assert isinstance(dnat.external_ip, IPv4Address)
                probe = Probe(Inside(owner, port.id), dnat.external_ip, protocol, 40000, dnat.external_port)
                told = model.verdict(probe).delivered
                direct = target is not None and passes_inside(own, port, target, protocol, dnat.internal_port)
                assert told == direct
                point = Point(number_of(port), int(dnat.external_ip), protocol, dnat.external_port)
                forwarded = dnat.name in found.forwards
                assert told == (forwarded and contains(found.hairpin(port.groups, dnat.name), point))


@settings(max_examples=60, deadline=None)
@given(make.histories(length_max=20))
def test_sets_kept_up_to_date_are_sets_made_anew(history: tuple[make.Edit, ...]) -> None:
    intent: Intent = {}
    indexes = {owner: ReachIndex(intent.setdefault(owner, ProjectIntent())) for owner in make.PROJECTS}
    for edit in history:
        own = intent[edit.key.owner]
        if edit.thing is None:
            make.remove(own, edit.key)
        else:
            make.put(own, edit.thing)
        index = indexes[edit.key.owner]
        before = index.reach
        touched = index.update([edit.key])
        now, anew = index.reach, reach(own)
        assert now == anew
        for pair in product(before.members.keys() | anew.members.keys(), repeat=2):
            assert index.between(*pair) == anew.between(*pair)
            assert touched & set(pair) or before.between(*pair) == anew.between(*pair)
        assert set(anew.passing()) == {pair for pair in product(anew.members, repeat=2) if anew.between(*pair)}


def ports_of(found: ReachDiff, *, gained: bool) -> set[tuple[str, str]]:
    return {pair for change in (found.gained if gained else found.lost) for pair in change.pairs()}


@settings(max_examples=40, deadline=None)
@given(make.intents(), st.data())
def test_a_diff_names_exactly_the_pairs_that_something_changes_for(intent: Intent, data: st.DataObject) -> None:
    after = deepcopy(intent)
    for _ in range(data.draw(st.integers(0, 4))):
        data.draw(make.edits(after)).apply(after)
    for owner in make.TENANTS:
        old, new = intent.get(owner, ProjectIntent()), after.get(owner, ProjectIntent())
        found = diff(reach(old), reach(new))
        gained, lost = ports_of(found, gained=True), ports_of(found, gained=False)
        assert sum(change.count for change in found.gained) == sum(1 for one in found.gained for _ in one.pairs())
        was, now = dict(passing(old)), dict(passing(new))
        everyone = was.keys() | now.keys()
        for pair in everyone:
            here = now.get(pair, frozenset()) - was.get(pair, frozenset())
            gone = was.get(pair, frozenset()) - now.get(pair, frozenset())
            assert not here or pair in gained
            assert not gone or pair in lost
        if reach(old) == reach(new):
            assert found.is_empty


def passing(own: ProjectIntent) -> Iterator[tuple[tuple[str, str], frozenset[tuple[int, int]]]]:
    for a in attached(own):
        for b in attached(own):
            if a is not b:
                services = (one for one in SERVICES if passes_inside(own, a, b, *one))
                yield (a.id, b.id), frozenset(services)


SMALL = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: (min(pair), max(pair)))
BOXES = st.lists(st.builds(Box, SMALL, SMALL, SMALL, SMALL), max_size=4)


def points(box: Box) -> set[tuple[int, ...]]:
    return {(a, b, c, d) for a in r(box[0]) for b in r(box[1]) for c in r(box[2]) for d in r(box[3])}


def r(span: Span) -> range:
    return range(span[0], span[1] + 1)


def all_points(boxes: tuple[Box, ...]) -> set[tuple[int, ...]]:
    return set[tuple[int, ...]]().union(*map(points, boxes))


@settings(deadline=None)
@given(BOXES, BOXES)
def test_boxes_are_sets(one: list[Box], other: list[Box]) -> None:
    a, b = union(one), union(other)
    assert all_points(a) == all_points(tuple(one))
    assert sum(len(points(box)) for box in a) == len(all_points(a)), "a union's boxes are disjoint"
    assert union(reversed(one)) == a
    assert all_points(intersect(a, b)) == all_points(a) & all_points(b)
    assert all_points(subtract(a, b)) == all_points(a) - all_points(b)
    assert same(a, b) == (all_points(a) == all_points(b))


@given(st.ip_addresses(v=4))
def test_what_is_no_host_is_never_reached(address: IPv4Address) -> None:
    owner = make.TENANTS[0]
    own = make.project(
        make.vpc(owner),
        make.subnet(owner),
        make.group(owner, egress=(make.allow("0.0.0.0/0"),)),
        make.port(owner, 1),
        make.snat(owner, "198.51.100.10"),
    )
    told = Model({owner: own}).verdict(Probe(Inside(owner, make.port(owner, 1).id), address, 6, 40000, 80))
    assert is_one_host(address) or not told.delivered
