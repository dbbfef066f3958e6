"""A port's slice: its place on the switch, the groups it is a member of, and its device on the chassis.

A port without an attachment has an empty slice: nobody can speak with it, and no group holds its address.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.compiler.ovn import names
from weftwork.compiler.settings import OvnProfile
from weftwork.model.intent import Intent
from weftwork.model.port import AttachmentKind, Port
from weftwork.model.vpc import Vpc
from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind
from weftwork.program.ovn import LogicalSwitchPort, PortGroup, PortGroupMember
from weftwork.program.resource import Resource


def compile_port(intent: Intent, vpc: Vpc, port: Port, profile: OvnProfile) -> Iterator[Resource]:
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
    yield PortGroupMember(scope, names.everyone(vpc), name)
    for group in port.groups:
        yield PortGroup(scope, names.group_of(vpc, group))
        yield PortGroupMember(scope, names.group_of(vpc, group), name)
    yield ChassisPort(
        scope=scope,
        name=port.device,
        kind=LinkKind.TAP if attachment.kind is AttachmentKind.TAP else LinkKind.VETH,
        iface_id=name,
        mac=port.mac,
        mtu_bytes=profile.mtu_bytes,
        peer_netns=attachment.netns,
        peer_name=attachment.interface,
    )
