"""Reading: one thing, or a page of things in the order of their keys. Everything comes from the view."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from weftwork.actions import rows
from weftwork.actions.find import group_of, port_of, reach_test_of, usable_subnet, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Network, Stored
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Thing
from weftwork.model.nat import Dnat, Snat
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc

ThingT = TypeVar("ThingT", bound=Thing)


async def get_vpc(network: Network, *, owner: ProjectKey) -> Stored[Vpc]:
    """Refusal VPC_NOT_FOUND."""
    return _stored(network, vpc_of(network, owner)[1])


async def get_subnet(network: Network, *, owner: ProjectKey, subnet: str) -> Stored[Subnet]:
    """Also one that is shared with the project. Refusals VPC_NOT_FOUND, SUBNET_NOT_FOUND."""
    return _stored(network, usable_subnet(network, vpc_of(network, owner)[0], owner, subnet))


async def get_port(network: Network, *, owner: ProjectKey, port: str) -> Stored[Port]:
    """Refusals VPC_NOT_FOUND, PORT_NOT_FOUND."""
    return _stored(network, port_of(vpc_of(network, owner)[0], owner, port))


async def get_security_group(network: Network, *, owner: ProjectKey, group: str) -> Stored[SecurityGroup]:
    """Refusals VPC_NOT_FOUND, SECURITY_GROUP_NOT_FOUND."""
    return _stored(network, group_of(vpc_of(network, owner)[0], owner, group))


async def list_vpcs(
    network: Network,
    *,
    org: str = "",
    project: str = "",
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[Vpc] | None = None,
) -> Page[Vpc]:
    """All that the caller sees, or an organisation's, or a project's of any or of one organisation.

    Refusal INVALID_PAGE_TOKEN.
    """
    sees = network.principal.sees
    intents = network.view.intent
    vpcs = {
        str(owner): intent.vpc
        for owner, intent in intents.items()
        if intent.vpc and org in ("", owner.org) and project in ("", owner.project) and sees(owner)
    }
    return await _page(network, sorted(vpcs), vpcs.get, page_size, page_token, sift)


async def list_subnets(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Subnet] | None = None
) -> Page[Subnet]:
    """Refusal INVALID_PAGE_TOKEN. A project without a VPC has no subnets."""
    subnets = _here(network, owner).intent.subnets
    return await _page(network, sorted(subnets), subnets.get, page_size, page_token, sift)


async def list_ports(
    network: Network,
    *,
    owner: ProjectKey,
    subnet: str = "",
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[Port] | None = None,
) -> Page[Port]:
    """All of the project, or one subnet's. Refusals INVALID_PAGE_TOKEN, SUBNET_NOT_FOUND."""
    here = _here(network, owner)
    ports = here.intent.ports
    if not subnet:
        return await _page(network, here.sorted_ports(), ports.get, page_size, page_token, sift)
    into = usable_subnet(network, here, owner, subnet)
    own = here.ports_of_subnet(into.name)
    lent = (port for port in ports.values() if (port.lender, port.subnet) == (into.owner, into.name))
    names = sorted(port.id for port in (own if into.owner == owner else lent))
    return await _page(network, names, ports.get, page_size, page_token, sift)


async def list_security_groups(
    network: Network,
    *,
    owner: ProjectKey,
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[SecurityGroup] | None = None,
) -> Page[SecurityGroup]:
    """Refusal INVALID_PAGE_TOKEN."""
    groups = _here(network, owner).intent.groups
    return await _page(network, sorted(groups), groups.get, page_size, page_token, sift)


async def list_snats(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Snat] | None = None
) -> Page[Snat]:
    """The VPC's SNAT, if it has one. Refusal INVALID_PAGE_TOKEN."""
    snat = _here(network, owner).intent.snat
    snats = {"snat": snat} if snat else {}
    return await _page(network, sorted(snats), snats.get, page_size, page_token, sift)


async def list_dnats(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Dnat] | None = None
) -> Page[Dnat]:
    """Refusal INVALID_PAGE_TOKEN."""
    dnats = _here(network, owner).intent.dnats
    return await _page(network, sorted(dnats), dnats.get, page_size, page_token, sift)


async def get_reach_test(network: Network, *, owner: ProjectKey, test: str) -> Stored[ReachTest]:
    """Refusals VPC_NOT_FOUND, REACH_TEST_NOT_FOUND."""
    here, _ = vpc_of(network, owner)
    return _stored(network, reach_test_of(here, owner, test))


async def list_reach_tests(
    network: Network,
    *,
    owner: ProjectKey,
    page_size: int = 0,
    page_token: str = "",
    sift: Sift[ReachTest] | None = None,
) -> Page[ReachTest]:
    """Refusal INVALID_PAGE_TOKEN."""
    tests = _here(network, owner).intent.reach_tests
    return await _page(network, sorted(tests), tests.get, page_size, page_token, sift)


def _here(network: Network, owner: ProjectKey) -> ProjectIndex:
    return network.view.project(owner) or ProjectIndex(owner)


def _stored(network: Network, thing: ThingT) -> Stored[ThingT]:
    return Stored(thing, network.view.revision_of(rows.key_of(thing)))


async def _page(
    network: Network,
    names: Sequence[str],
    get: Callable[[str], ThingT | None],
    page_size: int,
    page_token: str,
    sift: Sift[ThingT] | None,
) -> Page[ThingT]:
    def stored(name: str) -> Stored[ThingT] | None:
        thing = get(name)
        return None if thing is None else _stored(network, thing)

    return await page_of(names, stored, page_size, page_token, sift)
