"""A view to try several changes on, one after the other, beside the one that follows the store."""

from copy import copy

from weftwork.actions import rows
from weftwork.actions.index import ProjectIndex
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.model.port import Port
from weftwork.seams.store import Put, Write


class ScratchView(IntentView):
    """Stands where the other view stands; to be used without waiting for anything, for then that one moves on.

    Only the projects that are written to are copied. What is tried has a revision that the store never has.
    """

    def __init__(self, base: IntentView) -> None:
        super().__init__()
        self.base = base
        self.revision = base.revision
        self.changed_at = base.changed_at
        self.intent = dict(base.intent)
        self.vnis = base.vnis.copy()
        self.pool_claims = dict(base.pool_claims)
        self.external = dict(base.external)
        self.plugs = dict(base.plugs)
        self.reach_guards = dict(base.reach_guards)
        self.quotas = dict(base.quotas)
        self.hosts = dict(base.hosts)
        self._projects = dict(base._projects)
        self._offers = {peer: dict(offers) for peer, offers in base._offers.items()}
        self._shared = {to: dict(shares) for to, shares in base._shared.items()}
        self._copied: set[ProjectKey] = set()

    def take(self, writes: tuple[Write, ...]) -> None:
        """As if they had been committed."""
        for write in writes:
            key = parse_thing_key(write.key)
            thing = rows.decode(key, write.value) if key and isinstance(write, Put) else None
            if key is not None:
                self._copy_what_changes(key, self.find(key), thing)
            if isinstance(write, Put):
                self._put(write.key, write.value, self.revision + 1)
            else:
                self._remove(write.key)

    def origin_of(self, here: ProjectIndex, owner: ProjectKey) -> ProjectIndex | None:
        """What it is a copy of: none for a VPC that is made here."""
        there = self.base.project(owner)
        vpc, other = here.intent.vpc, there.intent.vpc if there else None
        return there if vpc and other and vpc.vni == other.vni else None

    def _copy_what_changes(self, key: ThingKey, *things: object) -> None:
        self._copy(key.owner)
        for thing in things:
            if isinstance(thing, Port) and thing.lender:
                self._copy(thing.lender)

    def _copy(self, owner: ProjectKey) -> None:
        if owner in self._copied:
            return
        self._copied.add(owner)
        there = self._projects.get(owner)
        if there is not None:
            self._projects[owner] = mine = copy(there)
            self.intent[owner] = mine.intent
