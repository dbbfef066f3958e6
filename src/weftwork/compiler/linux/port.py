"""A port's slice: its device, what its guard lets pass, and which rules its address obeys.

A port without an attachment has an empty slice: no device, no lease, and its address is a member of no group, for
nobody can speak with it. A port in another project's subnet brings its groups along: their chains stand in that VPC
while a port with them does. What a port's slice costs does not depend on how many ports there are, but on how many
peers.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.linux import names
from weftwork.compiler.linux.group import compile_group, members
from weftwork.compiler.linux.guard import guard_of_port
from weftwork.compiler.linux.peering import memberships_at_peers
from weftwork.compiler.linux.policy import SAME_SET, families
from weftwork.compiler.linux.remote import remote_address, way_to
from weftwork.compiler.lodging import brought_along
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.program.dhcp import DhcpBinding
from weftwork.program.linux import Family, LinkKind, Neighbour, NftChain, NftElement, PortLink
from weftwork.program.resource import Resource

_KINDS = {
    AttachmentKind.TAP: LinkKind.TAP,
    AttachmentKind.NETNS: LinkKind.VETH,
    AttachmentKind.ADOPTED: LinkKind.ADOPTED,
}


def compile_port(intent: Intent, vpc: Vpc, port: Port, profile: HostProfile) -> Iterator[Resource]:
    """`vpc` is that of the port's home."""
    subnet = intent[vpc.owner].subnets.get(port.subnet)
    if port.attachment is None or subnet is None:
        return
    project = intent[port.owner]
    if port.lender:
        for group in brought_along(vpc, project, port):
            yield from compile_group(vpc, group, profile)
    scope, leg = names.scope_of(vpc), names.leg_of(subnet, profile)
    is_remote = port.attachment.kind is AttachmentKind.REMOTE
    told = next((one for one in port.addresses if isinstance(one, IPv4Address)), None)
    for address in (one for one in port.addresses if isinstance(one, IPv4Address)):
        yield from guard_of_port(scope, port, address)
        for family in families(profile):
            yield from _policy(scope, family, project, port, str(address))
        if not port.lender:
            yield from memberships_at_peers(intent, port, str(address))
        yield Neighbour(scope, leg, address, port.mac, yields=is_remote and profile.routing is not None)
        if is_remote:
            yield from remote_address(scope, address)
        elif subnet.dhcp_enabled and address == told:
            yield DhcpBinding(scope, leg, port.mac, address, port.name)
    if port.attachment.underlay is not None:
        yield from way_to(scope, port, subnet, port.attachment.underlay, profile)
        return
    yield _device(scope, subnet, port, port.attachment, profile)


def _policy(scope: str, family: Family, project: ProjectIntent, port: Port, address: str) -> Iterator[Resource]:
    whose = port.owner if port.lender else None
    out = names.combination_chain("out", port.groups, whose)
    into = names.combination_chain("in", port.groups, whose)
    # A group that is not there allows nothing.
    groups = [str(GroupRef(group, whose)) for group in port.groups if group in project.groups]
    yield NftElement(scope, family, SAME_SET, f"{address} . {address}")
    yield NftElement(scope, family, "egress", address, names.combination_number(out))
    yield NftElement(scope, family, "ingress", address, names.combination_number(into))
    yield NftElement(scope, family, "out_policy", names.combination_number(out), f"goto {out}")
    yield NftElement(scope, family, "in_policy", names.combination_number(into), f"goto {into}")
    yield _combination(scope, family, out, [names.out_chain(group) for group in groups], "denied_out")
    yield _combination(scope, family, into, [names.in_chain(group) for group in groups], "denied_in")
    for name in port.groups:
        group = GroupRef(name, whose)
        yield members(scope, family, group)
        yield NftElement(scope, family, names.members_set(group), address)


def _combination(scope: str, family: Family, chain: str, groups: list[str], denied: str) -> NftChain:
    rules = (*(f"jump {group}" for group in groups), f'counter name "{denied}" drop')
    return NftChain(scope, family, chain, "", rules)


def _device(scope: str, subnet: Subnet, port: Port, attachment: Attachment, profile: HostProfile) -> PortLink:
    return PortLink(
        scope=scope,
        name=port.device,
        kind=_KINDS[attachment.kind],
        bridge=names.bridge_of(subnet, profile),
        mac=port.mac,
        mtu_bytes=profile.mtu_bytes,
        vlan=subnet.vlan if profile.layout == "vlan" else 0,
        peer_netns=attachment.netns,
        peer_name=attachment.interface,
    )
