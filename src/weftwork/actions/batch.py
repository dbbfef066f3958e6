"""Several changes as one: each is decided as if those before it had come, and all are committed together, or none."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from weftwork.actions.choices import Choices, MacsNeeded
from weftwork.actions.claims import Draft
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import ATTEMPTS, Decision, Network, Stored
from weftwork.actions.quota_guard import QuotaGuard
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.reach_guard import ReachGuard
from weftwork.actions.reach_tests import check_would_hold, guard_for_tests
from weftwork.actions.scratch import ScratchView
from weftwork.allocator import macs
from weftwork.base import codes
from weftwork.base.addresses import Mac
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import parse_thing_key
from weftwork.seams.store import Compare, Conflict, Empty, Put, Remove, Unchanged, Write

STEPS_MAX = 500

T = TypeVar("T")
Step = Callable[[Network], Awaitable[Any]]
"""An action on the network that it is given; it waits for nothing else. It may answer a Stored, or several things."""


def _all(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return values


async def run_batch(
    network: Network, steps: Sequence[Step], answer: Callable[[tuple[Any, ...]], tuple[Any, ...]] = _all
) -> Stored[tuple[Any, ...]]:
    """What each step answers, with the revision of them all; or what `answer` makes of it, which is also what is kept
    for a caller who asks again.

    Inside another batch, they are steps of that one.

    Refusals TOO_MANY_STEPS, and those of the steps, with the number of the step (from 1) as detail `step`.
    """
    if isinstance(network, Batch):
        return Stored(answer(tuple([await step(network) for step in steps])), 0)
    if len(steps) > STEPS_MAX:
        raise codes.TOO_MANY_STEPS.refusal(f"{len(steps)} changes, at most {STEPS_MAX} fit in one batch")
    owners: set[ProjectKey] = set()
    is_refused = False
    for _ in range(ATTEMPTS):
        batch = Batch(network)
        decided_at = network.view.revision
        try:
            async with network.alone(owners):
                return await _attempt(network, batch, steps, answer)
        except Refusal:
            if network.is_dry or is_refused or not await network.was_behind(decided_at):
                raise
            is_refused = True
        except MacsNeeded as needed:
            await (network.choices.foresee_macs if network.is_dry else network.choices.reserve_macs)(needed.owner)
        except Conflict as conflict:
            if any(one in batch.seen for one in conflict.failed):
                raise codes.REVISION_CHANGED.refusal("somebody else changed it meanwhile") from None
            # From now on, nobody else of this process is faster.
            owners = batch.owners
            await network.view.wait_for(conflict.revision, timeout_s=1.0)
    raise codes.TOO_MANY_CONFLICTS.refusal(f"gave up after {ATTEMPTS} attempts: others were faster each time")


async def _attempt(
    network: Network, batch: "Batch", steps: Sequence[Step], answer: Callable[[tuple[Any, ...]], tuple[Any, ...]]
) -> Stored[tuple[Any, ...]]:
    async def decide() -> Decision[tuple[Any, ...]]:
        # Whatever is waited for is behind us: from here on, the scratch view is as the network's.
        batch.begin()
        values = tuple([await _numbered(batch, number, step) for number, step in enumerate(steps, 1)])
        draft = batch.merged()
        for owner in sorted(batch.owners):
            draft += await guard_for_tests(network, owner, draft)
            check_would_hold(network, owner, draft)
        return Decision(answer(values), draft, network.view.revision, tuple(batch.holds))

    done = await network.on_its_terms(decide)
    return Stored(tuple(_dated(value, done.revision) for value in done.value), done.revision)


async def _numbered(batch: "Batch", number: int, step: Step) -> Any:
    try:
        return await step(batch)
    except Refusal as refusal:
        refusal.details = {**refusal.details, "step": str(number)}
        raise


def _dated(value: Any, revision: int) -> Any:
    """What was written has the revision of the batch; what stood as it was has its own."""
    if isinstance(value, tuple):
        return tuple(_dated(one, revision) for one in value)
    return Stored(value.value, revision) if isinstance(value, Stored) and not value.revision else value


class Batch(Network):
    """Decides on a scratch view, and collects. `seen` is compared besides what the steps compare."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.store, network.view, network.clock, network.settings, network.new_id)
        self._network = network
        self.overrides_reach_tests = network.overrides_reach_tests
        self.principal = network.principal
        self.author = network.author
        self.is_dry = True
        self.owners: set[ProjectKey] = set()
        self.holds: set[str] = set()
        self.seen: list[Compare] = []
        self._drafts: list[Draft] = []

    def begin(self) -> None:
        """On the network's view as it is now."""
        self.view = self.scratch = ScratchView(self._network.view)
        self.reach = ReachBoard(self.scratch)
        self.reach_guard = ReachGuard(self.scratch, self.reach)
        self.quota_guard = QuotaGuard(self.scratch, self.settings.quotas)
        self.choices = _Choices(self._network, self.scratch)

    async def run(self, owner: ProjectKey, decide: Callable[[], Decision[T]], *, alone: bool = True) -> Stored[T]:
        decision = decide()
        draft = decision.draft
        if draft.writes:
            self.scratch.take(draft.writes)
            self._drafts.append(draft)
            self.holds.update(decision.holds)
            self.choices.held.update(decision.holds)
            self.owners |= {key.owner for one in draft.writes if (key := parse_thing_key(one.key))}
        return Stored(decision.value, decision.revision)

    def merged(self) -> Draft:
        assert isinstance(self.choices, _Choices)
        merged = _merged((*self._drafts, *self.choices.counters()), self.scratch.revision)
        writes = tuple(one for one in merged.writes if not self._came_and_went(one))
        return Draft((*merged.compares, *self.seen), writes) if writes else Draft()

    def _came_and_went(self, write: Write) -> bool:
        """A thing that a step made and a later one took away again."""
        key = parse_thing_key(write.key)
        return key is not None and isinstance(write, Remove) and self._network.view.find(key) is None


class _Choices(Choices):
    """MACs come from where the network's own do, and are used up there; a VPC that is made here counts its own."""

    def __init__(self, network: Network, scratch: ScratchView) -> None:
        super().__init__(network.store, scratch, origin=network.choices)
        self._source = network.choices
        self._scratch = scratch
        self._fresh: dict[ProjectKey, int] = {}

    def mac(self, here: ProjectIndex, owner: ProjectKey) -> Mac:
        origin = self._scratch.origin_of(here, owner)
        while origin is not None:
            mac = self._source.mac(origin, owner)
            if mac not in here.port_by_mac:
                return mac
        number = self._fresh.get(owner, 0)
        while macs.mac_at(number) in here.port_by_mac:
            number += 1
        self._fresh[owner] = number + 1
        return macs.mac_at(number)

    def counters(self) -> Iterator[Draft]:
        """Of the VPCs that are made here."""
        for owner, used in self._fresh.items():
            key = keys.mac_counter(owner)
            blocks = -(-used // macs.BLOCK)
            yield Draft((Unchanged(key, 0),), (Put(key, str(blocks * macs.BLOCK).encode()),))


def _merged(drafts: Iterable[Draft], base: int) -> Draft:
    """The last write of each key, and of the compares those that are about the store and not about an earlier draft."""
    writes: dict[str, Write] = {}
    compares: dict[Compare, None] = {}
    for draft in drafts:
        for compare in draft.compares:
            if isinstance(compare, Empty):
                compares[_about_the_store(compare, writes, base)] = None
            elif compare.key not in writes:
                compares[compare] = None
        for write in draft.writes:
            writes[write.key] = write
    return Draft(tuple(compares), tuple(writes.values()))


def _about_the_store(compare: Empty, written: Iterable[str], base: int) -> Empty:
    """That nothing is there is what the scratch view says; the store has to say that nothing has come since."""
    is_touched = compare.since == 0 and any(key.startswith(compare.prefix) for key in written)
    return Empty(compare.prefix, base) if is_touched else compare
