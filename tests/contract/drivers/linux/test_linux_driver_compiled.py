"""What the compiler makes is what the kernel can hold: programs of whole histories of edits, applied and read back."""

import asyncio
import subprocess
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from linux_programs import PREFIX

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import affected_by
from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.probe import probe
from weftwork.model.intent import Intent
from weftwork.planner.plan import make_plan
from weftwork.program.linux import LinuxResource, PortLink, Uplink
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make

pytestmark = pytest.mark.system

PROFILE = HostProfile(filter_mode=probe().filter_modes[0], external=make.EXTERNAL)
NOTHING: Program = frozenset()


def of_this_test(resource: Resource) -> LinuxResource | None:
    """The same resource in a namespace of this test run; None for what another driver serves (DHCP)."""
    if not isinstance(resource, LinuxResource):
        return None
    moved = replace(resource, scope=PREFIX + resource.scope)
    match moved:
        case Uplink():
            return replace(moved, peer_scope=PREFIX + moved.peer_scope)
        case PortLink() if moved.peer_netns:
            return replace(moved, peer_netns=PREFIX + "far-" + moved.peer_netns)
    return moved


def program_of(assembly: Assembly) -> Program:
    return frozenset(one for one in map(of_this_test, assembly.program()) if one)


def make_guests(program: Program) -> None:
    for name in {one.peer_netns for one in program if isinstance(one, PortLink) and one.peer_netns}:
        if name not in namespaces.names():
            subprocess.run(["ip", "netns", "add", name], check=True)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=make.histories(length_max=12))
def test_after_each_edit_the_kernel_holds_the_program(guests: tuple[str, ...], history: tuple[make.Edit, ...]) -> None:
    async def story(driver: LinuxDriver) -> None:
        intent: Intent = {}
        assembly = Assembly()
        assembly.replace_slices({("host",): compile_slice(intent, ("host",), PROFILE)})
        for edit in history:
            edit.apply(intent)
            assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in affected_by(edit.key, intent)})
            desired = program_of(assembly)
            make_guests(desired)
            observed = await driver.observe()
            applied = await driver.apply(make_plan(desired=desired, observed=observed))
            assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}
            assert await driver.observe() == desired
        await driver.apply(make_plan(desired=NOTHING, observed=await driver.observe()))
        assert await driver.observe() == NOTHING

    async def whole() -> None:
        driver = LinuxDriver(PREFIX)
        try:
            async with asyncio.timeout(120):
                await story(driver)
        finally:
            driver.close()

    asyncio.run(whole())
