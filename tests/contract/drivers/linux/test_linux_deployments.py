"""Namespaces of another deployment are a stranger's, until they are adopted."""

import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from linux_programs import EXTERNAL, PREFIX, SCOPES, external, vpc

from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.planner.plan import make_plan
from weftwork.program.linux import Namespace
from weftwork.program.plan import Delete
from weftwork.program.resource import Program

pytestmark = pytest.mark.system

OURS, THEIRS = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
SCOPE = SCOPES[0]
EVERYTHING = external() | vpc()


@pytest.fixture
def ours(guests: tuple[str, ...]) -> Iterator[LinuxDriver]:
    with closing(LinuxDriver(PREFIX, deployment=OURS)) as driver:
        yield driver


@pytest.fixture
def theirs(guests: tuple[str, ...]) -> Iterator[LinuxDriver]:
    with closing(LinuxDriver(PREFIX, deployment=THEIRS)) as driver:
        yield driver


async def make(driver: LinuxDriver, desired: Program) -> None:
    applied = await driver.apply(make_plan(desired=desired, observed=await driver.observe()))
    assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}
    assert await driver.observe() == desired


async def test_another_deployment_sees_nothing_makes_nothing_and_deletes_nothing(
    ours: LinuxDriver, theirs: LinuxDriver
) -> None:
    await make(theirs, EVERYTHING)

    assert await ours.observe() == frozenset()
    applied = await ours.apply(make_plan(desired=EVERYTHING, observed=frozenset()))
    codes = {failure.code for failure in applied.failures.values()}
    assert set(applied.failures) == {one.key for one in EVERYTHING} and codes == {"NAMESPACE_NAME_TAKEN"}
    assert f"deployment {THEIRS}'s" in str(applied.failures[Namespace(SCOPE, "").key])
    await ours.apply(tuple(Delete(one) for one in EVERYTHING))
    assert await theirs.observe() == EVERYTHING

    await make(theirs, frozenset())


async def test_who_adopts_finds_all_of_it_and_the_other_nothing(ours: LinuxDriver, theirs: LinuxDriver) -> None:
    await make(theirs, EVERYTHING)
    assert await ours.standing() == {THEIRS: {SCOPE, EXTERNAL}}

    await ours.adopt(frozenset({"cccccccccccc"}))
    assert await theirs.observe() == EVERYTHING
    await ours.adopt(frozenset({THEIRS}))

    assert await ours.standing() == {OURS: {SCOPE, EXTERNAL}}
    assert await theirs.observe() == frozenset()
    assert await ours.observe() == EVERYTHING
    await make(ours, frozenset())


async def test_what_is_from_before_deployments_is_nobodys_until_adopted(ours: LinuxDriver) -> None:
    with closing(LinuxDriver(PREFIX)) as former:
        await make(former, EVERYTHING)
    assert "alias weftwork vpc" in loopback()

    assert await ours.observe() == frozenset()
    assert await ours.standing() == {"": {SCOPE, EXTERNAL}}
    await ours.adopt(frozenset({""}))
    await make(ours, EVERYTHING)
    await make(ours, frozenset())


def loopback() -> str:
    return subprocess.run(["ip", "-n", SCOPE, "link", "show", "lo"], check=True, capture_output=True, text=True).stdout


async def test_a_name_that_another_deployment_never_mounted_is_its_own(ours: LinuxDriver, theirs: LinuxDriver) -> None:
    namespaces.prepare_folder()
    namespaces._make_marked_file(namespaces.path_of(SCOPE), THEIRS)

    assert await ours.observe() == frozenset()
    await ours.apply((Delete(Namespace(SCOPE, "")),))
    assert await ours.standing() == {THEIRS: {SCOPE}}
    assert await theirs.observe() == {Namespace(SCOPE, "")}

    await ours.adopt(frozenset({THEIRS}))
    assert await ours.observe() == {Namespace(SCOPE, "")}
    await make(ours, frozenset())
