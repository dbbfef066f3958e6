"""Subnets of a VPC. Each change of them also writes the VPC, so that two at the same time cannot overlap unseen."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, joined
from weftwork.actions.dependents import in_use, lodged_in, removals, told_of
from weftwork.actions.external import release
from weftwork.actions.find import subnet_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.reach_guard import tests_naming
from weftwork.actions.words import check_domain, check_name
from weftwork.allocator import vlans
from weftwork.allocator.addresses import gateway_of
from weftwork.allocator.cidrs import lowest_free_range, why_unusable
from weftwork.base import codes
from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import SubnetRef
from weftwork.model.port import Port
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Empty

PREFIX_MIN = 8
PREFIX_MAX = 30
"""A /30 has one address for a port."""
LEASE_TIME_S = 86_400
LEASE_TIME_RANGE_S = range(60, 31_536_001)
SERVERS_MAX = 8
VLAN_FIRST = vlans.FIRST


async def create_subnet(
    network: Network,
    *,
    owner: ProjectKey,
    name: str,
    cidr: Cidr | None,
    dhcp_enabled: bool,
    dns_servers: tuple[Address, ...] = (),
    domain_name: str = "",
    ntp_servers: tuple[Address, ...] = (),
    lease_time_s: int = 0,
) -> Stored[Subnet]:
    """Without a CIDR, the lowest free one of the default size; a lease time of 0 means a day.

    Refusals INVALID_NAME, INVALID_CIDR, IPV6_NOT_SUPPORTED, SUBNET_OUTSIDE_VPC, CIDR_OVERLAP, CIDR_POOL_EXHAUSTED,
    VLAN_EXHAUSTED, INVALID_IP, INVALID_DOMAIN_NAME, INVALID_LEASE_TIME, FIELD_TOO_LONG, VPC_NOT_FOUND,
    SUBNET_ALREADY_EXISTS.
    """
    check_name(name, "subnet")
    given = None if cidr is None else _checked(cidr)
    check_domain(domain_name)
    _check_servers(dns_servers, "dns_servers")
    _check_servers(ntp_servers, "ntp_servers")
    if lease_time_s:
        _check_lease_time(lease_time_s)

    def decide() -> Decision[Subnet]:
        here, vpc = vpc_of(network, owner)
        existing = here.intent.subnets.get(name)
        range_ = given or (existing.cidr if existing else _free_range(network, here, vpc))
        subnet = Subnet(
            owner=owner,
            name=name,
            cidr=range_,
            gateway=gateway_of(range_),
            vlan=existing.vlan if existing else _free_vlan(here),
            dhcp_enabled=dhcp_enabled,
            dns_servers=dns_servers or (existing.dns_servers if existing else ()),
            domain_name=domain_name or (existing.domain_name if existing else ""),
            ntp_servers=ntp_servers or (existing.ntp_servers if existing else ()),
            lease_time_s=lease_time_s or (existing.lease_time_s if existing else LEASE_TIME_S),
            created_at=existing.created_at if existing else network.clock.now_s(),
            vni=existing.vni if existing else 0,
        )
        if existing:
            return _same(network, existing, subnet)
        _check_place(network, here, vpc, subnet)
        return Decision(subnet, creation(subnet) + _touched(network, vpc))

    return await network.run(owner, decide)


async def update_subnet(
    network: Network,
    *,
    owner: ProjectKey,
    subnet: str,
    dhcp_enabled: bool | None = None,
    dns_servers: tuple[Address, ...] | None = None,
    domain_name: str | None = None,
    ntp_servers: tuple[Address, ...] | None = None,
    lease_time_s: int | None = None,
) -> Stored[Subnet]:
    """Replaces what is given; guests hear of it with their next lease.

    Refusals VPC_NOT_FOUND, SUBNET_NOT_FOUND, and those of the fields as in `create_subnet`.
    """
    _check_servers(dns_servers or (), "dns_servers")
    _check_servers(ntp_servers or (), "ntp_servers")
    check_domain(domain_name or "")
    if lease_time_s is not None:
        _check_lease_time(lease_time_s)

    def decide() -> Decision[Subnet]:
        here, _ = vpc_of(network, owner)
        old = subnet_of(here, owner, subnet)
        new = replace(
            old,
            dhcp_enabled=old.dhcp_enabled if dhcp_enabled is None else dhcp_enabled,
            dns_servers=old.dns_servers if dns_servers is None else dns_servers,
            domain_name=old.domain_name if domain_name is None else domain_name,
            ntp_servers=old.ntp_servers if ntp_servers is None else ntp_servers,
            lease_time_s=old.lease_time_s if lease_time_s is None else lease_time_s,
        )
        revision = network.view.revision_of(rows.key_of(old))
        if new == old:
            return Decision(old, revision=revision)
        return Decision(new, change(old, new, revision))

    return await network.run(owner, decide)


async def delete_subnet(network: Network, *, owner: ProjectKey, subnet: str, cascade: bool) -> None:
    """With `cascade`, with its shares and ports, the VMs in it, the DNAT that points at them, its own policies, the
    rules of others that name it, and the reach tests that name any of it; but with no port of another project.

    Refusals SUBNET_NOT_FOUND, IN_USE.
    """

    def decide() -> Decision[None]:
        here, vpc = vpc_of(network, owner)
        gone = subnet_of(here, owner, subnet)
        lodgers = here.lodgers_in(gone.name)
        if lodgers:
            raise lodged_in(told_of(gone), len(lodgers))
        ports, shares = list(here.ports_of_subnet(gone.name)), here.shares_of(gone.name)
        vms, others = here.vms_at(ports)
        ports += others
        dnats = dnats_to(here, ports)
        policies = list(here.policies_naming_subnet(gone.name))
        tests = tests_naming(here.intent, [gone, *ports])
        if (ports or policies or shares or tests) and not cascade:
            raise in_use(told_of(gone), [*vms, *ports, *dnats, *policies, *shares, *tests])
        since = network.view.revision
        shared = keys.things("subnet-share", owner) + f"{gone.name}/"
        seen_all = Draft(
            (
                Empty(keys.allocated(owner, gone.name), since),
                Empty(keys.dnat_targets(owner), since),
                Empty(shared, since),
                Empty(keys.policy_reference(owner, rows.key_of(gone)), since),
            )
        )
        its_own = [one for one in policies if one.subnet == gone.name]
        unnamed = joined(
            change(one, one.without_peer(SubnetRef(gone.name)), network.view.revision_of(rows.key_of(one)))
            for one in policies
            if one.subnet != gone.name
        )
        everything: list[Thing] = [gone, *vms, *ports, *dnats, *its_own, *shares, *tests]
        removed = removals(network, everything) + release(network, here, dnats) + unnamed
        return Decision(None, removed + seen_all + _touched(network, vpc))

    await network.run(owner, decide)


def dnats_to(here: ProjectIndex, ports: list[Port]) -> list[Dnat]:
    """DNAT that points at the ports: none does at one in another project's subnet."""
    return [dnat for port in ports if not port.lender for address in port.addresses for dnat in here.dnats_at(address)]


def _checked(cidr: Cidr) -> IPv4Network:
    if isinstance(cidr, IPv6Network):
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{cidr} is an IPv6 range", field="cidr")
    if not PREFIX_MIN <= cidr.prefixlen <= PREFIX_MAX:
        raise codes.INVALID_CIDR.refusal(
            f"{cidr}: a subnet has a prefix length from /{PREFIX_MIN} to /{PREFIX_MAX}", field="cidr"
        )
    why = why_unusable(cidr)
    if why:
        raise codes.INVALID_CIDR.refusal(f"{cidr} cannot be used by guests: {why}", field="cidr")
    return cidr


def _check_lease_time(lease_time_s: int) -> None:
    if lease_time_s not in LEASE_TIME_RANGE_S:
        raise codes.INVALID_LEASE_TIME.refusal(f"a lease of {lease_time_s} s is not offered", field="lease_time_s")


def _check_servers(servers: tuple[Address, ...], field: str) -> None:
    if len(servers) > SERVERS_MAX:
        raise codes.FIELD_TOO_LONG.refusal(
            f"{field} has {len(servers)} entries, at most {SERVERS_MAX} fit", field=field
        )
    for server in servers:
        if server.version != 4:
            raise codes.IPV6_NOT_SUPPORTED.refusal(f"{field}: {server} is an IPv6 address", field=field)
        if server.is_multicast or server.is_unspecified or server.is_reserved:
            raise codes.INVALID_IP.refusal(f"{field}: {server} cannot be a server's address", field=field)


def _check_place(network: Network, here: ProjectIndex, vpc: Vpc, subnet: Subnet) -> None:
    cidr = subnet.cidr
    assert isinstance(cidr, IPv4Network) and isinstance(vpc.cidr, IPv4Network)
    if not cidr.subnet_of(vpc.cidr):
        raise codes.SUBNET_OUTSIDE_VPC.refusal(f"{cidr} is not inside the VPC's {vpc.cidr}", field="cidr")
    for reserved in network.settings.reserved:
        if reserved.cidr.overlaps(cidr):
            raise codes.CIDR_OVERLAP.refusal(
                f"{cidr} overlaps the reserved range {reserved.cidr} ({reserved.why})",
                overlaps=str(reserved.cidr),
                field="cidr",
            )
    for other in here.intent.subnets.values():
        if other.cidr.overlaps(cidr):
            raise codes.CIDR_OVERLAP.refusal(
                f"{cidr} overlaps subnet {other.name!r} ({other.cidr})", overlaps=other.id, field="cidr"
            )


def _free_range(network: Network, here: ProjectIndex, vpc: Vpc) -> IPv4Network:
    assert isinstance(vpc.cidr, IPv4Network)
    prefix = max(network.settings.default_subnet_prefix, vpc.cidr.prefixlen)
    occupied = (
        *(one.cidr for one in here.intent.subnets.values()),
        *(one.cidr for one in network.settings.reserved),
    )
    chosen = lowest_free_range(vpc.cidr, prefix, (one for one in occupied if isinstance(one, IPv4Network)))
    if chosen is None:
        raise codes.CIDR_POOL_EXHAUSTED.refusal(
            f"the VPC's {vpc.cidr} has no free /{prefix}", hint="Give a smaller range, or delete a subnet."
        )
    return chosen


def _free_vlan(here: ProjectIndex) -> int:
    vlan = vlans.lowest_free_vlan(one.vlan for one in here.intent.subnets.values())
    if vlan is None:
        raise codes.VLAN_EXHAUSTED.refusal(f"the VPC has {vlans.LAST} subnets, which is all it can have")
    return vlan


def _same(network: Network, existing: Subnet, wanted: Subnet) -> Decision[Subnet]:
    told = {
        "cidr": "CIDR",
        "dhcp_enabled": "DHCP",
        "dns_servers": "DNS servers",
        "domain_name": "domain name",
        "ntp_servers": "NTP servers",
        "lease_time_s": "lease time",
    }
    differences = [
        f"its {noun} is {_shown(getattr(existing, field))}, not {_shown(getattr(wanted, field))}"
        for field, noun in told.items()
        if getattr(existing, field) != getattr(wanted, field)
    ]
    if differences:
        raise codes.SUBNET_ALREADY_EXISTS.refusal(f"subnet {existing.name!r} exists: {', '.join(differences)}")
    return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(str(one) for one in value) or "none"
    return str(value)


def _touched(network: Network, vpc: Vpc) -> Draft:
    touched = replace(vpc, updated_at=network.clock.now_s())
    return change(vpc, touched, network.view.revision_of(rows.key_of(vpc)))
