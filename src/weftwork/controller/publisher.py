"""Intent changes in, program changes out. The cost of a change follows what depends on it."""

from weftwork.actions.view import IntentView, ViewChange
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.slices import Compile, affected_by, slices_of
from weftwork.controller.review import Judge, Review, Reviewed
from weftwork.model.intent import Intent
from weftwork.model.keys import ThingKey
from weftwork.program.resource import Program, SliceId
from weftwork.seams.channel import AgentLink, ProgramChange
from weftwork.verifier.violation import Violation


class Publisher:
    """Keeps one host's program equal to the compiled intent, but for what the judge keeps back."""

    def __init__(self, view: IntentView, compile_slice: Compile, agent: AgentLink, judge: Judge | None = None) -> None:
        self._view = view
        self.review = Review(judge)
        self._is_begun = False
        self.compile_slice = compile_slice
        self._agent = agent
        self._assembly = Assembly()
        self._generation = 0

    @property
    def generation(self) -> int:
        """The revision of the intent that was published last."""
        return self._generation

    @property
    def assembly(self) -> Assembly:
        return self._assembly

    async def run(self) -> None:
        """Until cancelled."""
        changes = self._view.subscribe()
        self._publish_all()
        async for change in changes:
            self._publish(change)

    def _publish_all(self) -> None:
        intent = self._view.intent
        for slice_id in slices_of(intent):
            self._assembly.replace_slice(slice_id, self.compile_slice(intent, slice_id))
        self._begin()

    def _begin(self) -> None:
        """The first program is published whole or not at all: of what it lacks, the host would let go."""
        whole = Reviewed(added=self._assembly.program())
        passed = self.review.pass_on(whole, self._view.intent, all_or_nothing=True)
        if passed is None:
            return
        self._is_begun = True
        self._generation = self._view.revision
        self._agent.publish(ProgramChange(generation=self._generation, complete=True, added=passed.added))

    def _publish(self, change: ViewChange) -> None:
        slices = frozenset(slice_id for key in change.keys for slice_id in affected_by(key, self._view.intent))
        compiled = {slice_id: self.compile_slice(self._view.intent, slice_id) for slice_id in slices}
        delta = self._assembly.replace_slices(compiled)
        if not self._is_begun:
            return self._begin()
        passed = self.review.pass_on(delta, self._view.intent)
        assert passed is not None
        self._generation = max(self._generation, change.revision)
        self._agent.publish(ProgramChange(self._generation, False, passed.added, passed.removed))
        return None

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
