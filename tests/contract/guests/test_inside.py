"""What a guest finds in itself, and its owner over SSH. One machine for all of them, on a device."""

import asyncio
import base64
import os
import pty
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from weftwork.base.errors import Refusal
from weftwork.drivers.linux import taps
from weftwork.drivers.microvm.driver import MicrovmDriver
from weftwork.drivers.microvm.qemu import WAYS
from weftwork.program.plan import Create, Delete
from weftwork.seams.guest_images import GuestImage
from weftwork.seams.guests import GuestState
from weftwork.testing.microvms import PLAIN, TestImages, guest, nic, reachable, settings_in, until
from weftwork.testing.patience import patient

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEVICE = "tap-inside"
SCRIPT = "echo from the service; echo env $COLOUR; id; exec sleep 1000"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    errors: str


@dataclass(frozen=True)
class Inside:
    """One running guest, and how to reach it as a user would."""

    driver: MicrovmDriver
    key: Path
    socket: Path
    known_hosts: Path

    def options(self, key: Path | None = None) -> list[str]:
        words = ["-F", "none", "-i", str(key or self.key), "-o", f"ProxyCommand=nc -U {self.socket}"]
        words += ["-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        return [*words, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"]

    async def ssh(self, *command: str, user: str = "root", data: bytes = b"", more: tuple[str, ...] = ()) -> Done:
        return await run("ssh", *self.options(), *more, f"{user}@web", *command, data=data)


async def run(*command: str, data: bytes = b"") -> Done:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(data), patient(30))
    assert process.returncode is not None
    return Done(process.returncode, out.decode(errors="replace"), errors.decode(errors="replace"))


@pytest.fixture(scope="module")
def device() -> Iterator[str]:
    """A TAP in this test's own network, with the gateway's address."""
    opened = taps.create(DEVICE, 4242)
    taps.persist(opened)
    os.close(opened)
    for words in (("addr", "add", "10.77.0.1/24", "dev", DEVICE), ("link", "set", DEVICE, "up")):
        subprocess.run(("ip", *words), check=True)
    yield DEVICE
    subprocess.run(("ip", "link", "delete", DEVICE), check=True)


@pytest.fixture(scope="module")
def public_key(key: Path) -> str:
    return Path(f"{key}.pub").read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(
    tmp_path_factory: pytest.TempPathFactory, boot_folder: Path, disk: Path, key: Path, public_key: str, device: str
) -> AsyncIterator[Inside]:
    folder = tmp_path_factory.mktemp("inside")
    image = GuestImage(disk, ("/bin/sh", "-c"), ("false",), ("COLOUR=red",), "/srv", "app")
    driver = MicrovmDriver(settings_in(folder / "guests", boot_folder), TestImages(image))
    public = Ed25519PrivateKey.from_private_bytes(PLAIN.host_key_seed).public_key()
    known_hosts = folder / "known_hosts"
    known_hosts.write_bytes(b"web " + public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
    web = guest(
        "web",
        command=(SCRIPT,),
        nics=(nic(device),),
        authorized_keys=(public_key,),
        disk_mib=2048,
        ssh_port=22,
    )
    assert not (await driver.apply((Create(web),))).failures
    await until(driver, "web", GuestState.RUNNING)
    async with reachable(driver, "web", folder / "ssh.sock"):
        yield Inside(driver, key, folder / "ssh.sock", known_hosts)
    await driver.apply((Delete(web),))
    await driver.close()


async def test_a_command_runs_with_its_input_its_outputs_and_its_code(inside: Inside) -> None:
    done = await inside.ssh("cat; echo to stderr >&2; exit 7", data=b"through\0it\xff" * 20_000)

    assert done.code == 7
    assert len(done.out.encode()) > 200_000 and done.out.startswith("through")
    assert done.errors == "to stderr\n"


async def test_a_host_key_is_the_one_the_control_plane_chose(inside: Inside) -> None:
    other = inside.known_hosts.with_name("other")
    wrong = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    other.write_bytes(b"web " + wrong + b"\n")

    ours = f"UserKnownHostsFile={inside.known_hosts}"
    words = [f"UserKnownHostsFile={other}" if word == ours else word for word in inside.options()]

    assert (await inside.ssh("true")).code == 0
    assert (await run("ssh", *words, "root@web", "true")).code == 255


async def test_who_has_no_key_stays_outside(inside: Inside, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger))

    done = await run("ssh", *inside.options(stranger), "root@web", "true")
    password = await inside.ssh("true", more=("-o", "PubkeyAuthentication=no"))

    assert done.code == 255 and "Permission denied (publickey)" in done.errors
    assert password.code == 255 and "Permission denied (publickey)" in password.errors


async def test_only_modern_algorithms_are_offered(inside: Inside) -> None:
    words = [word if word != "LogLevel=ERROR" else "LogLevel=DEBUG2" for word in inside.options()]

    said = (await run("ssh", *words, "root@web", "true")).errors

    offered = said.partition("peer server KEXINIT proposal")[2]
    lists = {
        line.split(": ")[1]: line.split(": ")[2].strip().split(",")
        for line in offered.splitlines()
        if line.count(": ") == 2
    }
    assert set(lists["host key algorithms"]) == {"ssh-ed25519"}
    assert set(lists["ciphers ctos"]) == set(lists["ciphers stoc"]) == {"aes128-gcm@openssh.com", "aes256-ctr"}
    assert set(lists["MACs ctos"]) == {"hmac-sha2-256"}
    assert not any("sha1" in name or "group" in name for name in lists["KEX algorithms"])


async def test_a_terminal_is_one(inside: Inside) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        "ssh",
        *inside.options(),
        "-tt",
        "root@web",
        "tty; stty size; echo $TERM",
        stdin=theirs,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "vt100"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), patient(30))
    os.close(ours)
    os.close(theirs)

    assert b"/dev/pts/" in out
    assert b"vt100" in out


async def test_files_go_in_and_out(inside: Inside, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(300_000))
    batch = f"put {sent} /root/there\nget /root/there {back}\n".encode()

    done = await run("sftp", *inside.options(), "-b", "-", "root@web", data=batch)

    assert done.code == 0, done.errors
    assert back.read_bytes() == sent.read_bytes()


async def test_another_user_has_his_own_rights(inside: Inside) -> None:
    done = await inside.ssh("id; cat /proc/self/environ | tr '\\0' '\\n'; ls /root/..", user="app")
    nobody = await inside.ssh("id", user="nobody-here")

    assert "uid=1000(app) gid=1000(app) groups=10(wheel)" in done.out
    assert "HOME=/var\n" in done.out
    assert nobody.code == 255


async def test_the_service_runs_as_the_image_says_and_is_heard_on_the_console(inside: Inside) -> None:
    async def printed() -> str:
        text = ""
        async for chunk in inside.driver.console("web", follow=True):
            text += chunk.decode()
            if "groups=" in text:
                return text
        return text

    text = await asyncio.wait_for(printed(), patient(10))

    assert "from the service\n" in text and "env red\n" in text
    assert "uid=1000(app)" in text
    processes = await inside.ssh("ps")
    assert "app      sleep 1000" in processes.out


async def test_names_and_addresses_are_those_that_were_chosen(inside: Inside) -> None:
    done = await inside.ssh("hostname; cat /etc/resolv.conf /etc/hosts; ip addr; ip route")

    assert done.out.startswith("web\nsearch red.internal\nnameserver 10.77.0.1\n")
    assert "10.77.0.2 web.red.internal web" in done.out
    assert "inet 10.77.0.2/24" in done.out and "mtu 1400" in done.out and "02:57:00:00:00:02" in done.out
    assert "default via 10.77.0.1" in done.out


async def test_its_network_works_both_ways(inside: Inside) -> None:
    to_it = await run("ping", "-c", "1", "-W", "5", "10.77.0.2")
    from_it = await inside.ssh("ping -c 1 -W 5 10.77.0.1")

    assert to_it.code == 0, to_it.out
    assert from_it.code == 0, from_it.out


async def test_ssh_listens_in_the_network_when_it_was_asked_to_and_carries_other_ports(inside: Inside) -> None:
    process = await asyncio.create_subprocess_exec(
        "ssh", *inside.options(), "-W", "10.77.0.2:22", "root@web", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    banner = await asyncio.wait_for(process.stdout.readline(), patient(20))
    process.terminate()
    await process.wait()

    assert banner.startswith(b"SSH-2.0-weft")


async def test_no_secret_is_left_where_somebody_finds_it(inside: Inside) -> None:
    seed = base64.b64encode(PLAIN.host_key_seed).decode()
    done = await inside.ssh("ls -a /; cat /proc/cmdline /proc/1/environ; cat /weft.json; ls /proc/1/root")

    assert "weft.json" not in done.out
    assert "No such file" in done.errors
    assert seed not in done.out
    initrd = list(inside.known_hosts.parent.glob("guests/web/initrd"))
    assert initrd == [], "the host keeps its secrets no longer than the start takes"


async def test_its_disk_has_the_size_that_was_asked_for(inside: Inside) -> None:
    done = await inside.ssh("cat /proc/partitions; busybox df -m / | busybox tail -1")

    assert "2097152 vda" in done.out
    assert int(done.out.split()[-5]) > 1800, done.out


async def test_its_clock_and_its_randomness_are_right_from_the_start(inside: Inside) -> None:
    done = await inside.ssh("busybox date +%s; cat /proc/sys/kernel/random/entropy_avail")
    now = await inside.ssh("busybox date +%s")
    here = await run("date", "+%s")

    assert int(done.out.split()[1]) == 256
    assert abs(int(now.out) - int(here.out)) <= 5


async def test_orphans_are_reaped_and_no_zombie_stays(inside: Inside) -> None:
    await inside.ssh("for n in 1 2 3 4 5; do (sleep 0.0$n &) ; done; sleep 0.5")

    done = await inside.ssh("cat /proc/[0-9]*/stat | busybox grep ') Z ' | busybox wc -l")

    assert done.out.strip() == "0"


async def test_more_sessions_than_ways_are_refused_and_the_ways_come_back(inside: Inside) -> None:
    streams = [await inside.driver.connect("web") for _ in range(WAYS)]
    with pytest.raises(Refusal) as refused:
        await inside.driver.connect("web")
    assert refused.value.code == "GUEST_BUSY"

    for _, writer in streams:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in streams))

    for _ in range(3):
        assert (await inside.ssh("echo again")).out == "again\n"
