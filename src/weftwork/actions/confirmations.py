"""Changes that undo themselves unless somebody confirms them: which there are, to confirm one, and to undo one.

Whoever settles one writes it in the same transaction as what that does, and only while nobody else did: when a
confirmation and the end of the time come at the same moment, exactly one of them is true.
"""

from dataclasses import dataclass

from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.awaited import Awaited, State, awaited
from weftwork.actions.claims import Draft
from weftwork.actions.history import Things, changes_at, restore_as
from weftwork.actions.journal import Author, Changed
from weftwork.actions.network import ATTEMPTS, Network
from weftwork.actions.object_lines import is_same, told_key
from weftwork.actions.terms import Terms
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.seams.store import Conflict, Remove, Store, Transaction, Unchanged

KEPT_S = 86_400
"""How long it is told what became of one."""
PAGE = 500
_NAMED_MAX = 3


async def list_confirmations(network: Network, *, owner: ProjectKey) -> tuple[Awaited, ...]:
    """The project's: those that wait first, then the latest."""
    found = await every(network.store, keys.confirmation(owner, ""))
    return tuple(sorted(found, key=lambda one: (one.state is not State.PENDING, -one.revision, one.name)))


async def every(store: Store, prefix: str = keys.CONFIRMATIONS) -> list[Awaited]:
    found: list[Awaited] = []
    after = ""
    while True:
        page = await store.range(prefix, after=after, limit=PAGE)
        found += map(awaited, page.records)
        if not page.more:
            return found
        after = page.records[-1].key


async def confirm(network: Network, *, owner: ProjectKey, name: str) -> Awaited:
    """Lets the change stand; a second time it is confirmed already.

    Refusals CONFIRMATION_NOT_FOUND, CONFIRMATION_OVER.
    """
    for _ in range(ATTEMPTS):
        record = await network.store.get(keys.confirmation(owner, name))
        if record is None:
            raise codes.CONFIRMATION_NOT_FOUND.refusal(f"project {owner} has no confirmation {name}")
        found = awaited(record)
        if found.state is State.CONFIRMED:
            return found
        if found.state is not State.PENDING or found.deadline_s <= network.clock.now_s():
            became = found.state.value if found.state is not State.PENDING else "about to be undone: its time is over"
            raise codes.CONFIRMATION_OVER.refusal(f"the change of revision {found.revision} is {became}")
        who = network.author.who or network.author.where
        settled = found.settled(State.CONFIRMED, f"confirmed by {who}" if who else "confirmed")
        line = record_of(network, owner.org, owner.project, _told(found, settled))
        draft = settled.written()
        try:
            await network.store.commit(Transaction(draft.compares, (*draft.writes, line)))
        except Conflict:
            continue
        return settled
    raise codes.TOO_MANY_CONFLICTS.refusal("others settle this confirmation again and again")


@dataclass(frozen=True, slots=True)
class _Way:
    """Back: what can be had as it was, and what somebody else changed since."""

    wanted: Things
    left: tuple[str, ...]


async def undo(network: Network, found: Awaited, why: str) -> Awaited:
    """Takes the change back, object by object: each that is still as the change left it becomes what it was before it,
    and one that somebody changed since stays as they left it. All of it in one change, or on a refusal nothing.

    What became of it is kept either way. Only while nobody else settled it: else Refusal CONFIRMATION_OVER.
    """
    changes = await changes_at(network, owner=found.owner, revision=found.revision)
    author = Author("weft", "", "/weftwork.v1.ConfirmationService/Undo", f"undoes revision {found.revision}: {why}")
    by_itself = network.on_behalf(author).on_terms(Terms(still=(found.key, found.record_revision)))
    if not changes:
        return await _settle(by_itself, found.settled(State.NOT_UNDONE, f"{why}; but its line of the journal is gone"))
    settled = found

    def way_back(present: Things) -> tuple[Things, Draft]:
        nonlocal settled
        way = _way_back(present, changes)
        state = State.PARTLY_UNDONE if way.left else State.UNDONE
        settled = found.settled(state, why + _listed(way.left))
        return way.wanted, settled.written()

    try:
        await restore_as(by_itself, owner=found.owner, wanted_of=way_back)
    except Refusal as refusal:
        if refusal.code in (codes.TOO_MANY_CONFLICTS.name, codes.CONFIRMATION_OVER.name):
            raise
        failed = found.settled(State.NOT_UNDONE, f"{why}; but {refusal.code}: {refusal.message}")
        return await _settle(by_itself, failed)
    return settled


def _listed(left: tuple[str, ...]) -> str:
    if not left:
        return ""
    more = f" and {len(left) - _NAMED_MAX} more" if len(left) > _NAMED_MAX else ""
    return f"; somebody else changed {', '.join(left[:_NAMED_MAX])}{more} since, which stays as it is"


def _is_as(now: Thing | None, then: Thing | None) -> bool:
    return now is then or (now is not None and then is not None and is_same(now, then))


def _way_back(present: Things, changes: tuple[Changed, ...]) -> _Way:
    wanted = dict(present)
    left: list[str] = []
    for one in changes:
        now = present.get(one.key)
        if not _is_as(now, one.after):
            left.append(told_key(one.key, now or one.after))
        elif one.before is None:
            wanted.pop(one.key, None)
        else:
            wanted[one.key] = one.before
    return _Way(wanted, tuple(left))


async def _settle(network: Network, settled: Awaited) -> Awaited:
    draft = settled.written()
    line = record_of(network, settled.owner.org, settled.owner.project, _told(settled, settled))
    try:
        await network.store.commit(Transaction(draft.compares, (*draft.writes, line)))
    except Conflict:
        raise codes.CONFIRMATION_OVER.refusal("somebody else settled it") from None
    return settled


async def forget(store: Store, old: Awaited) -> None:
    """What became of it is not told any more."""
    try:
        await store.commit(Transaction((Unchanged(old.key, old.record_revision),), (Remove(old.key),)))
    except Conflict:
        return


def _told(before: Awaited, after: Awaited) -> AccessChange:
    what = f"confirmation {after.name} of revision {after.revision}"
    return AccessChange(what, {"state": before.state.value}, {"state": after.state.value, "why": after.why})
