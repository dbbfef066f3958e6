"""Intent changes in, program changes out. The cost of a change follows what depends on it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

from weftwork.actions.view import ViewChange
from weftwork.compiler.assembly import Assembly, Shelf
from weftwork.compiler.slices import Compile, affected_by, slices_of
from weftwork.controller.review import Judge, Review, Reviewed
from weftwork.model.intent import Intent
from weftwork.model.keys import ThingKey
from weftwork.program.resource import Program, SliceId
from weftwork.seams.channel import AgentLink, ProgramChange
from weftwork.seams.lease import Term
from weftwork.telemetry.journeys import Following
from weftwork.verifier.violation import Change, Violation


class Followed(Protocol):
    """The intent of a host: all there is, or its part."""

    @property
    def intent(self) -> Intent: ...

    @property
    def revision(self) -> int: ...

    def subscribe(self) -> AsyncIterator[ViewChange]: ...


class _Alone:
    """The term of a server that has no other one beside it."""

    number = 0

    def is_held(self) -> bool:
        return True

    async def over(self) -> None:
        await asyncio.Event().wait()

    async def resign(self) -> None:
        return None


ALONE: Term = _Alone()
AT_ONCE_MAX = 200
"""Resources: about as many as twenty ports."""


class Publisher:
    """Keeps one host's program equal to the compiled intent, but for what the judge keeps back."""

    def __init__(
        self,
        view: Followed,
        compile_slice: Compile,
        agent: AgentLink,
        judge: Judge | None = None,
        following: Following | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._view = view
        self._following = following or Following()
        self.review = Review(judge)
        self._is_begun = False
        self.compile_slice = compile_slice
        self._agent = agent
        self._shelf = shelf
        self._assembly = Assembly(shelf)
        self._generation = 0
        self._term: Term = ALONE

    @property
    def generation(self) -> int:
        """The revision of the intent that was published last."""
        return self._generation

    @property
    def assembly(self) -> Assembly:
        return self._assembly

    async def run(self, term: Term = ALONE) -> None:
        """In a term as the leader, until cancelled; from the beginning, whatever was published before."""
        self._term = term
        self._is_begun = False
        self._assembly = Assembly(self._shelf)
        changes = self._view.subscribe()
        await self.publish_all()
        async for change in changes:
            await self.publish(change)

    async def publish_all(self) -> None:
        intent = self._view.intent
        for slice_id in slices_of(intent):
            self._assembly.replace_slice(slice_id, self.compile_slice(intent, slice_id))
        await self._begin()

    async def _begin(self) -> None:
        """The first program is published whole or not at all: of what it lacks, the host would let go."""
        revision = self._view.revision
        passed = await self._reviewed(Reviewed(added=self._assembly.program()), all_or_nothing=True)
        if passed is None:
            return
        self._is_begun = True
        self._generation = revision
        self._hand_over(ProgramChange(self._generation, True, passed.added, term=self._term.number))

    async def publish(self, change: ViewChange) -> None:
        with self._following.work("publish", after=self._generation, up_to=change.revision):
            await self._publish(change)

    async def _publish(self, change: ViewChange) -> None:
        slices = frozenset(slice_id for key in change.keys for slice_id in affected_by(key, self._view.intent))
        compiled = {slice_id: self.compile_slice(self._view.intent, slice_id) for slice_id in slices}
        delta = self._assembly.replace_slices(compiled)
        if not self._is_begun:
            return await self._begin()
        passed = await self._reviewed(delta)
        assert passed is not None
        self._generation = max(self._generation, change.revision)
        self._hand_over(ProgramChange(self._generation, False, passed.added, passed.removed, term=self._term.number))
        return None

    def _hand_over(self, change: ProgramChange) -> None:
        """Whoever leads by now does it, if it is not us any more."""
        if self._term.is_held():
            self._agent.publish(change)

    async def _reviewed(self, change: Change, *, all_or_nothing: bool = False) -> Reviewed | None:
        """A large change is looked at beside the event loop, on a copy of the intent: calls are answered meanwhile."""
        consider = partial(self.review.consider, change, all_or_nothing=all_or_nothing)
        if len(change.added) + len(change.removed) <= AT_ONCE_MAX:
            outcome = consider(self._view.intent)
        else:
            outcome = await asyncio.to_thread(
                consider, {owner: project.copy() for owner, project in self._view.intent.items()}
            )
        self.review.settle(outcome)
        return outcome.passed

    def alarm_of(self, key: ThingKey) -> Violation | None:
        """Why what stands on the host for a thing is not what it should be."""
        alarms = self.review.alarms
        if not alarms:
            return None
        if not self._is_begun:
            return next(iter(alarms.values()))
        scopes = (resource.scope for resource in self.resources_of(key))
        return next((alarms[scope] for scope in scopes if scope in alarms), None)

    def resources_of(self, key: ThingKey) -> Program:
        """What stands on the host for a thing, together with what it stands in; but not for what depends on it."""
        owner, nothing_else = key.owner, Intent()
        slices: frozenset[SliceId] = affected_by(key, nothing_else) | {("vpc", owner.org, owner.project)}
        return frozenset(resource for one in slices for resource in self._assembly.slice(one))
