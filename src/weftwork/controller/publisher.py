"""Intent changes in, program changes out. The cost of a change follows what depends on it."""

from weftwork.actions.view import IntentView, ViewChange
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.slices import Compile, affected_by, slices_of
from weftwork.model.intent import Intent
from weftwork.model.keys import ThingKey
from weftwork.program.resource import Program, SliceId
from weftwork.seams.channel import AgentLink, ProgramChange


class Publisher:
    """Keeps one host's program equal to the compiled intent."""

    def __init__(self, view: IntentView, compile_slice: Compile, agent: AgentLink) -> None:
        self._view = view
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
        self._generation = self._view.revision
        self._agent.publish(ProgramChange(generation=self._generation, complete=True, added=self._assembly.program()))

    def _publish(self, change: ViewChange) -> None:
        slices = frozenset(slice_id for key in change.keys for slice_id in affected_by(key, self._view.intent))
        compiled = {slice_id: self.compile_slice(self._view.intent, slice_id) for slice_id in slices}
        delta = self._assembly.replace_slices(compiled)
        self._generation = max(self._generation, change.revision)
        self._agent.publish(ProgramChange(self._generation, False, delta.added, delta.removed))

    def resources_of(self, key: ThingKey) -> Program:
        """What stands on the host for a thing, together with what it stands in; but not for what depends on it."""
        owner, nothing_else = key.owner, Intent()
        slices: frozenset[SliceId] = affected_by(key, nothing_else) | {("vpc", owner.org, owner.project)}
        return frozenset(resource for one in slices for resource in self._assembly.slice(one))
