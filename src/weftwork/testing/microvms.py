"""What tests boot: Debian's kernel, our init, a tiny image around busybox, and a driver that keeps its guests here."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from weftwork.base.addresses import Mac
from weftwork.base.errors import Failure
from weftwork.drivers.microvm import boot_files
from weftwork.drivers.microvm.settings import GuestSettings
from weftwork.images.disk import make_ext4
from weftwork.program.guest import Guest, GuestNic
from weftwork.seams.guest_images import GuestImage
from weftwork.seams.guests import GuestHost, GuestState, GuestStatus
from weftwork.testing.patience import patient

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
IMAGE = f"sha256:{'1' * 64}"
_FOLDERS = ("bin", "sbin", "etc", "root", "tmp", "var", "usr")
_BUSYBOX = "/bin/busybox"
_APPLETS = ("sh", "cat", "echo", "sleep", "ls", "ip", "id", "hostname", "stty", "ps", "kill", "ping", "tty", "tr")
_SPARE_BYTES = 16 << 20


def guest_init() -> Path:
    """Built when its source changed; Go and its Debian packages must be there."""
    subprocess.run([sys.executable, REPOSITORY / "tools" / "build_guest.py"], check=True)
    return REPOSITORY / "build" / "guest" / "init"


def kernel_root() -> tuple[Path, str]:
    """Where a Debian kernel lies unpacked, and its release: what other tests fetched, else our own."""
    ready = sorted((CACHE / "weftwork-stock-kernel").glob("kernel-*/ready"), key=lambda path: path.stat().st_mtime)
    if ready:
        return ready[-1].parent, ready[-1].parent.name.removeprefix("kernel-")
    release = boot_files.fetch(CACHE / "weftwork-guest-kernel")
    return CACHE / "weftwork-guest-kernel" / f"package-{release}", release


def settings_in(folder: Path, boot_folder: Path) -> GuestSettings:
    root, release = kernel_root()
    return GuestSettings(
        folder=folder,
        boot_folder=boot_folder,
        init=guest_init(),
        kernel_root=root,
        kernel_release=release,
        accelerator="tcg",
        boot_s=patient(60),
        stop_grace_s=3,
        restart_first_s=0.05,
    )


async def busybox_disk(folder: Path) -> Path:
    """A root file system with one program of many names, and a user who is not root."""
    tree = folder / "tree"
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True)
    shutil.copy(_BUSYBOX, tree / "bin" / "busybox")
    for applet in _APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "sbin" / "init").symlink_to("../bin/busybox")
    (tree / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/var:/bin/sh\n")
    (tree / "etc" / "group").write_text("root:x:0:\napp:x:1000:\nwheel:x:10:app\n")
    (tree / "etc" / "resolv.conf").symlink_to("/run/nowhere/resolv.conf")
    disk = folder / "busybox.ext4"
    await make_ext4(tree, disk, name="1" * 64, entries=64, size_bytes=4 << 20, spare_bytes=_SPARE_BYTES)
    return disk


@dataclass
class TestImages:
    """One image of one disk; `there` says whether a host has it."""

    __test__ = False
    image: GuestImage
    there: bool = True

    def find(self, manifest: str) -> GuestImage:
        if manifest != IMAGE or not self.there:
            raise Failure("IMAGE_NOT_HERE", f"{manifest} is not on this host")
        return self.image


def nic(device: str, address: str = "10.77.0.2/24", *, last: int = 2) -> GuestNic:
    return GuestNic(
        port=f"port-{device}",
        device=device,
        mac=Mac(f"02:57:00:00:00:{last:02x}"),
        address=IPv4Interface(address),
        gateway=IPv4Address("10.77.0.1"),
        dns_servers=(IPv4Address("10.77.0.1"),),
        domain="red.internal",
        mtu_bytes=1400,
    )


PLAIN = Guest(
    id="",
    scope="",
    hostname="web",
    vcpus=1,
    memory_mib=128,
    disk_mib=64,
    image=IMAGE,
    nics=(),
    command=(),
    environment=(),
    authorized_keys=(),
    host_key_seed=bytes(range(32)),
    restart="never",
    running=True,
    run=1,
)


def guest(identity: str, **changes: object) -> Guest:
    return replace(PLAIN, id=identity, **changes)  # type: ignore[arg-type]


async def until(host: GuestHost, identity: str, *states: GuestState, timeout_s: float = 60) -> GuestStatus:
    """The first status in one of these states; AssertionError with what there was instead."""
    seen: GuestStatus | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patient(timeout_s)):
            async for name, status in host.changes():
                if name == identity:
                    seen = status
                    if status is not None and status.state in states:
                        return status
    raise AssertionError(f"{identity} is {seen}, not one of {[state.value for state in states]}")


@contextlib.asynccontextmanager
async def reachable(host: GuestHost, identity: str, path: Path) -> AsyncIterator[None]:
    """The guest's SSH at a socket of this machine, as `ProxyCommand nc -U` wants it."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await host.connect(identity)
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))

    server = await asyncio.start_unix_server(relay, path)
    async with server:
        yield


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
