"""A driver whose guests are real: emulated machines with Debian's kernel and our init, and a disk with busybox."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.program.guest import Guest
from weftwork.program.plan import Create, Delete, Replace
from weftwork.program.resource import Key
from weftwork.seams.guest_images import GuestImage
from weftwork.testing.microvms import TestImages, busybox_disk, settings_in


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(busybox_disk(tmp_path_factory.mktemp("disk")))


@pytest.fixture(scope="session")
def boot_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boot")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's private key; the public one is beside it."""
    path = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def settings(tmp_path: Path, boot_folder: Path) -> GuestSettings:
    return settings_in(tmp_path / "guests", boot_folder)


@pytest.fixture
def images(disk: Path) -> TestImages:
    return TestImages(GuestImage(disk, command=("/bin/sleep", "1000")))


@pytest.fixture
async def driver(settings: GuestSettings, images: TestImages) -> AsyncIterator[MicrovmDriver]:
    made = MicrovmDriver(settings, images)
    yield made
    for guest in await made.observe():
        assert isinstance(guest, Guest)
        await made.apply((Delete(guest),))
    await made.close()


Become = Callable[[Guest | None, Guest | None], Awaitable[frozenset[Key]]]


@pytest.fixture
def become(driver: MicrovmDriver) -> Become:
    """Make it what it is to be, from what it was; the keys of what failed."""

    async def act(old: Guest | None, new: Guest | None) -> frozenset[Key]:
        if new is None:
            assert old is not None
            return frozenset((await driver.apply((Delete(old),))).failures)
        step = Replace(old, new) if old else Create(new)
        return frozenset((await driver.apply((step,))).failures)

    return act
