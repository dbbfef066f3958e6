"""A reach test whose one end is a peer's addresses: the pairs of ports that two peered VPCs have across."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import SubnetRef
from weftwork.model.reach_test import End, Internet, Must, PortRef, ReachTest
from weftwork.model.security_group import GroupRef
from weftwork.verifier.boxes import NOTHING, Boxes, intersect, subtract
from weftwork.verifier.diff import ABSENT, Change
from weftwork.verifier.policies import span_of
from weftwork.verifier.reach import Groups, Member, Reach
from weftwork.verifier.reach_tests import Counterexample, from_guests, packet_of

Fate = tuple[Groups, Groups]
"""The class of a port before and after."""


def broken_across(
    before: Reach, after: Reach, project: ProjectIntent, test: ReachTest, peer: IPv4Network
) -> Counterexample | None:
    """What the change between newly does to the test with the VPC of one peer; both are `across` the two projects."""
    return next(_missing(before, after, test, peer), None) or next(_wrong(before, after, project, test), None)


def fails_across(now: Reach, project: ProjectIntent, test: ReachTest, peer: IPv4Network) -> Counterexample | None:
    return broken_across(Reach(), now, project, test, peer)


def _missing(before: Reach, after: Reach, test: ReachTest, peer: IPv4Network) -> Iterator[Counterexample]:
    """A single address of the peer's must be somebody's, when all is there."""
    for end in test.ends if test.must is Must.REACH else ():
        if isinstance(end, IPv4Network) and end.prefixlen == 32 and end.subnet_of(peer):
            address = int(end.network_address)
            if not _is_there(after, address) and (_is_there(before, address) or not before.members):
                yield Counterexample(address, address, is_missing=True)


def _is_there(reach: Reach, address: int) -> bool:
    return any(member[0] == address for members in reach.members.values() for member in members)


def _wrong(before: Reach, after: Reach, project: ProjectIntent, test: ReachTest) -> Iterator[Counterexample]:
    fates = _fates(before, after)
    source, destination = (_Place(test.owner, project, end) for end in test.ends)
    asked = from_guests(test)
    for one, senders in fates.items():
        for other, receivers in fates.items():
            if _whose(one) == _whose(other):
                continue
            new = subtract(
                _badly(
                    test,
                    asked if source.has(one[1]) and destination.has(other[1]) else NOTHING,
                    after,
                    one[1],
                    other[1],
                ),
                _badly(
                    test,
                    asked if source.has(one[0]) and destination.has(other[0]) else NOTHING,
                    before,
                    one[0],
                    other[0],
                ),
            )
            if new:
                pairs = Change(source.of(senders), destination.of(receivers), new).member_pairs()
                for a, b in pairs:
                    ends = (_told(test, one, a), _told(test, other, b))
                    yield Counterexample(*ends, *packet_of(new, a[0], b[0]))


def _badly(test: ReachTest, asked: Boxes, reach: Reach, source: Groups, destination: Groups) -> Boxes:
    passing = reach.between(source, destination)
    return subtract(asked, passing) if test.must is Must.REACH else intersect(asked, passing)


def _fates(before: Reach, after: Reach) -> dict[Fate, list[Member]]:
    old = {member: groups for groups, members in before.members.items() for member in members}
    new = {member: groups for groups, members in after.members.items() for member in members}
    fates: defaultdict[Fate, list[Member]] = defaultdict(list)
    for member in sorted(old.keys() | new.keys()):
        fates[old.get(member, ABSENT), new.get(member, ABSENT)].append(member)
    return fates


def _told(test: ReachTest, fate: Fate, member: Member) -> str | int:
    """A peer's port by its address: its id and its name are the peer's."""
    return member[1] if _whose(fate) == f"{test.owner}/" else member[0]


def _whose(fate: Fate) -> str:
    return next(groups for groups in fate[::-1] if groups != ABSENT)[0]


@dataclass(frozen=True, slots=True)
class _Place:
    """An end of a test of `owner`: the owner's ports by any word, the peer's by address only."""

    owner: ProjectKey
    project: ProjectIntent
    end: End

    def has(self, groups: Groups) -> bool:
        if groups == ABSENT or isinstance(self.end, Internet):
            return False
        if groups[0] != f"{self.owner}/":
            return isinstance(self.end, IPv4Network)
        return not isinstance(self.end, GroupRef) or f"{self.owner}/{self.end.name}" in groups

    def of(self, members: list[Member]) -> list[Member]:
        match self.end:
            case PortRef(port_id):
                return [member for member in members if member[1] == port_id]
            case SubnetRef(name) if name in self.project.subnets:
                cidr = self.project.subnets[name].cidr
                return _within(members, cidr) if isinstance(cidr, IPv4Network) else []
            case IPv4Network():
                return _within(members, self.end)
            case _:
                return members


def _within(members: list[Member], network: IPv4Network) -> list[Member]:
    low, high = span_of(network)
    return [member for member in members if low <= member[0] <= high]
