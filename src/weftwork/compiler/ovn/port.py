"""A port's slice: its place on the switch, the groups it is a member of, and its device on the chassis.

A port without an attachment has an empty slice: nobody can speak with it, and no group holds its address. A port in
another project's subnet brings its groups along: they stand in that VPC, and among its policies, while a port with them
does.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.lodging import brought_along
from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.group import compile_group
from weftwork.compiler.ovn.network_policy import compile_allowed
from weftwork.compiler.settings import OvnProfile
from weftwork.model.intent import Intent
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef
from weftwork.model.vpc import Vpc
from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind
from weftwork.program.ovn import LogicalSwitchPort, PortGroup, PortGroupMember
from weftwork.program.resource import Resource


def compile_port(intent: Intent, vpc: Vpc, port: Port, profile: OvnProfile) -> Iterator[Resource]:
    """`vpc` is that of the port's home."""
    subnet, attachment = intent[vpc.owner].subnets.get(port.subnet), port.attachment
    address = next((one for one in port.addresses if isinstance(one, IPv4Address)), None)
    if attachment is None or subnet is None or address is None:
        return
    scope, name, switch = names.scope_of(vpc), names.port_of(vpc, port), names.switch_of(vpc, subnet)
    own = f"{port.mac} {address}"
    yield LogicalSwitchPort(
        scope=scope,
        switch=switch,
        name=name,
        addresses=(own,),
        port_security=(own,),
        options=(("hostname", f'"{port.name}"'),) if subnet.dhcp_enabled and port.name else (),
        dhcp=switch if subnet.dhcp_enabled else "",
    )
    for group in port.groups:
        known = names.group_of(vpc, str(GroupRef(group, port.lender and port.owner)))
        yield PortGroup(scope, known)
        yield PortGroupMember(scope, known, name)
    if port.lender:
        brought = tuple(brought_along(vpc, intent[port.owner], port))
        for one in brought:
            yield from compile_group(intent, vpc, one)
        yield from compile_allowed(intent, vpc, brought)
    if profile.has_chassis:
        yield _plug(port, attachment, scope, name, profile)


def _plug(port: Port, attachment: Attachment, scope: str, name: str, profile: OvnProfile) -> ChassisPort:
    return ChassisPort(
        scope=scope,
        name=port.device,
        kind=LinkKind.TAP if attachment.kind is AttachmentKind.TAP else LinkKind.VETH,
        iface_id=name,
        mac=port.mac,
        mtu_bytes=profile.mtu_bytes,
        peer_netns=attachment.netns,
        peer_name=attachment.interface,
    )
