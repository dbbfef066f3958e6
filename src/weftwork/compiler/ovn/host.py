"""The slice that belongs to no VPC: the external network as a switch, with the way to the physical one."""

from collections.abc import Iterator

from weftwork.compiler.ovn import names
from weftwork.compiler.settings import OvnProfile
from weftwork.program.ovn import LogicalSwitch, LogicalSwitchPort
from weftwork.program.resource import Resource


def compile_host(profile: OvnProfile) -> Iterator[Resource]:
    if profile.external is None:
        return
    yield LogicalSwitch(names.EXTERNAL_SCOPE, names.EXTERNAL_SWITCH)
    yield LogicalSwitchPort(
        scope=names.EXTERNAL_SCOPE,
        switch=names.EXTERNAL_SWITCH,
        name=names.LOCALNET,
        type="localnet",
        addresses=("unknown",),
        options=(("network_name", profile.physical_network),),
    )
