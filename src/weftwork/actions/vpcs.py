"""VPCs: one per project, with a default subnet and a default security group from the start."""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from weftwork.access.quotas import narrowed
from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation
from weftwork.actions.dependents import in_use, lodged_in, removals
from weftwork.actions.external import release
from weftwork.actions.find import DEFAULT, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.subnets import LEASE_TIME_S, VLAN_FIRST
from weftwork.actions.words import check_name
from weftwork.allocator.addresses import gateway_of
from weftwork.allocator.cidrs import why_unusable
from weftwork.base import codes
from weftwork.base.addresses import Cidr
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.nat import Dnat, Snat
from weftwork.model.security_group import GroupRef, Protocol, Rule, SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Compare, Empty, Put, Remove, Unchanged

PREFIX_MIN = 8
PREFIX_MAX = 28

_COUNTED: tuple[keys.Kind, ...] = (
    "port",
    "subnet",
    "security-group",
    "dnat",
    "peering",
    "network-policy",
    "subnet-share",
    "vm",
    "ssh-key",
)
"""What else a VPC can have, beside its SNAT."""


async def create_vpc(network: Network, *, owner: ProjectKey, name: str, cidr: Cidr | None) -> Stored[Vpc]:
    """The project's VPC; without a CIDR it gets a free one of the pool, without a name the project's.

    Refusals INVALID_NAME, INVALID_CIDR, IPV6_NOT_SUPPORTED, CIDR_OVERLAP (with a reserved range),
    CIDR_NOT_ALLOWED, CIDR_POOL_EXHAUSTED, VNI_EXHAUSTED, VPC_ALREADY_EXISTS.
    """
    check_name(owner.org, "organisation")
    check_name(owner.project, "project")
    if name:
        check_name(name, "VPC")
    given = None if cidr is None else _checked(network, cidr)

    def decide() -> Decision[Vpc]:
        here = network.view.project(owner)
        if here is not None and here.intent.vpc is not None:
            return _same(network, here.intent.vpc, name, given)
        return _new(network, owner, name or owner.project, given)

    return await network.run(owner, decide)


async def rename_vpc(network: Network, *, owner: ProjectKey, name: str) -> Stored[Vpc]:
    """Its name is for people: nothing refers to it. Refusals INVALID_NAME, VPC_NOT_FOUND."""
    check_name(name, "VPC")

    def decide() -> Decision[Vpc]:
        _, vpc = vpc_of(network, owner)
        revision = network.view.revision_of(rows.key_of(vpc))
        if vpc.name == name:
            return Decision(vpc, revision=revision)
        renamed = replace(vpc, name=name, updated_at=network.clock.now_s())
        return Decision(renamed, change(vpc, renamed, revision))

    return await network.run(owner, decide)


async def delete_vpc(network: Network, *, owner: ProjectKey, cascade: bool) -> None:
    """With its untouched defaults (`default` subnet without ports, `default` group); with `cascade`, with everything.

    Other projects' ports in its subnets are never deleted with it.

    Refusals VPC_NOT_FOUND, IN_USE.
    """

    def decide() -> Decision[None]:
        here, vpc = vpc_of(network, owner)
        things = list(here.things())
        dependents = [one for one in things if not _goes_with_its_vpc(one)]
        if here.lodgers:
            raise lodged_in(f"VPC {vpc.id}", len(here.lodgers))
        if dependents and not cascade:
            raise in_use(f"VPC {vpc.id}", dependents)
        return Decision(None, _removal(network, here, vpc, things))

    await network.run(owner, decide)


def _checked(network: Network, cidr: Cidr) -> IPv4Network:
    if isinstance(cidr, IPv6Network):
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{cidr} is an IPv6 range", field="cidr")
    if not PREFIX_MIN <= cidr.prefixlen <= PREFIX_MAX:
        raise codes.INVALID_CIDR.refusal(
            f"{cidr}: a VPC has a prefix length from /{PREFIX_MIN} to /{PREFIX_MAX}", field="cidr"
        )
    why = why_unusable(cidr)
    if why:
        raise codes.INVALID_CIDR.refusal(f"{cidr} cannot be used by guests: {why}", field="cidr")
    for reserved in network.settings.reserved:
        if reserved.cidr.overlaps(cidr):
            raise codes.CIDR_OVERLAP.refusal(
                f"{cidr} overlaps the reserved range {reserved.cidr} ({reserved.why})",
                overlaps=str(reserved.cidr),
                field="cidr",
            )
    return cidr


def _same(network: Network, vpc: Vpc, name: str, cidr: IPv4Network | None) -> Decision[Vpc]:
    differences = []
    if name not in ("", vpc.name):
        differences.append(f"its name is {vpc.name!r}, not {name!r}")
    if cidr not in (None, vpc.cidr):
        differences.append(f"its CIDR is {vpc.cidr}, not {cidr}")
    if differences:
        raise codes.VPC_ALREADY_EXISTS.refusal(f"project {vpc.owner} has a VPC already: {', '.join(differences)}")
    return Decision(vpc, revision=network.view.revision_of(rows.key_of(vpc)))


def _new(network: Network, owner: ProjectKey, name: str, given: IPv4Network | None) -> Decision[Vpc]:
    if given is not None:
        network.quota_guard.of(owner).check_range(owner, given)
    cidr = given or _free_range(network, owner)
    vni, vni_key = network.choices.vni()
    now = network.clock.now_s()
    vpc = Vpc(owner, name, cidr, vni, created_at=now, updated_at=now)
    subnet = default_subnet(vpc, network.settings.default_subnet_prefix)
    draft = creation(vpc) + creation(subnet) + creation(default_group(vpc))
    if given is not None:
        return Decision(vpc, draft, holds=(vni_key,))
    pool_key = keys.cidr_used(cidr)
    claimed = Draft((Unchanged(pool_key, 0),), (Put(pool_key, str(owner).encode()),))
    return Decision(vpc, draft + claimed, holds=(vni_key, pool_key))


def _free_range(network: Network, owner: ProjectKey) -> IPv4Network:
    """Of what of the pool the project may have. Refusal CIDR_POOL_EXHAUSTED."""
    settings = network.settings
    reserved = tuple(one.cidr for one in settings.reserved)
    pools = narrowed((settings.cidr_pool,), network.quota_guard.of(owner).ranges)
    for pool in pools[:-1]:
        with suppress(Refusal):
            return network.choices.vpc_range(pool, reserved)
    if not pools:
        raise codes.CIDR_POOL_EXHAUSTED.refusal(f"project {owner} may have no range of the pool")
    return network.choices.vpc_range(pools[-1], reserved)


def default_subnet(vpc: Vpc, prefix: int) -> Subnet:
    """The first of the VPC's, or all of it."""
    cidr = IPv4Network((int(vpc.cidr.network_address), max(prefix, vpc.cidr.prefixlen)))
    return Subnet(
        owner=vpc.owner,
        name=DEFAULT,
        cidr=cidr,
        gateway=gateway_of(cidr),
        vlan=VLAN_FIRST,
        dhcp_enabled=True,
        dns_servers=(),
        domain_name="",
        ntp_servers=(),
        lease_time_s=LEASE_TIME_S,
        created_at=vpc.created_at,
    )


def default_group(vpc: Vpc) -> SecurityGroup:
    return SecurityGroup(
        owner=vpc.owner,
        name=DEFAULT,
        description="What ports without a group of their own get.",
        ingress=(Rule(Protocol.ALL, None, GroupRef(DEFAULT)),),
        egress=(Rule(Protocol.ALL, None, IPv4Network("0.0.0.0/0")),),
        created_at=vpc.created_at,
    )


def _goes_with_its_vpc(thing: Thing) -> bool:
    """A default subnet with ports is listed by its ports."""
    return isinstance(thing, Vpc) or (isinstance(thing, Subnet | SecurityGroup) and thing.name == DEFAULT)


def _removal(network: Network, here: ProjectIndex, vpc: Vpc, things: list[Thing]) -> Draft:
    owner = vpc.owner
    view = network.view
    prefixes = (keys.things(kind, owner) for kind in _COUNTED)
    seen_all: tuple[Compare, ...] = tuple(Empty(prefix, view.revision) for prefix in prefixes)
    seen_all += (Empty(keys.lodger(owner)),)
    if here.intent.snat is None:
        seen_all += (Unchanged(str(keys.ThingKey("snat", owner)), 0),)
    nats = [one for one in things if isinstance(one, Snat | Dnat)]
    counted = Draft(seen_all, (Remove(keys.mac_counter(owner)),))
    draft = removals(network, things) + release(network, here, nats) + counted
    pool_key = keys.cidr_used(vpc.cidr)
    if isinstance(vpc.cidr, IPv4Network) and view.pool_claims.get(vpc.cidr) == str(owner):
        return draft + Draft((), (Remove(pool_key),))
    return draft
