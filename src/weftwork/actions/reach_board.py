"""The reach of the projects that somebody asks about, kept up to date at the cost of each change.

A project costs nothing until it is asked about for the first time.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network

from weftwork.actions import fresh
from weftwork.actions.overlay import overlaid
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.seams.store import Put, Write
from weftwork.verifier.trial import Changes, Standing, Trial

SETS_REMEMBERED_MAX = 200_000
"""Rules that are gone leave their sets behind; with more than these, a project's reach is read anew."""


_ROUTING = frozenset({"vpc", "peering"})
"""Kinds of things that decide to which peers there is a way."""


class ReachBoard:
    """Follows a view. Whoever asks sees the view's present state."""

    def __init__(self, view: IntentView) -> None:
        self._view = view
        self._standings: dict[ProjectKey, Standing] = {}
        self._news: dict[ProjectKey, set[ThingKey]] = {}
        view.tell(self)

    def add(self, revision: int, changed: set[ThingKey]) -> None:
        """The view's word that these things changed; they are looked at when somebody asks."""
        for key in changed:
            if key.owner in self._standings:
                self._news.setdefault(key.owner, set()).add(key)

    def end(self, error: BaseException | None) -> None:
        """The view's word that nothing more comes."""

    def of(self, owner: ProjectKey) -> Standing:
        standing = self._standings.get(owner)
        if standing is None or standing.sets_remembered > SETS_REMEMBERED_MAX:
            here = self._view.project(owner)
            standing = Standing(here.intent if here else ProjectIntent(), peer_ranges(self._view.intent, owner))
            self._news.pop(owner, None)
            if here is not None:
                self._standings[owner] = standing
        news = self._news.pop(owner, None)
        if news:
            standing.follow({key: self._view.find(key) for key in news})
        standing.route(peer_ranges(self._view.intent, owner))
        if self._view.project(owner) is None:
            self._standings.pop(owner, None)
        return standing

    @contextmanager
    def trial(self, owner: ProjectKey, writes: Sequence[Write]) -> Iterator[Trial]:
        """As if the writes had been committed, of this project; to be left without waiting for anything."""
        keys = (parse_thing_key(write.key) for write in writes)
        may_route = any(key is not None and key.kind in _ROUTING for key in keys)
        routed = peer_ranges(overlaid(self._view.intent, writes), owner) if may_route else None
        with self.of(owner).trial(changes_of(owner, writes), routed) as trial:
            yield trial


def peer_ranges(intent: Intent, owner: ProjectKey) -> frozenset[IPv4Network]:
    """Of the VPCs that the owner's is peered with."""
    vpcs = (peer.vpc for _, peer in peers_of(intent, owner))
    return frozenset(vpc.cidr for vpc in vpcs if vpc and isinstance(vpc.cidr, IPv4Network))


def changes_of(owner: ProjectKey, writes: Iterable[Write]) -> Changes:
    """The project's things that are written; claims are none."""
    keys = ((write, parse_thing_key(write.key)) for write in writes)
    return {
        key: fresh.looked_at(key, write.value) if isinstance(write, Put) else None
        for write, key in keys
        if key is not None and key.owner == owner
    }
