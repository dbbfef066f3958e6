"""A stack as what the host holds: it is put as a project of its own, and compiled as every project is.

Its guests may talk to each other: who may is its caller's business. That each speaks for itself only is ours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Address, collapse_addresses

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.linux import names
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import ExternalNetwork, HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.nat import Snat
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import Protocol, Rule, SecurityGroup
from weftwork.model.stack import Nic, Router, Stack
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Route
from weftwork.program.resource import Resource, SliceId

EVERYBODY = IPv4Network("0.0.0.0/0")
_NOBODY = IPv4Network("192.0.2.0/32")
_NO_GATEWAY = IPv6Address("::")
"""Of a VLAN without a router: whatever asks for an IPv4 gateway finds none."""
_GROUP = "stack"
_ORG = "local"
_ROUTES: SliceId = ("routes",)
_APART = 1 << 24
"""Added to a stack's number where VPCs have their VNI, so that a stack and a VPC of one number never meet."""


@dataclass(frozen=True, slots=True)
class StackVpc(Vpc):
    @property
    def netns(self) -> str:
        return netns_of(self.vni - _APART)


def netns_of(vpc_id: int) -> str:
    return f"weft-l2-{vpc_id}"


def bridge_of(vlan: int) -> str:
    return f"br{vlan}"


def vtep_of(vlan: int) -> str:
    return f"vx{vlan}"


def device_of(vpc_id: int, nic: str) -> str:
    """Of a NIC that is on this host."""
    return "tap" + _port_id(vpc_id, nic)[:12]


class StackCompiler:
    """Remembers what it made of each stack, so that one more NIC costs what it touches."""

    def __init__(self, profile: HostProfile) -> None:
        self._profile = profile
        self._made: dict[int, tuple[Stack, Assembly]] = {}

    def compile(self, stack: Stack) -> Delta:
        """What came into its program and what left it since the last time."""
        old, assembly = self._made.get(stack.vpc_id, (None, Assembly()))
        self._made[stack.vpc_id] = (stack, assembly)
        intent = _intent(stack)
        own = replace(
            self._profile,
            external=_external(stack.router),
            underlay=self._profile.underlay if stack.vnis else None,
        )
        slices = _touched(old, stack, intent)
        compiled = {one: compile_slice(intent, one, own) for one in slices}
        return assembly.replace_slices(compiled | {_ROUTES: frozenset(_routes(stack))})

    def forget(self, vpc_id: int) -> Delta:
        _, assembly = self._made.pop(vpc_id, (None, Assembly()))
        return Delta(frozenset(), assembly.program())


def _touched(old: Stack | None, new: Stack, intent: Intent) -> Iterable[SliceId]:
    """All of it, unless nothing but NICs has changed."""
    if old is None:
        return slices_of(intent)
    if (old.router, old.vnis, old.vlans) != (new.router, new.vnis, new.vlans):
        return {*slices_of(intent), *slices_of(_intent(old))}
    changed = {one.id for one in set(old.nics) ^ set(new.nics)}
    return [("port", _ORG, str(new.vpc_id), _port_id(new.vpc_id, one)) for one in changed]


def _intent(stack: Stack) -> Intent:
    owner = ProjectKey(_ORG, str(stack.vpc_id))
    vpc = StackVpc(owner, _GROUP, _range(stack.router), _APART + stack.vpc_id, 0, 0)
    every = (Rule(Protocol.ALL, None, EVERYBODY),)
    project = ProjectIntent(vpc=vpc, groups={_GROUP: SecurityGroup(owner, _GROUP, "", every, every, 0)})
    for vlan in stack.vlans:
        project.subnets[str(vlan)] = _subnet(owner, stack, vlan)
    for nic in stack.nics:
        port = _port(owner, stack, nic)
        project.ports[port.id] = port
    if stack.router and stack.router.outside:
        project.snat = Snat(owner, stack.router.outside.address.ip, True, 0)
    return {owner: project}


def _range(router: Router | None) -> IPv4Network:
    """The smallest that holds every leg's."""
    ranges = [leg.gateway.network for leg in router.legs] if router else []
    if not ranges:
        return _NOBODY
    whole = next(collapse_addresses(ranges))
    while not all(one.subnet_of(whole) for one in ranges):
        whole = whole.supernet()
    return whole


def _subnet(owner: ProjectKey, stack: Stack, vlan: int) -> Subnet:
    router = stack.router
    leg = router.leg(vlan) if router else None
    return Subnet(
        owner=owner,
        name=str(vlan),
        cidr=leg.gateway.network if leg else _NOBODY,
        gateway=leg.gateway.ip if leg else _NO_GATEWAY,
        vlan=vlan,
        dhcp_enabled=bool(router and leg and router.dhcp),
        dns_servers=router.dns if router else (),
        domain_name="",
        ntp_servers=(),
        lease_time_s=router.lease_time_s if router else 86400,
        created_at=0,
        vni=stack.vnis.get(vlan, 0),
    )


def _port(owner: ProjectKey, stack: Stack, nic: Nic) -> Port:
    return Port(
        owner=owner,
        id=_port_id(stack.vpc_id, nic.id),
        name=nic.id,
        subnet=str(nic.vlan),
        vm="",
        mac=nic.mac,
        addresses=nic.addresses,
        groups=(_GROUP,),
        attachment=_attachment(nic),
        created_at=0,
    )


def _attachment(nic: Nic) -> Attachment:
    if nic.underlay is not None:
        return Attachment(AttachmentKind.REMOTE, "", vtep_of(nic.vlan), "elsewhere", nic.underlay)
    if nic.adopts:
        return Attachment(AttachmentKind.ADOPTED, "", nic.adopts)
    if nic.netns:
        return Attachment(AttachmentKind.NETNS, nic.netns, nic.interface)
    return Attachment(AttachmentKind.TAP)


def _port_id(vpc_id: int, nic: str) -> str:
    return blake2b(f"{vpc_id}/{nic}".encode(), digest_size=16).hexdigest()


def _external(router: Router | None) -> ExternalNetwork | None:
    outside = router.outside if router else None
    if outside is None:
        return None
    return ExternalNetwork((outside.address.network,), outside.gateway, "", outside.bridge)


def _routes(stack: Stack) -> Iterator[Resource]:
    for one in stack.router.routes if stack.router else ():
        yield Route(netns_of(stack.vpc_id), one.destination, one.gateway, names.EXTERNAL_LEG)
