"""What is kept of a change that waits to be confirmed.

It is written in the change's own transaction, so that neither can be there without the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

import msgspec

from weftwork.actions.claims import Draft
from weftwork.actions.journal import Author
from weftwork.actions.terms import Unconfirmed
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.declare.probe import Probe, parse_probe
from weftwork.model import keys
from weftwork.model.keys import parse_thing_key
from weftwork.seams.store import Put, Record, Store, Unchanged


class State(Enum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNDONE = "undone"
    PARTLY_UNDONE = "partly-undone"
    """Somebody else changed some of it meanwhile: that stayed as they left it."""
    NOT_UNDONE = "not-undone"
    """It could not be: the change stands, and nobody confirmed it."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """`revision` is the change's; `why` says what became of it. `watches_tests`: nobody overrode the reach tests."""

    owner: ProjectKey
    name: str
    revision: int
    at_s: int
    deadline_s: int
    author: Author
    probes: tuple[Probe, ...]
    watches_tests: bool
    state: State = State.PENDING
    why: str = ""
    record_revision: int = 0
    """The revision that last wrote what is kept."""

    @property
    def key(self) -> str:
        return keys.confirmation(self.owner, self.name)

    def settled(self, state: State, why: str) -> "Awaited":
        return replace(self, state=state, why=why)

    def written(self) -> Draft:
        """Only while nobody else settled it."""
        return Draft((Unchanged(self.key, self.record_revision),), (Put(self.key, encoded(self)),))


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    at: int
    deadline: int
    who: str = ""
    where: str = ""
    call: str = ""
    probes: list[str] = []
    watches_tests: bool = True
    state: str = State.PENDING.value
    why: str = ""
    revision: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Row).decode


def noted(asked: Unconfirmed, draft: Draft, author: Author, now_s: int, overrides: bool) -> Draft:
    """One for each project that the draft changes."""
    owners = _owners(draft)
    row = _Row(
        at=now_s,
        deadline=now_s + asked.within_s,
        who=author.who,
        where=author.where,
        call=author.call,
        probes=[str(one) for one in asked.probes],
        watches_tests=not overrides,
    )
    return Draft((), tuple(Put(keys.confirmation(owner, asked.name), _encode(row)) for owner in owners))


async def named_anew(store: Store, asked: Unconfirmed, draft: Draft) -> tuple[Unchanged, ...]:
    """What must hold when it is written. Refusal CONFIRMATION_EXISTS."""
    found = [keys.confirmation(owner, asked.name) for owner in _owners(draft)]
    for key in found:
        if await store.get(key) is not None:
            raise codes.CONFIRMATION_EXISTS.refusal(f"there is a confirmation {asked.name} already")
    return tuple(Unchanged(key, 0) for key in found)


async def check_still(store: Store, key: str, revision: int) -> None:
    """Refusal CONFIRMATION_OVER when somebody else settled it."""
    record = await store.get(key)
    if record is None or record.revision != revision:
        raise codes.CONFIRMATION_OVER.refusal("somebody else settled it")


def encoded(awaited: Awaited) -> bytes:
    author = awaited.author
    return _encode(
        _Row(
            at=awaited.at_s,
            deadline=awaited.deadline_s,
            who=author.who,
            where=author.where,
            call=author.call,
            probes=[str(one) for one in awaited.probes],
            watches_tests=awaited.watches_tests,
            state=awaited.state.value,
            why=awaited.why,
            revision=awaited.revision,
        )
    )


def awaited(record: Record) -> Awaited:
    row = _decode(record.value)
    org, project, name = record.key.removeprefix(keys.CONFIRMATIONS).split("/")
    return Awaited(
        owner=ProjectKey(org, project),
        name=name,
        revision=row.revision or record.revision,
        at_s=row.at,
        deadline_s=row.deadline,
        author=Author(row.who, row.where, row.call),
        probes=tuple(map(parse_probe, row.probes)),
        watches_tests=row.watches_tests,
        state=State(row.state),
        why=row.why,
        record_revision=record.revision,
    )


def _owners(draft: Draft) -> Iterable[ProjectKey]:
    return sorted({key.owner for one in draft.writes if (key := parse_thing_key(one.key))})
