"""A program put together from slices, and changed slice by slice at the cost of the change.

It adds the one thing that no slice knows: the epoch of each VPC, a hash over all nftables resources of its namespace.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from weakref import ReferenceType, WeakKeyDictionary, ref

from weftwork.compiler.linux.names import epoch_mark
from weftwork.compiler.linux.policy import EPOCH_SET, epoch_elements
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Program, Resource, SliceId


@dataclass(frozen=True, slots=True)
class Delta:
    """What came into the program and what left it; they are disjoint."""

    added: Program
    removed: Program


@dataclass(frozen=True, slots=True)
class Epoch:
    """`total` is the sum of the digests of a namespace's nftables resources, so their order does not matter.

    `judging` are the tables that evaluate the policy: they hold a set for the epoch.
    """

    total: int = 0
    judging: frozenset[Family] = frozenset()

    def after(self, gained: Iterable[Resource], lost: Iterable[Resource]) -> "Epoch":
        total = self.total + sum(map(_digest, gained)) - sum(map(_digest, lost))
        judging = self.judging - frozenset(_judging(lost)) | frozenset(_judging(gained))
        return Epoch(total % (1 << 32), judging)

    def elements(self, scope: str) -> Program:
        mark = epoch_mark(self.total)
        return frozenset(one for family in self.judging for one in epoch_elements(scope, family, mark))


@dataclass(frozen=True, slots=True)
class _Change:
    """What new slices do: how many more slices hold a resource, which came and went, and the new epochs."""

    held: Counter[Resource]
    gained: dict[str, list[Resource]]
    lost: dict[str, list[Resource]]
    epochs: dict[str, Epoch]


_NO_EPOCH = Epoch()
ELEMENTS_OF_EPOCH = 2
"""Per table that judges."""


class Shelf:
    """One of each slice that is equal for several hosts, as long as one of them has it."""

    def __init__(self) -> None:
        self._there: WeakKeyDictionary[Program, ReferenceType[Program]] = WeakKeyDictionary()

    def the_one(self, resources: Program) -> Program:
        """The equal one that is there already, or this one from now on."""
        known = self._there.get(resources)
        there = known() if known is not None else None
        if there is None:
            there = resources
            self._there[resources] = ref(resources)
        return there


class Assembly:
    """Equal resources of several slices stand once, as long as one slice holds them.

    `shelf` may be that of other assemblies, too: what is equal in them is in memory once.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._slices: dict[SliceId, Program] = {}
        self._held_again: Counter[Resource] = Counter()
        self._resources: defaultdict[str, set[Resource]] = defaultdict(set)
        self._epochs: dict[str, Epoch] = {}
        self._counts: Counter[type] = Counter()

    def replace_slice(self, slice_id: SliceId, resources: Program) -> Delta:
        return self.replace_slices({slice_id: resources})

    def replace_slices(self, slices: Mapping[SliceId, Program]) -> Delta:
        """All at once, so with one new epoch per VPC. An empty slice is forgotten."""
        if self._shelf is not None:
            slices = {slice_id: self._shelf.the_one(resources) for slice_id, resources in slices.items()}
        change = self._change(slices)
        delta = self._delta(change)
        for slice_id, resources in slices.items():
            if resources:
                self._slices[slice_id] = resources
            else:
                self._slices.pop(slice_id, None)
        self._hold(change)
        return delta

    def preview(self, slices: Mapping[SliceId, Program]) -> Delta:
        """What `replace_slices` would answer; nothing changes."""
        return self._delta(self._change(slices))

    def slice(self, slice_id: SliceId) -> Program:
        return self._slices.get(slice_id, frozenset())

    def program(self, scope: str | None = None) -> Program:
        """The whole program, or one scope's part of it."""
        scopes = self._resources.keys() if scope is None else {scope} & self._resources.keys()
        return frozenset[Resource]().union(
            *(self._resources[one] for one in scopes),
            *(self._epochs[one].elements(one) for one in scopes),
        )

    def count(self, kinds: tuple[type, ...]) -> int:
        """How many resources of these classes the program holds; without looking at them."""
        return sum(self._counts[kind] for kind in kinds)

    def _change(self, slices: Mapping[SliceId, Program]) -> _Change:
        held: Counter[Resource] = Counter()
        for slice_id, new in slices.items():
            old = self.slice(slice_id)
            held.update(new - old)
            held.subtract(old - new)
        gained: defaultdict[str, list[Resource]] = defaultdict(list)
        lost: defaultdict[str, list[Resource]] = defaultdict(list)
        for resource, more in held.items():
            before = self._holders(resource)
            if not before and more > 0:
                gained[resource.scope].append(resource)
            elif before and before + more == 0:
                lost[resource.scope].append(resource)
        epochs = {
            scope: self._epochs.get(scope, _NO_EPOCH).after(gained.get(scope, ()), lost.get(scope, ()))
            for scope in gained.keys() | lost.keys()
        }
        return _Change(held, gained, lost, epochs)

    def _delta(self, change: _Change) -> Delta:
        added = {resource for resources in change.gained.values() for resource in resources}
        removed = {resource for resources in change.lost.values() for resource in resources}
        for scope, epoch in change.epochs.items():
            before, after = self._epochs.get(scope, _NO_EPOCH).elements(scope), epoch.elements(scope)
            added |= after - before
            removed |= before - after
        return Delta(frozenset(added), frozenset(removed))

    def _holders(self, resource: Resource) -> int:
        """How many slices hold it; most are held by one, of which nothing more is kept."""
        return 1 + self._held_again[resource] if resource in self._resources.get(resource.scope, ()) else 0

    def _hold(self, change: _Change) -> None:
        for resource, more in change.held.items():
            if again := max(0, self._holders(resource) + more - 1):
                self._held_again[resource] = again
            else:
                self._held_again.pop(resource, None)
        for scope, resources in change.gained.items():
            self._resources[scope].update(resources)
            self._counts.update(map(type, resources))
        for scope, resources in change.lost.items():
            self._resources[scope].difference_update(resources)
            self._counts.subtract(map(type, resources))
        for scope, epoch in change.epochs.items():
            more = len(epoch.judging) - len(self._epochs.get(scope, _NO_EPOCH).judging)
            self._counts[NftElement] += more * ELEMENTS_OF_EPOCH
        self._epochs.update(change.epochs)
        for scope in [one for one in change.epochs if not self._resources[one]]:
            del self._resources[scope], self._epochs[scope]


def _judging(resources: Iterable[Resource]) -> Iterable[Family]:
    return (one.family for one in resources if isinstance(one, NftSet) and one.name == EPOCH_SET)


def _digest(resource: Resource) -> int:
    """0 for what is not of nftables. Hardware and routes decide nothing that a flow was judged by."""
    if not isinstance(resource, NftTable | NftSet | NftChain | NftElement):
        return 0
    return int.from_bytes(blake2b(repr(resource).encode(), digest_size=4).digest(), "big")
