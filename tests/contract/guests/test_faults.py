"""What dies, is not there or does not come up: seen at once, told as it is, and nothing is left of it."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from weftwork.drivers.microvm import process
from weftwork.drivers.microvm.driver import MicrovmDriver
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
    (left,) = process.find(settings.folder / "web")
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
    assert process.find(settings.folder / "web") == ()


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
    assert process.find(settings.folder / "web") == ()

    await driver.apply((Delete(web),))

    assert list(settings.folder.iterdir()) == []
