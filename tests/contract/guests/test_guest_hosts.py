"""What every host of guests owes to who stands on it: the driver with real machines, and the one in memory."""

from dataclasses import replace
from typing import Protocol

import pytest

from weftwork.base.errors import Refusal
from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete, Replace
from weftwork.seams.driver import Driver
from weftwork.seams.guests import GuestHost, GuestState
from weftwork.testing.memory_guests import MemoryGuests
from weftwork.testing.microvms import guest, until


class Host(Driver, GuestHost, Protocol):
    pass


@pytest.fixture(params=["machines", "memory"])
async def host(request: pytest.FixtureRequest, driver: MicrovmDriver) -> Host:
    return driver if request.param == "machines" else MemoryGuests()


async def test_a_guest_is_observed_as_it_was_asked_for_and_runs(host: Host) -> None:
    web = guest("web")

    assert not (await host.apply((Create(web),))).failures

    assert await host.observe() == {web}
    status = await until(host, "web", GuestState.RUNNING)
    assert (status.run, status.code) == (1, "")

    stopped = replace(web, running=False)
    assert not (await host.apply((Replace(web, stopped),))).failures

    assert (await until(host, "web", GuestState.STOPPED)).code == ""
    assert await host.observe() == {stopped}

    again = replace(web, run=2)
    assert not (await host.apply((Replace(stopped, again),))).failures

    # Who is slow misses steps, says the seam; the host in memory boots at once, a machine does not.
    first = GuestState.BOOTING if isinstance(host, MicrovmDriver) else GuestState.RUNNING
    assert (await until(host, "web", first)).run == 2

    assert not (await host.apply((Delete(again),))).failures

    assert await host.observe() == frozenset()
    assert host.status("web") is None


async def test_a_guest_that_is_not_to_run_is_there_and_does_not(host: Host) -> None:
    web = guest("web", running=False)

    assert not (await host.apply((Create(web),))).failures

    assert await host.observe() == {web}
    status = host.status("web")
    assert status is None or status.state is GuestState.STOPPED
    with pytest.raises(Refusal) as refused:
        await host.connect("web")
    assert refused.value.code in ("GUEST_NOT_RUNNING", "GUEST_NOT_HERE")


async def test_what_is_not_here_is_neither_read_nor_reached(host: Host) -> None:
    await host.observe()

    assert host.status("other") is None
    with pytest.raises(Refusal) as refused:
        await host.connect("other")
    assert refused.value.code == "GUEST_NOT_HERE"
    with pytest.raises(Refusal) as refused:
        async for _ in host.console("other"):
            pass
    assert refused.value.code == "GUEST_NOT_HERE"


async def test_a_scope_holds_its_own_guests_only(host: Host) -> None:
    red: Guest = guest("red", scope="vpc-red", running=False)
    blue: Guest = guest("blue", scope="vpc-blue", running=False)
    await host.apply((Create(red), Create(blue)))

    assert await host.observe(frozenset({"vpc-red"})) == {red}
    assert await host.observe(frozenset({"vpc-green"})) == frozenset()

    await host.apply((Delete(red),))

    assert await host.observe() == {blue}
