"""NAT: a VPC's guests behind one external address, and external ports that lead to one guest's."""

from dataclasses import replace

from weftwork.access.quotas import narrowed
from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation
from weftwork.actions.dependents import removals
from weftwork.actions.external import release, use
from weftwork.actions.find import vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.base import codes
from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.security_group import Protocol
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Unchanged

_PORTS = range(1, 65536)


async def create_snat(
    network: Network, *, owner: ProjectKey, external_ip: Address | None, enabled: bool = True
) -> Stored[Snat]:
    """Without an external address, one that the VPC has already, else the next free one.

    Refusals VPC_NOT_FOUND, SNAT_ALREADY_EXISTS, IPV6_NOT_SUPPORTED, EXTERNAL_IP_NOT_OFFERED, EXTERNAL_IP_IN_USE,
    EXTERNAL_POOL_EXHAUSTED.
    """

    def decide() -> Decision[Snat]:
        here, vpc = vpc_of(network, owner)
        existing = here.intent.snat
        if existing is not None:
            return _same_snat(network, existing, external_ip, enabled)
        address = external_ip or _address_of_dnats(here) or _free_address(network, owner)
        snat = Snat(owner, address, enabled, created_at=network.clock.now_s())
        draft = creation(snat) + use(network, owner, address) + _in_vpc(network, vpc)
        return Decision(snat, draft, holds=(keys.external_claim(address),))

    return await network.run(owner, decide)


async def update_snat(network: Network, *, owner: ProjectKey, enabled: bool) -> Stored[Snat]:
    """Refusals VPC_NOT_FOUND, SNAT_NOT_FOUND."""

    def decide() -> Decision[Snat]:
        here, _ = vpc_of(network, owner)
        old = here.intent.snat
        if old is None:
            raise codes.SNAT_NOT_FOUND.refusal(f"VPC {owner} has no SNAT")
        revision = network.view.revision_of(rows.key_of(old))
        if old.enabled == enabled:
            return Decision(old, revision=revision)
        new = replace(old, enabled=enabled)
        return Decision(new, change(old, new, revision))

    return await network.run(owner, decide)


async def delete_snat(network: Network, *, owner: ProjectKey, external_ip: Address | None = None) -> None:
    """Refusals VPC_NOT_FOUND, SNAT_NOT_FOUND."""

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        snat = here.intent.snat
        if snat is None or external_ip not in (None, snat.external_ip):
            raise codes.SNAT_NOT_FOUND.refusal(f"VPC {owner} has no SNAT" + (f" to {external_ip}" if snat else ""))
        return Decision(None, removals(network, [snat]) + release(network, here, [snat]))

    await network.run(owner, decide)


async def create_dnat(
    network: Network,
    *,
    owner: ProjectKey,
    external_ip: Address | None,
    external_port: int,
    protocol: Protocol,
    internal_ip: Address,
    internal_port: int = 0,
) -> Stored[Dnat]:
    """Without an external address, the SNAT's or another of the VPC's, else the next free one; an internal port of 0
    is the external one.

    Refusals VPC_NOT_FOUND, INVALID_PROTOCOL, INVALID_PORT_RANGE, IP_OUTSIDE_SUBNET, NAT_TARGET_NOT_FOUND,
    DNAT_ALREADY_EXISTS, IPV6_NOT_SUPPORTED, EXTERNAL_IP_NOT_OFFERED, EXTERNAL_IP_IN_USE, EXTERNAL_POOL_EXHAUSTED.
    """
    inside_port = internal_port or external_port
    _check_transport(protocol, external_port, inside_port)

    def decide() -> Decision[Dnat]:
        here, vpc = vpc_of(network, owner)
        target = _target(here, owner, internal_ip)
        wanted = (external_port, protocol, internal_ip, inside_port)
        if external_ip is None:
            twin = next((one for one in here.intent.dnats.values() if _meaning(one) == wanted), None)
            if twin is not None:
                return _unchanged(network, twin)
        address = external_ip or _address_with_free_port(here, external_port, protocol) or _free_address(network, owner)
        dnat = Dnat(
            owner=owner,
            external_ip=address,
            external_port=external_port,
            protocol=protocol,
            internal_ip=internal_ip,
            internal_port=inside_port,
            created_at=network.clock.now_s(),
        )
        existing = here.intent.dnats.get(dnat.name)
        if existing is not None:
            return _same_dnat(network, existing, dnat)
        target_there = Draft((Unchanged(str(target), network.view.revision_of(target)),))
        draft = creation(dnat) + use(network, owner, address) + target_there + _in_vpc(network, vpc)
        return Decision(dnat, draft, holds=(keys.external_claim(address),))

    return await network.run(owner, decide)


async def redirect_dnat(
    network: Network, *, owner: ProjectKey, dnat: str, internal_ip: Address, internal_port: int
) -> Stored[Dnat]:
    """Leads it elsewhere: new flows go there, and those to where it led end.

    Refusals VPC_NOT_FOUND, DNAT_NOT_FOUND, INVALID_PORT_RANGE, IP_OUTSIDE_SUBNET, NAT_TARGET_NOT_FOUND.
    """

    def decide() -> Decision[Dnat]:
        here, _ = vpc_of(network, owner)
        old = here.intent.dnats.get(dnat)
        if old is None:
            raise codes.DNAT_NOT_FOUND.refusal(f"VPC {owner} has no DNAT {dnat}")
        _check_transport(old.protocol, old.external_port, internal_port)
        target = _target(here, owner, internal_ip)
        new = replace(old, internal_ip=internal_ip, internal_port=internal_port)
        if new == old:
            return _unchanged(network, old)
        target_there = Draft((Unchanged(str(target), network.view.revision_of(target)),))
        return Decision(new, change(old, new, network.view.revision_of(rows.key_of(old))) + target_there)

    return await network.run(owner, decide)


async def delete_dnat(
    network: Network, *, owner: ProjectKey, external_ip: Address, external_port: int, protocol: Protocol
) -> None:
    """Refusals VPC_NOT_FOUND, DNAT_NOT_FOUND."""
    name = f"{external_ip}:{external_port}:{protocol.value}"

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        dnat = here.intent.dnats.get(name)
        if dnat is None:
            raise codes.DNAT_NOT_FOUND.refusal(
                f"VPC {owner} has no DNAT {external_ip}:{external_port}/{protocol.value}"
            )
        return Decision(None, removals(network, [dnat]) + release(network, here, [dnat]))

    await network.run(owner, decide)


def _check_transport(protocol: Protocol, *ports: int) -> None:
    if protocol not in (Protocol.TCP, Protocol.UDP):
        raise codes.INVALID_PROTOCOL.refusal(f"DNAT is for tcp and udp, not {protocol.value}", field="protocol")
    for port in ports:
        if port not in _PORTS:
            raise codes.INVALID_PORT_RANGE.refusal(f"{port} is not a port from 1 to 65535", field="external_port")


def _target(here: ProjectIndex, owner: ProjectKey, address: Address) -> ThingKey:
    """The port that has the address."""
    if not any(address in subnet.cidr for subnet in here.intent.subnets.values()):
        raise codes.IP_OUTSIDE_SUBNET.refusal(f"{address} is in no subnet of the VPC", field="internal_ip")
    port_id = here.port_by_address.get(address)
    if port_id is None or port_id not in here.intent.ports:
        raise codes.NAT_TARGET_NOT_FOUND.refusal(f"no port of the VPC has the address {address}", field="internal_ip")
    return ThingKey("port", owner, port_id)


def _in_vpc(network: Network, vpc: Vpc) -> Draft:
    key = rows.key_of(vpc)
    return Draft((Unchanged(str(key), network.view.revision_of(key)),))


def _free_address(network: Network, owner: ProjectKey) -> Address:
    settings = network.settings
    allowed = narrowed(settings.external, network.quota_guard.of(owner).external)
    return network.choices.external(allowed, settings.external_gateway)


def _address_of_dnats(here: ProjectIndex) -> Address | None:
    return min((one.external_ip for one in here.intent.dnats.values()), key=int, default=None)


def _address_with_free_port(here: ProjectIndex, port: int, protocol: Protocol) -> Address | None:
    """The SNAT's address, also when the port is taken there; else one of the VPC's where it is free."""
    if here.intent.snat is not None:
        return here.intent.snat.external_ip
    dnats = here.intent.dnats.values()
    busy = {one.external_ip for one in dnats if (one.external_port, one.protocol) == (port, protocol)}
    return min({one.external_ip for one in dnats} - busy, key=int, default=None)


def _meaning(dnat: Dnat) -> tuple[int, Protocol, Address, int]:
    return dnat.external_port, dnat.protocol, dnat.internal_ip, dnat.internal_port


def _same_snat(network: Network, existing: Snat, external_ip: Address | None, enabled: bool) -> Decision[Snat]:
    differences = []
    if external_ip not in (None, existing.external_ip):
        differences.append(f"its external address is {existing.external_ip}, not {external_ip}")
    if enabled != existing.enabled:
        differences.append(f"it is {'enabled' if existing.enabled else 'disabled'}")
    if differences:
        raise codes.SNAT_ALREADY_EXISTS.refusal(f"VPC {existing.owner} has a SNAT already: {', '.join(differences)}")
    return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))


def _same_dnat(network: Network, existing: Dnat, wanted: Dnat) -> Decision[Dnat]:
    if _meaning(existing) != _meaning(wanted):
        raise codes.DNAT_ALREADY_EXISTS.refusal(
            f"{existing.external} leads to {existing.internal_ip}:{existing.internal_port} already,"
            f" not to {wanted.internal_ip}:{wanted.internal_port}"
        )
    return _unchanged(network, existing)


def _unchanged(network: Network, dnat: Dnat) -> Decision[Dnat]:
    return Decision(dnat, revision=network.view.revision_of(rows.key_of(dnat)))
