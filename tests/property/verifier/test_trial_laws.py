"""A change tried beside the present tells what comparing the whole reach tells, and leaves no trace."""

from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.testing import strategies as make
from weftwork.verifier.boxes import Box, subtract, union
from weftwork.verifier.diff import Change, ReachDiff, diff
from weftwork.verifier.reach_index import reach
from weftwork.verifier.trial import Changes, Standing, diff_of

Packets = dict[tuple[str, str], list[Box]]


def changed_by(edits: int, intent: Intent, data: st.DataObject) -> tuple[Intent, dict[make.ProjectKey, Changes]]:
    after = deepcopy(intent)
    for _ in range(edits):
        data.draw(make.edits(after)).apply(after)
    changes: dict[make.ProjectKey, Changes] = {}
    for owner in make.TENANTS:
        old, new = (one.get(owner, ProjectIntent()) for one in (intent, after))
        keys = {make.key_of(thing) for project in (old, new) for thing in things(project)}
        different = sorted((key for key in keys if old.get(key) != new.get(key)), key=str)
        changes[owner] = {key: new.get(key) for key in data.draw(st.permutations(different))}
    return after, changes


def things(own: ProjectIntent) -> list[make.Thing]:
    found = [
        *own.subnets.values(),
        *own.groups.values(),
        *own.ports.values(),
        *own.dnats.values(),
        *own.policies.values(),
    ]
    return [*found, *(one for one in (own.vpc, own.snat) if one)]


def by_pair(changes: tuple[Change, ...]) -> Packets:
    packets: Packets = {}
    for change in changes:
        for pair in change.pairs():
            packets.setdefault(pair, []).extend(change.packets)
    return packets


def same_packets(one: tuple[Change, ...], other: tuple[Change, ...]) -> bool:
    a, b = by_pair(one), by_pair(other)
    return a.keys() == b.keys() and all(
        not subtract(union(a[pair]), union(b[pair])) and not subtract(union(b[pair]), union(a[pair])) for pair in a
    )


def count(changes: tuple[Change, ...]) -> int:
    return sum(change.count for change in changes)


def assert_same(found: ReachDiff, whole: ReachDiff) -> None:
    assert same_packets(found.gained, whole.gained)
    assert same_packets(found.lost, whole.lost)
    assert (count(found.gained), count(found.lost)) == (count(whole.gained), count(whole.lost))
    assert found.outwards_gained == whole.outwards_gained
    assert found.outwards_lost == whole.outwards_lost
    assert found.forwards_gained == whole.forwards_gained
    assert found.forwards_lost == whole.forwards_lost


@settings(max_examples=80, deadline=None)
@given(make.intents(), st.integers(0, 4), st.data())
def test_a_trial_tells_what_comparing_everything_tells(intent: Intent, edits: int, data: st.DataObject) -> None:
    after, changes = changed_by(edits, intent, data)
    for owner in make.TENANTS:
        old, new = (one.get(owner, ProjectIntent()) for one in (intent, after))
        standing = Standing(old)
        with standing.trial(changes[owner]) as trial:
            assert_same(diff_of(trial), diff(reach(old), reach(new)))
        assert standing.index.reach == reach(old)
        with standing.trial({}) as nothing:
            assert diff_of(nothing).is_empty, "a trial leaves no trace"


@settings(max_examples=60, deadline=None)
@given(make.intents(), st.integers(1, 4), st.data())
def test_what_came_is_what_was_tried(intent: Intent, edits: int, data: st.DataObject) -> None:
    after, changes = changed_by(edits, intent, data)
    for owner in make.TENANTS:
        standing = Standing(intent.get(owner, ProjectIntent()))
        with standing.trial(changes[owner]):
            pass
        standing.follow(changes[owner])
        assert standing.index.reach == reach(after.get(owner, ProjectIntent()))
        with standing.trial({}) as nothing:
            assert diff_of(nothing).is_empty
