"""Intents of any size, compiled as the controller does, and a driver that makes this machine hold them."""

import asyncio
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import get_args

from weftwork.apps.backends import host_profile
from weftwork.apps.settings import Settings
from weftwork.base.addresses import Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.probe import probe
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef, Protocol, Rule, SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.planner.plan import make_plan
from weftwork.program.linux import LinuxResource
from weftwork.program.resource import Program

TAP = Attachment(AttachmentKind.TAP)
ANYWHERE = IPv4Network("0.0.0.0/0")
_KINDS = get_args(LinuxResource)


def profile() -> HostProfile:
    """What a node with default settings uses on this machine."""
    return host_profile(Settings(), probe())


def project(number: int, ports: Sequence[Port], groups: Iterable[SecurityGroup] = ()) -> ProjectIntent:
    """A VPC 10.0.0.0/16 with the subnet `default`, 10.0.0.0/20, and the group `default`, whose members may talk."""
    owner = owner_of(number)
    made = ProjectIntent(vpc=Vpc(owner, "vpc", IPv4Network("10.0.0.0/16"), 1000 + number, 0, 0))
    made.subnets["default"] = subnet(number, "default", "10.0.0.0/20", vlan=1)
    within = Rule(Protocol.ALL, None, GroupRef("default"))
    standard = SecurityGroup(owner, "default", "", (within,), (Rule(Protocol.ALL, None, ANYWHERE),), 0)
    made.groups = {group.name: group for group in (standard, *groups)}
    made.ports = {port.id: port for port in ports}
    return made


def owner_of(number: int) -> ProjectKey:
    return ProjectKey("bench", f"p{number}")


def subnet(project_number: int, name: str, cidr: str, *, vlan: int) -> Subnet:
    network = IPv4Network(cidr)
    return Subnet(owner_of(project_number), name, network, network[1], vlan, True, (), "", (), 3600, 0)


def port(
    project_number: int,
    number: int,
    groups: tuple[str, ...] = ("default",),
    attachment: Attachment = TAP,
    *,
    subnet: str = "default",
) -> Port:
    """The `number`th of its VPC: 10.0.0.0 + 10 + number in `default`, 10.0.32.0 + 10 + number in any other."""
    first = IPv4Address("10.0.0.10" if subnet == "default" else "10.0.32.10")
    return Port(
        owner=owner_of(project_number),
        id=f"{project_number:04x}{number:04x}-{number:04x}-4000-8000-{number:012x}",
        name=f"port{number}",
        subnet=subnet,
        vm=f"vm{number}",
        mac=Mac("02:57:" + number.to_bytes(4, "big").hex(":")),
        addresses=(first + number,),
        groups=groups,
        attachment=attachment,
        created_at=0,
    )


def many_projects(projects: int, ports: int) -> Intent:
    """`ports` TAPs in each of `projects` VPCs, all with the same addresses."""
    return {
        owner_of(number): project(number, [port(number, one) for one in range(ports)]) for number in range(projects)
    }


def compiled(intent: Intent, how: HostProfile) -> Program:
    """What the Linux driver has to hold; DHCP is another driver's."""
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, how) for one in slices_of(intent)})
    return frozenset(resource for resource in assembly.program() if isinstance(resource, _KINDS))


def make_it_so(program: Program) -> None:
    """As the agent does it: observe, plan, apply."""

    async def run() -> None:
        driver = LinuxDriver()
        try:
            plan = make_plan(desired=program, observed=await driver.observe())
            failures = (await driver.apply(plan)).failures
            assert not failures, next(iter(failures.items()))
        finally:
            driver.close()

    asyncio.run(run())


def observed() -> Program:
    async def run() -> Program:
        driver = LinuxDriver()
        try:
            return await driver.observe()
        finally:
            driver.close()

    return asyncio.run(run())


def remove_namespace(name: str) -> None:
    """Whatever is in it, ours or not."""
    namespaces.remove(name)
