"""Reach tests: what must reach, and what must not. One is stored only if it holds; what would break it is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, joined, removal
from weftwork.actions.find import group_of, port_of, reach_test_of, subnet_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.overlay import overlaid
from weftwork.actions.reach_board import changes_of
from weftwork.actions.reach_guard import Broken, named_by, told
from weftwork.actions.words import check_name
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.network_policy import SubnetRef
from weftwork.model.port import Port
from weftwork.model.reach_test import End, Internet, Must, PortRef, ReachTest
from weftwork.model.security_group import GroupRef, PortRange, Protocol
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Conflict, Put, Transaction, Unchanged
from weftwork.verifier.reach_tests import can_be_sent, fails

TESTS_MAX = 200
"""For each project."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A reach test as it is asked for: its ends name things by name or id."""

    name: str
    must: Must
    source: End
    destination: End
    protocol: Protocol
    ports: PortRange | None


@dataclass(frozen=True, slots=True)
class AppliedTests:
    """Names of tests."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


async def create_reach_test(network: Network, *, owner: ProjectKey, wanted: Wanted) -> Stored[ReachTest]:
    """Refusals INVALID_NAME, INVALID_REACH_TEST, TOO_MANY_REACH_TESTS, VPC_NOT_FOUND, those of a name that is not
    found, PORT_IN_SHARED_SUBNET, REACH_TEST_ALREADY_EXISTS, REACH_TEST_FAILS.
    """

    def decide() -> Decision[ReachTest]:
        here, _ = vpc_of(network, owner)
        test = _checked(network, here, owner, wanted)
        existing = here.intent.reach_tests.get(test.name)
        if existing is None:
            _check_count(len(here.intent.reach_tests) + 1)
            _check_holds(network, here, [test])
            return Decision(test, creation(test) + Draft(_still_there(network, [test])))
        if replace(existing, created_at=test.created_at) != test:
            raise codes.REACH_TEST_ALREADY_EXISTS.refusal(
                f"reach test {test.name!r} exists, and demands something else"
            )
        return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))

    return await run_guarded(network, owner, decide)


async def apply_reach_tests(
    network: Network, *, owner: ProjectKey, wanted: Sequence[Wanted], prune: bool
) -> Stored[AppliedTests]:
    """All of them or none: made, changed, left as they are; with `prune`, all others are deleted.

    Refusals as of `create_reach_test`, but that a test of the name may be there.
    """
    names = [one.name for one in wanted]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise codes.INVALID_REACH_TEST.refusal(f"reach test {twice!r} is named twice", field="tests")

    def decide() -> Decision[AppliedTests]:
        here, _ = vpc_of(network, owner)
        there = here.intent.reach_tests
        tests = {one.name: _checked(network, here, owner, one) for one in wanted}
        tests = {
            name: replace(test, created_at=there[name].created_at) if name in there else test
            for name, test in tests.items()
        }
        gone = [test for name, test in there.items() if prune and name not in tests]
        new = [test for name, test in tests.items() if there.get(name) != test]
        _check_count(len(there.keys() | tests.keys()) - len(gone))
        _check_holds(network, here, new)
        revision_of = network.view.revision_of
        drafts = [
            creation(test) if test.name not in there else change(there[test.name], test, revision_of(rows.key_of(test)))
            for test in new
        ]
        drafts += [removal(test, revision_of(rows.key_of(test))) for test in gone]
        applied = AppliedTests(
            created=tuple(test.name for test in new if test.name not in there),
            changed=tuple(test.name for test in new if test.name in there),
            deleted=tuple(test.name for test in gone),
            unchanged=tuple(name for name, test in tests.items() if there.get(name) == test),
        )
        if not drafts:
            return Decision(applied, revision=network.view.revision)
        return Decision(applied, joined([*drafts, Draft(_still_there(network, new))]))

    return await run_guarded(network, owner, decide)


async def delete_reach_test(network: Network, *, owner: ProjectKey, test: str) -> None:
    """Refusals VPC_NOT_FOUND, REACH_TEST_NOT_FOUND."""

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        gone = reach_test_of(here, owner, test)
        return Decision(None, removal(gone, network.view.revision_of(rows.key_of(gone))))

    await network.run(owner, decide)


async def run_reach_tests(
    network: Network, *, owner: ProjectKey, tests: Sequence[str] = ()
) -> tuple[tuple[ReachTest, Broken | None], ...]:
    """All of the project, or those that are named, as they are now. Refusals VPC_NOT_FOUND, REACH_TEST_NOT_FOUND."""
    here, _ = vpc_of(network, owner)
    chosen = [reach_test_of(here, owner, one) for one in tests] or sorted(
        here.intent.reach_tests.values(), key=lambda one: one.name
    )
    return tuple((test, network.reach_guard.fails(here.intent, test)) for test in chosen)


def check_would_hold(network: Network, owner: ProjectKey, draft: Draft) -> None:
    """Of tests that are new in the draft: the guard looks after those that are there. Refusal REACH_TEST_FAILED."""
    if network.overrides_reach_tests:
        return
    changes = changes_of(owner, draft.writes)
    here = network.view.project(owner)
    old = here.intent.reach_tests if here else {}
    new = [one for one in changes.values() if isinstance(one, ReachTest) and old.get(one.name) != one]
    if not new:
        return
    project = overlaid(network.view.intent, draft.writes)[owner]
    with network.reach.trial(owner, draft.writes) as trial:
        broken = [(test, found) for test in new if (found := fails(trial.would, project, test))]
    if broken:
        test, found = broken[0]
        raise codes.REACH_TEST_FAILED.refusal(
            f"reach test {test.name} of {owner} would fail: {told(found, test, project, changes)}",
            tests=", ".join(one.name for one, _ in broken),
            project=str(owner),
        )


async def run_guarded(network: Network, owner: ProjectKey, decide: Callable[[], Decision[T]]) -> Stored[T]:
    """Only under a guard: without one, changes of reach that nobody sees yet may be under way."""

    def under_guard() -> Decision[T | None]:
        decision = decide()
        if not decision.draft.writes or network.is_dry or network.reach_guard.stands_in(owner):
            return Decision(decision.value, decision.draft, decision.revision)
        _, vpc = vpc_of(network, owner)
        return Decision(None, _guard(network, vpc), more=True)

    while True:
        stored = await network.run(owner, under_guard)
        if stored.value is not None:
            return Stored(stored.value, stored.revision)


async def guard_for_tests(network: Network, owner: ProjectKey, draft: Draft) -> Draft:
    """What a draft with new tests needs beside it where no guard stands yet. Raises Conflict once one was set up:
    what was decided before may have missed changes that were under way.
    """
    after = overlaid(network.view.intent, draft.writes).get(owner)
    if after is None or not after.reach_tests or network.is_dry or network.reach_guard.stands_in(owner):
        return Draft()
    here = network.view.project(owner)
    if here is None or here.intent.vpc is None:
        return Draft((), (Put(keys.reach_guard(owner), b""),))
    # Not by `run`: whoever asks may hold the project's gate already.
    guard = _guard(network, here.intent.vpc)
    raise Conflict((), await network.store.commit(Transaction(guard.compares, guard.writes)))


def _guard(network: Network, vpc: Vpc) -> Draft:
    key, vpc_key = keys.reach_guard(vpc.owner), rows.key_of(vpc)
    seen = (Unchanged(key, 0), Unchanged(str(vpc_key), network.view.revision_of(vpc_key)))
    return Draft(seen, (Put(key, b""),))


def _checked(network: Network, here: ProjectIndex, owner: ProjectKey, wanted: Wanted) -> ReachTest:
    """With the ids of what its ends name."""
    check_name(wanted.name, "reach test")
    test = ReachTest(
        owner=owner,
        name=wanted.name,
        must=wanted.must,
        source=_found(here, owner, wanted.source),
        destination=_found(here, owner, wanted.destination),
        protocol=wanted.protocol,
        ports=wanted.ports,
        created_at=network.clock.now_s(),
    )
    if test.ports and test.protocol is Protocol.ICMP:
        raise codes.INVALID_REACH_TEST.refusal(f"reach test {test.name}: icmp has no ports", field="service")
    if test.ports and not 0 <= test.ports.min <= test.ports.max <= 65535:
        raise codes.INVALID_REACH_TEST.refusal(
            f"reach test {test.name}: {test.ports.min}-{test.ports.max} is not a range of ports", field="service"
        )
    if not any(_is_inside(here, end) for end in test.ends):
        raise codes.INVALID_REACH_TEST.refusal(f"reach test {test.name}: both ends are outside the VPC", field="source")
    if not can_be_sent(test):
        raise codes.INVALID_REACH_TEST.refusal(
            f"reach test {test.name}: no guest may send such packets, whatever the rules say", field="service"
        )
    return test


def _found(here: ProjectIndex, owner: ProjectKey, end: End) -> End:
    match end:
        case PortRef(text):
            return PortRef(_not_borrowed(port_of(here, owner, text)).id)
        case GroupRef(text):
            return GroupRef(group_of(here, owner, text).name)
        case SubnetRef(text):
            return SubnetRef(subnet_of(here, owner, text).name)
        case IPv6Network():
            raise codes.IPV6_NOT_SUPPORTED.refusal(f"{end} is an IPv6 range")
        case IPv4Network() | Internet():
            return end


def _not_borrowed(port: Port) -> Port:
    """A test is held against every change that could break it: so the borrower could stop what the lender does."""
    if port.lender:
        raise codes.PORT_IN_SHARED_SUBNET.refusal(f"port {port.name or port.id} is in a subnet of {port.lender}")
    return port


def _is_inside(here: ProjectIndex, end: End) -> bool:
    if isinstance(end, IPv4Network):
        return here.intent.vpc is not None and here.intent.vpc.cidr.overlaps(end)
    return not isinstance(end, Internet)


def _check_count(count: int) -> None:
    if count > TESTS_MAX:
        raise codes.TOO_MANY_REACH_TESTS.refusal(f"{count} reach tests, at most {TESTS_MAX} fit")


def _check_holds(network: Network, here: ProjectIndex, tests: Sequence[ReachTest]) -> None:
    if network.overrides_reach_tests:
        return
    broken = [found for test in tests if (found := network.reach_guard.fails(here.intent, test))]
    if broken:
        names = ", ".join(one.test.name for one in broken)
        raise codes.REACH_TEST_FAILS.refusal(
            f"reach test {broken[0].test.name} fails now: {broken[0].why}", tests=names
        )


def _still_there(network: Network, tests: Sequence[ReachTest]) -> tuple[Unchanged, ...]:
    """What the tests name."""
    named = dict.fromkeys(key for test in tests for key in named_by(test))
    return tuple(Unchanged(str(key), network.view.revision_of(key)) for key in named)
