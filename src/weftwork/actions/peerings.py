"""Peerings: a project makes and takes back its own half, and sees the halves of others that are towards it.

Whether another project, its VPC or its ranges are there is told to nobody who has no half of theirs to accept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, joined, removal
from weftwork.actions.dependents import in_use
from weftwork.actions.find import peering_of, vpc_of
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.actions.words import check_name
from weftwork.base import codes
from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import ProjectIntent, is_peered, peers_of
from weftwork.model.peering import Peering
from weftwork.model.security_group import GroupRef, SecurityGroup
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Empty, Unchanged

PEERINGS_MAX = 50
"""Halves of one project. Every packet from a peer is compared with all of them."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A half of another project's, as the project that it is towards sees it."""

    by: ProjectKey
    cidr: Cidr
    is_accepted: bool
    created_at: int


def peer_range(network: Network, peering: Peering) -> Cidr | None:
    """The range of the peer's VPC; None while the peering is not active, whatever is missing for that."""
    intent = network.view.intent
    there = intent[peering.peer].vpc if is_peered(intent, peering.owner, peering.peer) else None
    return there.cidr if there else None


async def create_peering(network: Network, *, owner: ProjectKey, name: str, peer: ProjectKey) -> Stored[Peering]:
    """The project's half: an offer, or the acceptance of the peer's. Without a name it gets the peer's project's.

    Refusals INVALID_NAME, INVALID_PEER (the project itself), VPC_NOT_FOUND, PEERING_ALREADY_EXISTS,
    TOO_MANY_PEERINGS, BACKEND_UNSUPPORTED; and only of an acceptance CIDR_OVERLAP.
    """
    if name:
        check_name(name, "peering")
    check_name(peer.org, "organisation")
    check_name(peer.project, "project")
    if peer == owner:
        raise codes.INVALID_PEER.refusal(f"{peer} is the project itself", field="peer")

    def decide() -> Decision[Peering]:
        here, vpc = vpc_of(network, owner)
        wanted = Peering(owner, name or peer.project, peer, created_at=network.clock.now_s())
        existing = here.intent.peerings.get(peer) or here.peering_named(wanted.name)
        if existing is not None:
            return _same(network, existing, wanted, named=bool(name))
        if len(here.intent.peerings) >= PEERINGS_MAX:
            raise codes.TOO_MANY_PEERINGS.refusal(f"project {owner} has {PEERINGS_MAX} peerings")
        _check_on_one_machine(here.intent, owner)
        there = network.view.offers_to(owner).get(peer)
        if there is not None:
            _check_ranges(network, vpc, there)
        seen = Draft((_unchanged(network, rows.key_of(vpc)), *_seen(network, owner, there, peer)))
        return Decision(wanted, creation(wanted) + seen)

    return await network.run(owner, decide)


def _check_on_one_machine(project: ProjectIntent, owner: ProjectKey) -> None:
    """Across hosts the router between two VPCs would see half of each flow, and could not judge it."""
    if any(port.attachment and port.attachment.host for port in project.ports.values()):
        message = f"ports of {owner} are on hosts of the fleet, where peerings are not carried"
        raise codes.BACKEND_UNSUPPORTED.refusal(message, hint="Peer VPCs whose ports are on one machine.")


async def delete_peering(network: Network, *, owner: ProjectKey, peering: str, cascade: bool) -> None:
    """Takes the project's half back, and ends all flows across. With `cascade`, with the rules that name groups of
    the peer.

    Refusals VPC_NOT_FOUND, PEERING_NOT_FOUND, IN_USE.
    """

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        gone = peering_of(here, owner, peering)
        naming = [one for one in here.intent.groups.values() if _names(one, gone.peer)]
        if naming and not cascade:
            raise in_use(f"peering {gone.name}", naming)
        since = network.view.revision if cascade else 0
        seen_all = Empty(keys.peer_group_reference(owner, gone.peer), since)
        revision_of = network.view.revision_of
        unnamed = [change(one, _without(one, gone.peer), revision_of(rows.key_of(one))) for one in naming]
        removed = removal(gone, revision_of(rows.key_of(gone)))
        return Decision(None, joined([removed, *unnamed, Draft((seen_all,))]))

    await network.run(owner, decide)


async def get_peering(network: Network, *, owner: ProjectKey, peering: str) -> Stored[Peering]:
    """Refusals VPC_NOT_FOUND, PEERING_NOT_FOUND."""
    found = peering_of(vpc_of(network, owner)[0], owner, peering)
    return Stored(found, network.view.revision_of(rows.key_of(found)))


async def list_peerings(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Peering] | None = None
) -> Page[Peering]:
    """The project's own halves. Refusal INVALID_PAGE_TOKEN."""
    here = network.view.project(owner)
    halves = {one.name: one for one in (here.intent.peerings.values() if here else ())}
    revision_of = network.view.revision_of
    stored = {name: Stored(half, revision_of(rows.key_of(half))) for name, half in halves.items()}
    return await page_of(sorted(stored), stored.get, page_size, page_token, sift)


async def list_offers(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Offer] | None = None
) -> Page[Offer]:
    """The halves of others towards the project, accepted ones too. Refusal INVALID_PAGE_TOKEN."""
    intent = network.view.intent
    offers: dict[str, Stored[Offer]] = {}
    for by, half in network.view.offers_to(owner).items():
        vpc = intent[by].vpc
        if vpc is not None:
            offer = Offer(by, vpc.cidr, is_peered(intent, owner, by), half.created_at)
            offers[str(by)] = Stored(offer, network.view.revision_of(rows.key_of(half)))
    return await page_of(sorted(offers), offers.get, page_size, page_token, sift)


def _same(network: Network, existing: Peering, wanted: Peering, *, named: bool) -> Decision[Peering]:
    if existing.peer != wanted.peer:
        raise codes.PEERING_ALREADY_EXISTS.refusal(f"peering {existing.name!r} is with {existing.peer}")
    if named and existing.name != wanted.name:
        raise codes.PEERING_ALREADY_EXISTS.refusal(f"the peering with {existing.peer} is called {existing.name!r}")
    return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))


def _check_ranges(network: Network, vpc: Vpc, offer: Peering) -> None:
    """Of the one who accepts: neither of the two may have to route one address two ways."""
    intent = network.view.intent
    peer = intent[offer.owner].vpc
    assert peer is not None, "a half stands on its VPC"
    if peer.cidr.overlaps(vpc.cidr):
        raise codes.CIDR_OVERLAP.refusal(
            f"the VPC of {offer.owner} has the range {peer.cidr}, which overlaps {vpc.cidr}", overlaps=str(peer.cidr)
        )
    for owner, other in peers_of(intent, vpc.owner):
        if other.vpc and other.vpc.cidr.overlaps(peer.cidr):
            raise codes.CIDR_OVERLAP.refusal(
                f"the VPC of {offer.owner} has the range {peer.cidr}; {other.vpc.cidr} of the peer {owner} overlaps it",
                overlaps=str(other.vpc.cidr),
            )
    if any(other.vpc and other.vpc.cidr.overlaps(vpc.cidr) for _, other in peers_of(intent, offer.owner)):
        # Who that is, is no business of ours.
        raise codes.CIDR_OVERLAP.refusal(f"{offer.owner} has another peering with a range that overlaps {vpc.cidr}")


def _seen(network: Network, owner: ProjectKey, offer: Peering | None, peer: ProjectKey) -> Iterator[Unchanged | Empty]:
    """An offer is made where there is none; an acceptance when no other peering of the two came in the meantime."""
    theirs = keys.ThingKey("peering", peer, str(owner))
    if offer is None:
        yield Unchanged(str(theirs), 0)
        return
    yield _unchanged(network, theirs)
    for one in (owner, peer):
        yield Empty(keys.things("peering", one), network.view.revision)
        yield Empty(keys.peering_offer(one), network.view.revision)


def _unchanged(network: Network, key: keys.ThingKey) -> Unchanged:
    return Unchanged(str(key), network.view.revision_of(key))


def peers_named(groups: Iterable[SecurityGroup]) -> set[ProjectKey]:
    """The projects whose groups these groups' rules name."""
    rules = (rule for group in groups for rule in (*group.ingress, *group.egress))
    return {rule.peer.owner for rule in rules if isinstance(rule.peer, GroupRef) and rule.peer.owner}


def _names(group: SecurityGroup, peer: ProjectKey) -> bool:
    return peer in peers_named((group,))


def _without(group: SecurityGroup, peer: ProjectKey) -> SecurityGroup:
    ingress, egress = (
        tuple(rule for rule in rules if not (isinstance(rule.peer, GroupRef) and rule.peer.owner == peer))
        for rules in (group.ingress, group.egress)
    )
    return replace(group, ingress=ingress, egress=egress)
