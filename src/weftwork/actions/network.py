"""What every action works with: the store and the view of it, and the loop that decides, commits and tries again."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from os import urandom
from typing import Generic, TypeVar

from weftwork.access.caller import ITSELF, Principal
from weftwork.access.quotas import DEFAULTS
from weftwork.actions.awaited import check_still, named_anew, noted
from weftwork.actions.carried import check_carried
from weftwork.actions.choices import Choices, MacsNeeded
from weftwork.actions.claims import Draft
from weftwork.actions.gate import Gates
from weftwork.actions.journal import Author, lines_of
from weftwork.actions.quota_guard import QuotaGuard, Wanted
from weftwork.actions.reach_board import ReachBoard
from weftwork.actions.reach_guard import ReachGuard
from weftwork.actions.terms import Terms, compares_of, first_time, kept
from weftwork.actions.view import IntentView
from weftwork.allocator.placement import Offer
from weftwork.base import codes
from weftwork.base.addresses import Address, Cidr
from weftwork.base.errors import Refusal
from weftwork.base.ids import uuid_of
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.capabilities import EVERYTHING, Carries
from weftwork.model.keys import ROOT
from weftwork.seams.clock import Clock
from weftwork.seams.store import Conflict, Put, Store, Transaction, Write

ATTEMPTS = 16
"""How often an action decides anew when somebody else was faster."""
CATCH_UP_S = 1.0
"""How long to wait after a conflict for the view to show what was in the way."""

NO_TERMS = Terms()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReservedRange:
    """Addresses of the underlay: no tenant's range may overlap them."""

    cidr: Cidr
    why: str


@dataclass(frozen=True, slots=True)
class OnBus:
    """How requests to hosts are said on the bus: by whom, and what the server's own machine is called there."""

    deployment: str
    name: str


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The operator's choices. `external` are the pools of external addresses; without one there is no NAT."""

    cidr_pool: Cidr = field(default_factory=lambda: IPv4Network("10.0.0.0/8"))
    default_subnet_prefix: int = 24
    reserved: tuple[ReservedRange, ...] = ()
    external: tuple[Cidr, ...] = ()
    external_gateway: Address | None = None
    mtu_bytes: int = 1500
    quotas: Mapping[str, int] = field(default_factory=lambda: DEFAULTS)
    """Of a project of which the operator said nothing else."""
    carries: Carries = EVERYTHING
    """What the data plane is known to carry."""
    device_netns: str | None = None
    """Where the devices of ports are, empty for the host's own namespace; None: each in its VPC's."""
    has_fleet: bool = False
    """Whether the server has hosts beside its own machine."""
    machines: tuple[Offer, ...] = ()
    """What may run VMs; none: nobody is asked whether they fit."""
    bus: OnBus | None = None
    """None where nobody listens."""
    plugs_in: bool = True
    """Whether ports can be plugged into namespaces: not where somebody else looks after the hosts."""


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A thing and the revision that last wrote it."""

    value: T
    revision: int


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """What to commit; without writes the answer stands as it is, at `revision`.

    `holds` are claims that were chosen freely: others choose differently while this one is under way. With `more`, it
    is only a step, and another decision follows.
    """

    value: T
    draft: Draft = field(default_factory=Draft)
    revision: int = 0
    holds: tuple[str, ...] = ()
    more: bool = False


class Network:
    """One per process; belongs to the event loop of its view."""

    def __init__(
        self,
        store: Store,
        view: IntentView,
        clock: Clock,
        settings: NetworkSettings,
        new_id: Callable[[], str] = lambda: uuid_of(urandom(16)),
    ) -> None:
        self.store = store
        self.view = view
        self.clock = clock
        self.settings = settings
        self.new_id = new_id
        self.choices = Choices(store, view)
        self.reach = ReachBoard(view)
        self.reach_guard = ReachGuard(view, self.reach)
        self.quota_guard = QuotaGuard(view, settings.quotas)
        self.overrides_reach_tests = False
        self.principal = ITSELF
        self.is_dry = False
        self.author = Author()
        self.terms = NO_TERMS
        self._gates = Gates()

    async def run(self, owner: ProjectKey, decide: Callable[[], Decision[T]], *, alone: bool = True) -> Stored[T]:
        """Decide on the view, commit, and wait until the view shows it; again when a compare did not hold.

        `decide` looks at the view and raises Refusal, or decides; it may be called several times. `alone` keeps
        other changes of the project in this process away meanwhile.
        """
        # Changes of reach in a project with tests compare one key: side by side they would lose to each other.
        alone = alone or self.reach_guard.stands_in(owner) or self.quota_guard.is_near(owner)
        await self._gates.enter(owner, alone=alone)
        is_refused = False
        try:
            for _ in range(ATTEMPTS):
                decided_at = self.view.revision
                try:
                    return await self._attempt(decide)
                except Refusal:
                    if is_refused or not await self.was_behind(decided_at):
                        raise
                    is_refused = True
                except MacsNeeded as needed:
                    await self.choices.reserve_macs(needed.owner)
                except Conflict as conflict:
                    await self.view.wait_for(conflict.revision, timeout_s=CATCH_UP_S)
        finally:
            self._gates.leave(owner, alone=alone)
        raise codes.TOO_MANY_CONFLICTS.refusal(f"gave up after {ATTEMPTS} attempts: others were faster each time")

    async def was_behind(self, decided_at: int) -> bool:
        """Whether another server had changed what a refusal was decided on; now the view shows it."""
        newest = await self.store.catch_up(ROOT)
        return newest > decided_at and await self.view.wait_for(newest, timeout_s=CATCH_UP_S)

    async def _attempt(self, decide: Callable[[], Decision[T]]) -> Stored[T]:
        async def decided() -> Decision[T]:
            return decide()

        return await self.on_its_terms(decided)

    async def on_its_terms(self, decide: Callable[[], Awaitable[Decision[T]]]) -> Stored[T]:
        """Decide once, and commit with what was asked for besides the change. Raises Conflict, Replayed."""
        if self.terms.still:
            await check_still(self.store, *self.terms.still)
        once = self.terms.once
        first = (await first_time(self.store, once, self.clock.now_s()),) if once else ()
        seen = tuple(compares_of(self.view, self.terms))
        decision = await decide()
        if once and not decision.more:
            revision = 0 if decision.draft.writes else decision.revision
            kept_too = Draft(first, (kept(once, decision.value, self.clock.now_s(), revision=revision),))
        else:
            kept_too = Draft()
        if self.terms.unconfirmed and decision.draft.writes and not decision.more:
            asked = self.terms.unconfirmed
            seen += await named_anew(self.store, asked, decision.draft)
            kept_too += noted(asked, decision.draft, self.author, self.clock.now_s(), self.overrides_reach_tests)
        if not decision.draft.writes:
            if kept_too.writes:
                await self.store.commit(Transaction((*kept_too.compares, *seen), kept_too.writes))
            return Stored(decision.value, decision.revision)
        return await self._commit(decision, kept_too + Draft(seen))

    async def _commit(self, decision: Decision[T], besides: Draft) -> Stored[T]:
        wanted = self.quota_guard.wanted(decision.draft)
        draft = self.guarded(decision.draft, wanted) + besides
        held = self.choices.held
        held.update(decision.holds)
        self.quota_guard.begin(wanted)
        try:
            revision = await self.store.commit(Transaction(draft.compares, (*draft.writes, *self._lines(draft))))
            # Whether or not the view follows in time: what was committed stays committed.
            await self.view.wait_for(revision)
        finally:
            self.quota_guard.end(wanted)
            held.difference_update(decision.holds)
        return Stored(decision.value, revision)

    @asynccontextmanager
    async def alone(self, owners: Collection[ProjectKey]) -> AsyncIterator[None]:
        """No other change of these projects in this process meanwhile."""
        entered: list[ProjectKey] = []
        try:
            for owner in sorted(owners):
                await self._gates.enter(owner, alone=True)
                entered.append(owner)
            yield
        finally:
            for owner in entered:
                self._gates.leave(owner, alone=True)

    def _lines(self, draft: Draft) -> Iterator[Put]:
        """In the journal."""
        return lines_of(self.view, draft.writes, author=self.author, at_s=self.clock.now_s(), token=urandom(8).hex())

    def guarded(self, draft: Draft, wanted: Wanted) -> Draft:
        """Refusals BACKEND_UNSUPPORTED, QUOTA_EXCEEDED, and REACH_TEST_FAILED unless that is overridden."""
        draft = self.quota_guard.guarded(draft, wanted)
        check_carried(self.settings.carries, self.view.intent, draft.writes)
        return self.reach_guard.guarded(draft, by=self.principal, override=self.overrides_reach_tests)

    def on_behalf(
        self, author: Author, principal: Principal = ITSELF, *, overrides_reach_tests: bool = False
    ) -> "Network":
        """The same network for one call: who makes it, and whether it may break reach tests."""
        network = self._copy()
        network.author = author
        network.principal = principal
        network.overrides_reach_tests = overrides_reach_tests
        return network

    def _copy(self) -> "Network":
        """As copy.copy does; every call needs one, so without asking around how."""
        network = object.__new__(type(self))
        network.__dict__.update(self.__dict__)
        return network

    def on_terms(self, terms: Terms) -> "Network":
        """The same network for one change."""
        network = self._copy()
        network.terms = terms
        return network

    def dry(self) -> "DryNetwork":
        return DryNetwork(self)


class DryNetwork(Network):
    """Refuses what the network would refuse, and collects in `writes` what it would write. Nothing is stored."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.store, network.view, network.clock, network.settings, network.new_id)
        self.reach = network.reach
        self.reach_guard = network.reach_guard
        self.quota_guard = network.quota_guard
        self.overrides_reach_tests = network.overrides_reach_tests
        self.principal = network.principal
        self.terms = network.terms
        self.is_dry = True
        self.choices = Choices(network.store, network.view, origin=network.choices)
        self.writes: tuple[Write, ...] = ()

    async def run(self, owner: ProjectKey, decide: Callable[[], Decision[T]], *, alone: bool = True) -> Stored[T]:
        try:
            return await self._attempt(decide)
        except MacsNeeded as needed:
            await self.choices.foresee_macs(needed.owner)
            return await self._attempt(decide)

    async def on_its_terms(self, decide: Callable[[], Awaitable[Decision[T]]]) -> Stored[T]:
        decision = await decide()
        for one in self.terms.expected:
            one.seen(self.view)
        self.guarded(decision.draft, self.quota_guard.wanted(decision.draft))
        self.writes += decision.draft.writes
        return Stored(decision.value, decision.revision)
