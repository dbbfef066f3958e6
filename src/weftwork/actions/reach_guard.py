"""Keeps reach tests true: every change of a project's reach is held against its tests before it is committed.

Two changes can each leave every test true and break one together. So all changes of reach in a project that has tests
write one key, the guard, and compare what they saw of it: of two that were decided on the same view, the later one is
decided anew. In a project without tests there is no guard, and a change compares only that.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from weftwork.access.caller import Principal
from weftwork.access.roles import Role
from weftwork.actions import rows
from weftwork.actions.claims import Draft
from weftwork.actions.overlay import overlaid
from weftwork.actions.reach_board import ReachBoard, changes_of
from weftwork.actions.view import IntentView
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import ProjectIntent, Thing, is_peered, peers_of
from weftwork.model.keys import ThingKey, parse_thing_key, peer_in
from weftwork.model.network_policy import SubnetRef
from weftwork.model.port import Port
from weftwork.model.reach_test import Must, PortRef, ReachTest, end_text
from weftwork.model.security_group import GroupRef
from weftwork.seams.store import Put, Remove, Unchanged
from weftwork.verifier.across import across
from weftwork.verifier.reach_tests import Counterexample, broken_by, fails
from weftwork.verifier.reach_tests_across import broken_across, fails_across
from weftwork.verifier.trial import Changes
from weftwork.verifier.words import service

log = logging.getLogger(__name__)

TOLD_MAX = 20
_ASK_PEERS = "Agree on the change with those whom the project is peered with."


@dataclass(frozen=True, slots=True)
class Broken:
    """A test that does not hold, and the packet that shows it, in words."""

    test: ReachTest
    why: str


class ReachGuard:
    def __init__(self, view: IntentView, board: ReachBoard) -> None:
        self._view = view
        self._board = board

    def stands_in(self, owner: ProjectKey) -> bool:
        return str(owner) in self._view.reach_guards

    def guarded(self, draft: Draft, *, by: Principal, override: bool) -> Draft:
        """The draft with what keeps it true; an administrator overrides tests of their own projects and no others'.

        Refusal REACH_TEST_FAILED.
        """
        written = dict.fromkeys(key.owner for write in draft.writes if (key := parse_thing_key(write.key)))
        touched = dict.fromkeys((*written, *(peer for owner in written for peer in self._peers(owner, draft))))
        for owner in touched:
            draft += self._of_project(owner, draft, by, override and (by.role_in(owner) or 0) >= Role.ADMIN)
        return draft

    def _peers(self, owner: ProjectKey, draft: Draft) -> set[ProjectKey]:
        """With whom the owner is peered, before or after: what it does may break tests of theirs."""
        written = (parse_thing_key(write.key) for write in draft.writes)
        new = {(key.owner, peer_in(key)) for key in written if key is not None and key.kind == "peering"}
        intent = self._view.intent
        if not new and not (owner in intent and intent[owner].peerings):
            return set()

        def halves(one: ProjectKey) -> set[ProjectKey]:
            there = intent[one].peerings.keys() if one in intent else ()
            return {*there, *(peer for by, peer in new if by == one)}

        return {peer for peer in halves(owner) if peer in intent and owner in halves(peer)}

    def _of_project(self, owner: ProjectKey, draft: Draft, by: Principal, override: bool) -> Draft:
        key = keys.reach_guard(owner)
        guard = self._view.reach_guards.get(str(owner), 0)
        seen = (Unchanged(key, guard),)
        if not guard:
            return Draft(seen)
        changes = changes_of(owner, draft.writes)
        things = _things(draft)
        if not any(self._concerns_reach(key, thing) for key, thing in things.items()):
            return Draft()
        tests = self._tests_after(owner, changes)
        if tests:
            self._check(owner, draft, tests, by, override=override)
        return Draft(seen, (Put(key, b""),) if tests else (Remove(key),))

    def _check(
        self, owner: ProjectKey, draft: Draft, tests: dict[str, ReachTest], by: Principal, *, override: bool
    ) -> None:
        """Tests that are new in the draft are checked by who makes them."""
        here = self._view.project(owner)
        old = [test for name, test in tests.items() if here and here.intent.reach_tests.get(name) == test]
        if not old or here is None:
            return
        with self._board.trial(owner, draft.writes) as trial:
            broken = [
                Broken(test, told(found, test, here.intent, _things(draft)))
                for test in old
                if (found := broken_by(trial, here.intent, test) or self._broken_across(draft, here.intent, test))
            ]
        if broken and override:
            log.warning("%s: reach test %s is overridden: %s", owner, broken[0].test.name, broken[0].why)
        elif broken and not by.sees(owner):
            raise codes.REACH_TEST_FAILED.refusal("a reach test of a peered project would fail", hint=_ASK_PEERS)
        elif broken:
            raise codes.REACH_TEST_FAILED.refusal(
                f"reach test {broken[0].test.name} of {owner} would fail: {broken[0].why}",
                tests=", ".join(one.test.name for one in broken[:TOLD_MAX]),
                project=str(owner),
            )

    def _broken_across(self, draft: Draft, here: ProjectIntent, test: ReachTest) -> Counterexample | None:
        """With the peers whose addresses the test names, as long as there is a way: then they are not outside."""
        peers = self._peers(test.owner, draft)
        if not peers or not any(isinstance(end, IPv4Network) for end in test.ends):
            return None
        before, after = self._view.intent, overlaid(self._view.intent, draft.writes)
        for peer in sorted(peers):
            vpc = before[peer].vpc
            if vpc is None or not isinstance(vpc.cidr, IPv4Network) or not _names_range(test, vpc.cidr):
                continue
            if not is_peered(after, test.owner, peer):
                continue
            was, would = (across(intent, test.owner, peer) for intent in (before, after))
            found = broken_across(was, would, here, test, vpc.cidr)
            if found is not None:
                return found
        return None

    def fails(self, here: ProjectIntent, test: ReachTest) -> Broken | None:
        """As it is now, whatever was before."""
        found = fails(self._board.of(test.owner).index, here, test)
        for peer, there in peers_of(self._view.intent, test.owner):
            cidr = there.vpc.cidr if there.vpc else None
            if found is None and isinstance(cidr, IPv4Network) and _names_range(test, cidr):
                found = fails_across(across(self._view.intent, test.owner, peer), here, test, cidr)
        return Broken(test, told(found, test, here, {})) if found else None

    def _tests_after(self, owner: ProjectKey, changes: Changes) -> dict[str, ReachTest]:
        here = self._view.project(owner)
        tests = dict(here.intent.reach_tests) if here else {}
        for key, thing in changes.items():
            if key.kind == "reach-test":
                tests.pop(key.name, None)
                if isinstance(thing, ReachTest):
                    tests[key.name] = thing
        return tests

    def _concerns_reach(self, key: ThingKey, thing: Thing | None) -> bool:
        """A port that is not attached, before and after, reaches nobody; that it goes concerns whoever names it."""
        before = self._view.find(key)
        is_idle = isinstance(thing, Port) and thing.attachment is None
        was_idle = before is None or (isinstance(before, Port) and before.attachment is None)
        return not (is_idle and was_idle)


def _things(draft: Draft) -> dict[ThingKey, Thing | None]:
    """Of whatever project."""
    owners = dict.fromkeys(key.owner for write in draft.writes if (key := parse_thing_key(write.key)))
    return {key: thing for owner in owners for key, thing in changes_of(owner, draft.writes).items()}


def _names_range(test: ReachTest, cidr: IPv4Network) -> bool:
    return any(isinstance(end, IPv4Network) and end.overlaps(cidr) for end in test.ends)


def named_by(test: ReachTest) -> Iterator[ThingKey]:
    """The things that the test's ends name."""
    for end in test.ends:
        match end:
            case PortRef(port_id):
                yield ThingKey("port", test.owner, port_id)
            case GroupRef(name):
                yield ThingKey("security-group", test.owner, name)
            case SubnetRef(name):
                yield ThingKey("subnet", test.owner, name)


def tests_naming(project: ProjectIntent, things: Iterable[Thing]) -> list[ReachTest]:
    """The reach tests that stand in the way of a deletion."""
    if not project.reach_tests:
        return []
    gone = {rows.key_of(thing) for thing in things}
    return [test for test in project.reach_tests.values() if not gone.isdisjoint(named_by(test))]


def told(found: Counterexample, test: ReachTest, project: ProjectIntent, changes: Changes) -> str:
    """The packet in words: `tcp 443 from port web1 to port db1 passes`."""
    source, destination = (_end(end, project, changes) for end in (found.source, found.destination))
    if found.is_missing:
        return f"{source} is not attached" if isinstance(found.source, str) else f"nobody has {source}"
    passes = "does not pass" if test.must is Must.REACH else "passes"
    return f"{service(found.protocol, found.port)} from {source} to {destination} {passes}"


def end_told(end: object, project: ProjectIntent) -> str:
    """With a port's name, where it has one."""
    if isinstance(end, PortRef):
        port = project.ports.get(end.id)
        return f"port:{(port.name if port else '') or end.id}"
    return end_text(end)  # type: ignore[arg-type]


def _end(end: str | int, project: ProjectIntent, changes: Changes) -> str:
    if isinstance(end, int):
        return str(IPv4Address(end))
    port = project.ports.get(end) or next(
        (one for one in changes.values() if isinstance(one, Port) and one.id == end), None
    )
    name = (port.name if port else "") or end
    return f"port {name} ({port.addresses[0]})" if port and port.addresses else f"port {name}"
