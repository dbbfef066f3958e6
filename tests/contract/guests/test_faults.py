"""What dies, is not there or does not come up: seen at once, told as it is, and nothing is left of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from weftwork.drivers.microvm import process
from weftwork.drivers.microvm.cgroups import Cgroups, Limits
from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.drivers.microvm.home import Home
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete
from weftwork.program.resource import Key
from weftwork.seams.guest_images import GuestImage
from weftwork.seams.guests import GuestState
from weftwork.testing.microvms import TestImages, guest, nic, until

Become = Callable[[Guest | None, Guest | None], Awaitable[frozenset[Key]]]


def _pid(driver: MicrovmDriver) -> int:
    status = driver.status("web")
    assert status is not None and status.pid is not None
    return status.pid


async def test_a_machine_monitor_that_is_killed_is_seen_and_told(driver: MicrovmDriver, become: Become) -> None:
    web = guest("web")
    await become(None, web)

    os.kill(_pid(driver), signal.SIGKILL)

    status = await until(driver, "web", GuestState.ERROR, timeout_s=5)
    assert (status.code, status.pid) == ("GUEST_CRASHED", None)
    assert await driver.observe() == {web}, "who does not want it restarted finds it as it is"


async def test_a_guest_that_is_to_go_on_is_started_anew(driver: MicrovmDriver, become: Become) -> None:
    await become(None, guest("web", restart="on-failure"))
    before = _pid(driver)

    os.kill(before, signal.SIGKILL)

    await until(driver, "web", GuestState.ERROR, timeout_s=5)
    status = await until(driver, "web", GuestState.BOOTING)
    assert status.restarts == 1
    assert status.pid != before


def running(settings: GuestSettings) -> tuple[process.Process, ...]:
    home = Home(settings.folder / "web")
    return process.find(home.folder, home.uid)


async def test_a_guest_survives_its_agent_and_the_next_one_takes_it_over(
    driver: MicrovmDriver, settings: GuestSettings, boot_folder: Path, disk: Path
) -> None:
    script = Path(__file__).with_name("agent_to_kill.py")
    agent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(settings.folder), str(boot_folder), str(disk), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    assert await agent.stdout.readline() == b"started\n"
    agent.kill()
    await agent.wait()
    (left,) = running(settings)
    os.close(left.pidfd)

    assert await driver.observe() == {guest("web")}

    status = await until(driver, "web", GuestState.RUNNING)
    assert status.pid == left.pid
    reader, writer = await driver.connect("web")
    assert (await reader.readline()).startswith(b"SSH-2.0-")
    writer.close()

    again = MicrovmDriver(settings, TestImages(GuestImage(disk)))
    await driver.close()
    await again.observe()
    assert (await until(again, "web", GuestState.RUNNING, timeout_s=5)).pid == left.pid
    await again.apply((Delete(guest("web")),))
    await again.close()
    assert running(settings) == ()


@pytest.mark.parametrize(("uid", "is_found"), [(process.FIRST_UID + 7, True), (process.FIRST_UID + 8, False)])
def test_another_guest_s_machine_that_takes_this_one_s_name_is_not_taken_for_it(
    tmp_path: Path, uid: int, is_found: bool
) -> None:
    rights = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    command = [*rights, "sh", "-c", "echo; read line", f"guest=weft:{tmp_path}:9"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as posing:
        assert posing.stdin is not None and posing.stdout is not None
        posing.stdout.readline()

        found = process.find(tmp_path, process.FIRST_UID + 7)

        assert [one.pid for one in found] == ([posing.pid] if is_found else [])
        for one in found:
            os.close(one.pidfd)
        posing.stdin.close()


async def test_a_guest_that_an_agent_left_without_limits_gets_them(
    driver: MicrovmDriver, become: Become, settings: GuestSettings, images: TestImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[str, int, Limits]] = []

    def hold(_: Cgroups, name: str, pid: int, limits: Limits) -> str:
        held.append((name, pid, limits))
        return ""

    await become(None, guest("web"))
    pid = _pid(driver)
    await driver.close()
    monkeypatch.setattr(Cgroups, "hold", hold)

    after = MicrovmDriver(settings, images)
    await after.observe()
    await until(after, "web", GuestState.BOOTING, GuestState.RUNNING)

    assert held == [("web", pid, Limits(1, 128))]
    await after.apply((Delete(guest("web")),))
    await after.close()


async def test_a_guest_that_died_while_nobody_looked_is_not_said_to_run(
    driver: MicrovmDriver, become: Become, settings: GuestSettings, images: TestImages
) -> None:
    await become(None, guest("web"))
    pid = _pid(driver)
    await driver.close()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, pid, 0)

    after = MicrovmDriver(settings, images)
    await after.observe()

    assert (await until(after, "web", GuestState.ERROR, timeout_s=5)).code == "GUEST_CRASHED"
    await after.close()


async def test_a_disk_without_a_file_system_is_an_error_and_never_runs(
    driver: MicrovmDriver, become: Become, images: TestImages, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    with empty.open("wb") as file:
        file.truncate(1 << 20)
    images.image = replace(images.image, disk=empty)
    seen = []

    async def watch() -> None:
        async for _, status in driver.changes():
            seen.append(status.state if status else None)

    watching = asyncio.create_task(watch())
    await become(None, guest("web"))

    status = await until(driver, "web", GuestState.ERROR)
    watching.cancel()
    assert status.code == "GUEST_BOOT_FAILED"
    assert "root file system" in status.why
    assert GuestState.RUNNING not in seen


async def test_what_a_guest_lacks_is_told_and_tried_again(
    driver: MicrovmDriver, become: Become, images: TestImages, settings: GuestSettings
) -> None:
    images.there = False
    web = guest("web")

    failures = (await driver.apply((Create(web),))).failures

    assert failures[web.key].code == "IMAGE_NOT_HERE"
    assert await driver.observe() != {web}, "so the loop has something to do"

    images.there = True
    assert not await become(web, web)
    assert await driver.observe() == {web}


async def test_a_port_without_its_device_keeps_a_guest_from_starting(
    driver: MicrovmDriver, settings: GuestSettings
) -> None:
    web = guest("web", nics=(nic("tap-nobody"),))

    failures = (await driver.apply((Create(web),))).failures

    assert failures[web.key].code == "LINK_MISSING"
    assert running(settings) == ()

    await driver.apply((Delete(web),))

    assert list(settings.folder.iterdir()) == []
