"""Subnets shared with other projects: their ports may be created there, with their own groups.

A project that a subnet is not shared with gets the same answers as if there was none.
"""

from weftwork.actions import rows
from weftwork.actions.claims import Draft, creation, removal
from weftwork.actions.dependents import lodged_in
from weftwork.actions.find import subnet_of, vpc_of
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.actions.words import check_name
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import ThingKey
from weftwork.model.share import SubnetShare
from weftwork.model.subnet import Subnet
from weftwork.seams.store import Empty, Unchanged


async def share_subnet(network: Network, *, owner: ProjectKey, subnet: str, to: ProjectKey) -> Stored[SubnetShare]:
    """Whether the other project exists is not asked: it may come later.

    Refusals INVALID_NAME, INVALID_PEER (the project itself), VPC_NOT_FOUND, SUBNET_NOT_FOUND.
    """
    check_name(to.org, "organisation")
    check_name(to.project, "project")
    if to == owner:
        raise codes.INVALID_PEER.refusal(f"{to} is the project itself", field="to")

    def decide() -> Decision[SubnetShare]:
        here, _ = vpc_of(network, owner)
        shared = subnet_of(here, owner, subnet)
        wanted = SubnetShare(owner, shared.name, to, created_at=network.clock.now_s())
        existing = here.intent.shares.get(wanted.name)
        if existing is not None:
            return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))
        in_vpc = Unchanged(str(rows.key_of(shared)), network.view.revision_of(rows.key_of(shared)))
        return Decision(wanted, creation(wanted) + Draft((in_vpc,)))

    return await network.run(owner, decide)


async def unshare_subnet(network: Network, *, owner: ProjectKey, subnet: str, to: ProjectKey) -> None:
    """Refusals VPC_NOT_FOUND, SUBNET_NOT_FOUND, SHARE_NOT_FOUND, IN_USE (by ports of the other project)."""

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        shared = subnet_of(here, owner, subnet)
        gone = here.intent.shares.get(SubnetShare(owner, shared.name, to, 0).name)
        if gone is None:
            raise codes.SHARE_NOT_FOUND.refusal(f"subnet {shared.name!r} is not shared with {to}")
        lodgers = here.lodgers_in(shared.name, to)
        if lodgers:
            raise lodged_in(f"the share of {shared.name} with {to}", len(lodgers))
        nobody = Empty(keys.lodger(owner, shared.name, to))
        return Decision(None, removal(gone, network.view.revision_of(rows.key_of(gone))) + Draft((nobody,)))

    await network.run(owner, decide)


async def list_shares(
    network: Network,
    *,
    owner: ProjectKey,
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[SubnetShare] | None = None,
) -> Page[SubnetShare]:
    """Of the project's own subnets. Refusal INVALID_PAGE_TOKEN."""
    here = network.view.project(owner)
    shares = here.intent.shares.values() if here else ()
    stored = {one.name: Stored(one, network.view.revision_of(rows.key_of(one))) for one in shares}
    return await page_of(sorted(stored), stored.get, page_size, page_token, sift)


async def list_shared_subnets(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Subnet] | None = None
) -> Page[Subnet]:
    """Other projects' subnets that the project may have ports in. Refusal INVALID_PAGE_TOKEN."""
    keys_of = (ThingKey("subnet", one.owner, one.subnet) for one in network.view.shared_with(owner).values())
    found = ((key, network.view.find(key)) for key in keys_of)
    stored = {one.id: Stored(one, network.view.revision_of(key)) for key, one in found if isinstance(one, Subnet)}
    return await page_of(sorted(stored), stored.get, page_size, page_token, sift)
