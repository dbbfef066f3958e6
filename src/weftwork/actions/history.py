"""What a project was, told from its journal, and the way back to it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from weftwork.actions import journal, rows
from weftwork.actions.claims import Draft, net
from weftwork.actions.dependents import lodged_in
from weftwork.actions.external import exchanged
from weftwork.actions.index import ProjectIndex
from weftwork.actions.integrity import parents_of
from weftwork.actions.journal import Author, Changed, Line
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.object_lines import is_same, told_key
from weftwork.actions.reach_tests import check_would_hold, run_guarded
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing, is_peered
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.peering import Peering
from weftwork.model.port import AttachmentKind, Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Compare, Empty, Put, Remove, Unchanged

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500
_SCAN = 500
"""Lines read at a time when looking back."""
_STRAGGLE = 1 << 16
"""How many revisions a line may stand behind its place: its change was decided that long before its commit."""

NOTHING = Draft()

Things = Mapping[ThingKey, Thing]


@dataclass(frozen=True, slots=True)
class Revision:
    """What one change did to the project."""

    revision: int
    at_s: int
    author: Author
    changes: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class Revisions:
    """Newest first; `next_page_token` is empty on the last page."""

    items: tuple[Revision, ...]
    next_page_token: str


async def list_revisions(network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "") -> Revisions:
    """Refusal INVALID_PAGE_TOKEN."""
    size = min(page_size or PAGE_SIZE, PAGE_SIZE_MAX)
    found: list[Revision] = []
    last = ""
    async for key, line in _lines(network, owner, after=_stamp_in(page_token)):
        if found and found[-1].revision == line.revision:
            found[-1] = _joined(found[-1], line)
        elif len(found) == size:
            return Revisions(tuple(found), urlsafe_b64encode(last.encode()).decode())
        else:
            found.append(_joined(None, line))
        last = key.removeprefix(keys.journal(owner))
    return Revisions(tuple(found), "")


async def things_at(network: Network, *, owner: ProjectKey, revision: int) -> Things:
    """All that the project had when that revision was the newest. Refusal REVISION_NOT_KNOWN."""
    now = network.view.revision
    here = network.view.project(owner)
    things = {rows.key_of(one): one for one in here.things()} if here else {}
    if not 0 <= revision <= now:
        raise _not_known(owner, revision, f"the newest is {now}")
    # Backwards: what a line found is what was before it.
    undone: list[Line] = []
    oldest: Line | None = None
    async for key, line in _lines(network, owner):
        if keys.journal_base(key) + _STRAGGLE < revision:
            break
        oldest = line
        if revision < line.revision <= now:
            undone.append(line)
    else:
        _check_complete(owner, revision, oldest, bool(things))
    for line in sorted(undone, key=lambda one: -one.revision):
        for change in line.changes:
            if change.before is None:
                things.pop(change.key, None)
            else:
                things[change.key] = change.before
    return things


async def changes_at(network: Network, *, owner: ProjectKey, revision: int) -> tuple[Changed, ...]:
    """What the revision changed; nothing when its lines are not there any more."""
    found: list[Changed] = []
    async for key, line in _lines(network, owner):
        if keys.journal_base(key) + _STRAGGLE < revision:
            break
        if line.revision == revision:
            found += line.changes
    return tuple(found)


async def diff(network: Network, *, owner: ProjectKey, old: int, new: int) -> tuple[Changed, ...]:
    """From one revision to another; 0 is before everything as `old`, the present as `new`.

    Refusal REVISION_NOT_KNOWN.
    """
    was = await things_at(network, owner=owner, revision=old)
    will = await things_at(network, owner=owner, revision=new or network.view.revision)
    return tuple(changes_between(was, will))


async def rollback(network: Network, *, owner: ProjectKey, revision: int) -> Stored[tuple[Changed, ...]]:
    """All of the project's objects as they were at the revision, in one change; but for what is plugged into
    namespaces of the host, which is not the project's to decide.

    Refusals REVISION_NOT_KNOWN, ROLLBACK_IMPOSSIBLE, IN_USE (by ports of other projects), CIDR_OVERLAP,
    EXTERNAL_IP_NOT_OFFERED, EXTERNAL_IP_IN_USE, REACH_TEST_FAILED.
    """
    wanted = await things_at(network, owner=owner, revision=revision)
    return await restore(network, owner=owner, wanted=wanted)


async def restore(network: Network, *, owner: ProjectKey, wanted: Things) -> Stored[tuple[Changed, ...]]:
    """Make the project's objects these. Refusals as of `rollback`."""
    return await restore_as(network, owner=owner, wanted_of=lambda _: (wanted, NOTHING))


async def restore_as(
    network: Network, *, owner: ProjectKey, wanted_of: Callable[[Things], tuple[Things, Draft]]
) -> Stored[tuple[Changed, ...]]:
    """Make the project's objects what is wanted of those that are there, and write what goes with it, in any case.

    Refusals as of `rollback`.
    """

    def decide() -> Decision[tuple[Changed, ...]]:
        here = network.view.project(owner) or ProjectIndex(owner)
        present = {rows.key_of(one): one for one in here.things()}
        wanted, besides = wanted_of(present)
        kept = _with_present_plugs(here, wanted)
        changes = tuple(changes_between(present, kept))
        if not changes:
            return Decision((), besides, revision=network.view.revision)
        _check_stands(network, owner, here, kept)
        _check_free(network, here, changes)
        draft = _draft(network, owner, here, kept, changes)
        check_would_hold(network, owner, draft)
        return Decision(changes, draft + besides)

    here = network.view.project(owner) or ProjectIndex(owner)
    wanted, _ = wanted_of({rows.key_of(one): one for one in here.things()})
    if any(isinstance(one, ReachTest) for one in wanted.values()) and here.intent.vpc:
        return await run_guarded(network, owner, decide)
    return await network.run(owner, decide)


def _with_present_plugs(here: ProjectIndex, wanted: Things) -> Things:
    """A port stays plugged where it is, and one that is made again is plugged nowhere; so a subnet that hosts share
    stays what they call it."""
    kept = dict(wanted)
    for key, thing in wanted.items():
        if isinstance(thing, Port):
            present = here.intent.ports.get(thing.id)
            if any(_is_plugged(one) for one in (thing, present) if one):
                kept[key] = replace(
                    thing,
                    vm=present.vm if present else "",
                    attachment=present.attachment if present else None,
                )
        if isinstance(thing, Subnet) and thing.name in here.intent.subnets:
            kept[key] = replace(thing, vni=here.intent.subnets[thing.name].vni)
    return kept


def _is_plugged(port: Port) -> bool:
    return port.attachment is not None and port.attachment.kind is AttachmentKind.NETNS


def _draft(
    network: Network, owner: ProjectKey, here: ProjectIndex, wanted: Things, changes: tuple[Changed, ...]
) -> Draft:
    """Of everything that is compared and written, with what nobody may have added meanwhile."""
    view = network.view
    since = view.revision
    seen: list[Compare] = [Empty(keys.things(kind, owner), since) for kind in keys.KINDS if kind not in ("vpc", "snat")]
    seen += [Empty(keys.lodger(owner), since), Empty(keys.peering_offer(owner), since)]
    changed = {one.key for one in changes}
    parents = {key for one in changes if one.after for key in parents_of(one.after)}
    stand = [
        ThingKey("vpc", owner),
        *(parent for parent in parents if parent.owner != owner),
    ]
    seen += [Unchanged(str(key), view.revision_of(key)) for key in stand if key not in changed]
    things = net((one.before, one.after, view.revision_of(one.key)) for one in changes)
    return (
        things
        + _ground(network, owner, here, wanted)
        + exchanged(network, owner, here, _nats(wanted))
        + Draft(tuple(seen))
    )


def _ground(network: Network, owner: ProjectKey, here: ProjectIndex, wanted: Things) -> Draft:
    """The claims that go with the VPC itself: its range of the pool, its counter of MACs, its guard."""
    pool = network.view.pool_claims
    old, new = here.intent.vpc, wanted.get(ThingKey("vpc", owner))
    assert new is None or isinstance(new, Vpc)
    draft = Draft()
    if (
        old
        and isinstance(old.cidr, IPv4Network)
        and pool.get(old.cidr) == str(owner)
        and (not new or new.cidr != old.cidr)
    ):
        draft += Draft((), (Remove(keys.cidr_used(old.cidr)),))
    if old and not new:
        draft += Draft((), (Remove(keys.mac_counter(owner)),))
    if new and not old and any(isinstance(one, ReachTest) for one in wanted.values()):
        draft += Draft((), (Put(keys.reach_guard(owner), b""),))
    return draft


def _check_stands(network: Network, owner: ProjectKey, here: ProjectIndex, wanted: Things) -> None:
    """Does everything stand on something, and does nobody else's thing lose its ground?"""
    for key, thing in wanted.items():
        for parent in parents_of(thing):
            if (parent not in wanted) if parent.owner == owner else network.view.find(parent) is None:
                raise _impossible(f"{told_key(key, thing)} needs {told_key(parent, None)}, which is not there")
    gone = [
        one
        for one in here.lodgers.values()
        if ThingKey("subnet-share", owner, f"{one.subnet}/{one.owner}") not in wanted
        or wanted.get(ThingKey("subnet", owner, one.subnet)) != here.intent.subnets.get(one.subnet)
    ]
    if gone:
        raise lodged_in(f"what would be changed of subnet {gone[0].subnet}", len(gone))
    vpc = wanted.get(ThingKey("vpc", owner))
    if isinstance(vpc, Vpc):
        if here.intent.vpc is None or here.intent.vpc.cidr != vpc.cidr:
            network.quota_guard.of(owner).check_range(owner, vpc.cidr)
        _check_ranges(network, owner, vpc, [one for one in wanted.values() if isinstance(one, Peering)])


def _check_ranges(network: Network, owner: ProjectKey, vpc: Vpc, halves: Iterable[Peering]) -> None:
    """No reserved range and no peer's range may be inside, and no two peers' ranges may overlap."""
    routed = {"the VPC": vpc.cidr}
    for half in halves:
        there = network.view.intent.get(half.peer)
        is_answered = there is not None and owner in there.peerings
        if is_answered and there is not None and there.vpc is not None:
            for whose, cidr in routed.items():
                if there.vpc.cidr.overlaps(cidr):
                    raise codes.CIDR_OVERLAP.refusal(
                        f"the peer {half.peer} has {there.vpc.cidr}, which overlaps {cidr} of {whose}",
                        overlaps=str(cidr),
                    )
            if not is_peered(network.view.intent, owner, half.peer):
                _check_peers_of(network, half, vpc)
            routed[f"the peer {half.peer}"] = there.vpc.cidr
    for reserved in network.settings.reserved:
        if reserved.cidr.overlaps(vpc.cidr):
            raise codes.CIDR_OVERLAP.refusal(
                f"{vpc.cidr} overlaps the reserved range {reserved.cidr} ({reserved.why})", overlaps=str(reserved.cidr)
            )


def _check_peers_of(network: Network, half: Peering, vpc: Vpc) -> None:
    """Who else the peer is peered with is no business of ours; only that it overlaps."""
    intent = network.view.intent
    for other in intent[half.peer].peerings:
        cidr = intent[other].vpc if other in intent and is_peered(intent, half.peer, other) else None
        if cidr and cidr.cidr.overlaps(vpc.cidr):
            raise codes.CIDR_OVERLAP.refusal(f"{half.peer} has another peering with a range that overlaps {vpc.cidr}")


def _check_free(network: Network, here: ProjectIndex, changes: Iterable[Changed]) -> None:
    """Is what only one can have still the project's to take? The compares decide; this says it in words."""
    own = {one.key.name for one in changes if one.key.kind == "port"} | set(here.intent.ports)
    for one in changes:
        match one.after:
            case Vpc(vni=vni) if vni in network.view.vnis and not (here.intent.vpc and here.intent.vpc.vni == vni):
                raise _impossible(f"VNI {vni} is another VPC's now")
            case Subnet(vni=vni, name=name) if vni and name not in here.intent.subnets and vni in network.view.vnis:
                raise _impossible(f"VNI {vni} is another's now")
            case Port() as port:
                for what in _taken(network, port, own):
                    raise _impossible(f"{what} of {told_key(one.key, port)} is another port's now")


def _taken(network: Network, port: Port, own: set[str]) -> Iterator[str]:
    there = network.view.project(port.home)
    if there is not None:
        yield from (str(one) for one in port.addresses if there.port_by_address.get(one, "") not in ("", *own))
        if there.port_by_mac.get(port.mac, "") not in ("", *own):
            yield port.mac


def _nats(things: Things) -> list[Snat | Dnat]:
    return [one for one in things.values() if isinstance(one, Snat | Dnat)]


def changes_between(was: Things, will: Things) -> Iterator[Changed]:
    for key in dict.fromkeys((*was, *will)):
        before, after = was.get(key), will.get(key)
        if before is None or after is None or not is_same(before, after):
            yield Changed(key, before, after)


async def _lines(network: Network, owner: ProjectKey, after: str = "") -> AsyncIterator[tuple[str, Line]]:
    prefix = keys.journal(owner)
    last = prefix + after if after else ""
    while True:
        page = await network.store.range(prefix, after=last, limit=_SCAN)
        for record in page.records:
            yield record.key, journal.line(record)
        if not page.more:
            return
        last = page.records[-1].key


def _joined(revision: Revision | None, line: Line) -> Revision:
    changes = (revision.changes if revision else ()) + line.changes
    return Revision(line.revision, line.at_s, line.author, changes)


def _check_complete(owner: ProjectKey, revision: int, oldest: Line | None, has_things: bool) -> None:
    """The oldest line of all makes the VPC, unless lines before it were let go; before it, there is no telling."""
    if oldest is None:
        if has_things:
            raise _not_known(owner, revision, "the project has no journal")
        return
    is_first = any(one.key.kind == "vpc" and one.before is None for one in oldest.changes)
    if revision < oldest.revision and not is_first:
        raise _not_known(owner, revision, f"the oldest is {oldest.revision}")


def _stamp_in(token: str) -> str:
    try:
        return urlsafe_b64decode(token.encode()).decode("ascii")
    except ValueError:
        raise codes.INVALID_PAGE_TOKEN.refusal("the page token is not one of ours", field="page_token") from None


def _not_known(owner: ProjectKey, revision: int, why: str) -> Refusal:
    return codes.REVISION_NOT_KNOWN.refusal(f"revision {revision} of project {owner} is not known: {why}")


def _impossible(why: str) -> Refusal:
    return codes.ROLLBACK_IMPOSSIBLE.refusal(why)
