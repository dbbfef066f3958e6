"""What is decided before a guest is started, without starting one."""

import asyncio
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.actions.vm_words import DISK_MIB_RANGE
from weftwork.base.errors import Failure
from weftwork.drivers.microvm import boot_files, cpio, kernel, qcow2, qemu
from weftwork.drivers.microvm.cgroups import Cgroups, Limits
from weftwork.drivers.microvm.console import KEPT_BYTES, Console
from weftwork.drivers.microvm.control import Report, parse_report
from weftwork.drivers.microvm.init_config import init_config
from weftwork.drivers.microvm.kernel import elf_of
from weftwork.seams.guest_images import GuestImage
from weftwork.testing.microvms import guest, nic

MIB = 1 << 20

IMAGE = GuestImage(Path("/disk"), ("/entry",), ("default",), ("A=image", "B=image"), "/srv", "app")


def _config(**changes: object) -> dict[str, object]:
    made = init_config(guest("web", **changes), IMAGE, entropy=b"r" * 64, time_ns=7)
    decoded: dict[str, object] = json.loads(made)
    return decoded


def test_a_command_takes_the_place_of_the_images_behind_its_entry_point() -> None:
    assert _config()["command"] == ["/entry", "default"]
    assert _config(command=("mine", "x"))["command"] == ["/entry", "mine", "x"]


def test_what_the_user_sets_comes_behind_what_the_image_sets_and_so_wins() -> None:
    assert _config(environment=(("A", "user"),))["env"] == ["A=image", "B=image", "A=user"]


def test_a_guest_is_told_its_network_as_it_was_chosen() -> None:
    said = _config(nics=(nic("tap1"), replace(nic("tap2", "10.78.0.2/16", last=3), gateway=None)))

    assert said["nics"] == [
        {"mac": "02:57:00:00:00:02", "address": "10.77.0.2/24", "gateway": "10.77.0.1", "mtu": 1400},
        {"mac": "02:57:00:00:00:03", "address": "10.78.0.2/16", "gateway": "", "mtu": 1400},
    ]
    assert said["dns"] == ["10.77.0.1"]


def test_no_secret_of_a_guest_is_in_a_command_line() -> None:
    machine = qemu.Machine(
        name="weft:/guests/web:1",
        vcpus=2,
        memory_mib=256,
        kernel=Path("vmlinux"),
        initrd=Path("initrd"),
        overlay=Path("disk"),
        base=9,
        cards=(qemu.Card("02:57:00:00:00:02", 10, 1400),),
        listeners={name: 11 + number for number, name in enumerate(qemu.LISTENERS)},
    )

    words = qemu.command(machine, qemu.Accelerator(kvm=False, tsc_khz=2_500_000))

    assert "-sandbox" in words
    assert not any("host_key" in word or "authorized" in word for word in words)
    assert "tap,id=n0,fd=10" in words, "the device is handed over open: nothing is looked for by name"
    append = words[words.index("-append") + 1]
    assert "tsc_early_khz=2500000" in append and "tsc=reliable" in append, "without these it hangs under load"


@given(st.integers(1, qcow2.SIZE_MAX_BYTES // MIB - 1).map(lambda mib: mib * MIB))
@settings(max_examples=50, deadline=None)
def test_an_empty_overlay_has_the_size_asked_for_and_none_of_its_own(size: int) -> None:
    made = qcow2.empty(size)

    magic, version = struct.unpack_from(">4sI", made)
    assert (magic, version) == (b"QFI\xfb", 3)
    assert struct.unpack_from(">Q", made, 24) == (size,)
    assert len(made) <= 8 * 65536, "however large the disk is"
    assert qcow2.grown(made[: qcow2.HEADER_BYTES], size) == b""
    larger = qcow2.grown(made[: qcow2.HEADER_BYTES], size + (1 << 20))
    assert larger == qcow2.empty(size + (1 << 20))[: qcow2.HEADER_BYTES]


def test_no_vm_may_have_a_disk_that_cannot_grow_in_place() -> None:
    assert max(DISK_MIB_RANGE) * MIB <= qcow2.SIZE_MAX_BYTES


def test_an_archive_is_what_the_kernel_reads() -> None:
    made = cpio.archive([cpio.folder("a"), cpio.file("a/b", b"text", 0o600), cpio.character_device("c", 5, 1)])

    assert len(made) % 512 == 0
    names = []
    at = 0
    while made[at : at + 6] == b"070701":
        fields = [int(made[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = made[at + 110 : at + 110 + fields[11] - 1].decode()
        names.append((name, fields[1], fields[6]))
        at += -(-(110 + fields[11]) // 4) * 4 + -(-fields[6] // 4) * 4
    assert names == [("a", 0o040755, 0), ("a/b", 0o100600, 4), ("c", 0o020600, 0), ("TRAILER!!!", 0, 0)]


@pytest.mark.parametrize("image", [b"", b"\0" * 100, b"\0" * 4096, b"MZ" + b"\xff" * 4096])
def test_what_is_no_kernel_is_a_failure_that_says_so(image: bytes) -> None:
    with pytest.raises(Failure) as failed:
        elf_of(image)
    assert failed.value.code == "KERNEL_UNUSABLE"


@given(
    st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
)
@settings(max_examples=100, deadline=None)
def test_no_line_of_a_guest_harms_its_host(line: bytes | str) -> None:
    said = parse_report(line if isinstance(line, bytes) else line.encode())

    assert said is None or isinstance(said, Report)


def test_a_report_is_read_as_it_is_written() -> None:
    line = b'{"run":"running","service":"exited","exit_code":3,"starts":2}'

    assert parse_report(line) == Report("running", "exited", 3, 2)
    assert parse_report(b'{"run":"running","exit_code":"x"}') is None
    assert parse_report(b'{"run":["running"]}') is None
    assert parse_report(b"[" * 100000) is None


async def test_a_guest_that_prints_without_end_fills_no_disk(tmp_path: Path) -> None:
    console = Console(tmp_path)
    for _ in range(50):
        console.append(b"x" * 100_000)
    console.append(b"the end")

    kept = b"".join([chunk async for chunk in console.read(follow=False)])

    assert KEPT_BYTES <= len(kept) <= 2 * KEPT_BYTES
    assert kept.endswith(b"the end")
    assert not any(_others_may_read(tmp_path))


def _others_may_read(folder: Path) -> list[int]:
    return [path.stat().st_mode & 0o077 for path in folder.iterdir()]


async def test_who_follows_a_console_is_told_when_it_ends(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.append(b"before")
    seen = []

    async def follow() -> None:
        async for chunk in console.read(follow=True):
            seen.append(chunk)
            if chunk == b"before":
                console.append(b"after")
                console.end()

    await asyncio.wait_for(follow(), 5)

    assert seen == [b"before", b"after"]


@pytest.mark.parametrize("version", [1, 2])
def test_limits_are_written_as_this_machine_has_them(tmp_path: Path, version: int) -> None:
    if version == 2:
        (tmp_path / "cgroup.controllers").write_text("cpu memory pids io")
    else:
        for name in ("cpu", "memory", "pids"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "cgroup.procs").touch()
    groups = Cgroups(tmp_path)

    assert groups.version == version
    assert groups.hold("web", 77, Limits(2, 512)) == ""

    written = {path.name: path.read_text() for path in tmp_path.rglob("web/*")}
    assert written["cgroup.procs"] == "77"
    assert str((512 + 256) << 20) in written.values()
    assert ("225000 100000" if version == 2 else "225000") in written.values()


def test_groups_that_nobody_is_in_are_swept_away(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "pids"):
        (tmp_path / name / "weftwork-guests" / "left").mkdir(parents=True)
        (tmp_path / name / "weftwork-guests" / "used" / "task").mkdir(parents=True)
        (tmp_path / name / "cgroup.procs").touch()

    Cgroups(tmp_path).sweep()

    assert {path.name for path in tmp_path.glob("*/weftwork-guests/*")} == {"used"}


def test_nothing_is_left_of_groups_when_nobody_is_in_any(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "pids"):
        (tmp_path / name / "weftwork-guests" / "left").mkdir(parents=True)
        (tmp_path / name / "cgroup.procs").touch()

    Cgroups(tmp_path).sweep()

    assert list(tmp_path.glob("*/weftwork-guests")) == []


@pytest.mark.parametrize("said_first", [True, False])
def test_the_package_that_names_the_newest_kernel_is_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said_first: bool
) -> None:
    names = [boot_files.PACKAGE, "linux-image-6.1.0-56-cloud-amd64"]
    fetched: list[str] = []

    def apt(command: list[str], folder: Path) -> str:
        if command[0] == "apt-get":
            fetched.append(command[-1])
            (folder / "kernel.deb").touch()
        if command[0] == "dpkg-deb":
            Path(command[-1]).mkdir()
        return "\n".join(names if said_first else names[::-1])

    monkeypatch.setattr(boot_files, "_run", apt)

    assert boot_files.fetch(tmp_path) == "6.1.0-56-cloud-amd64"
    assert fetched == ["linux-image-6.1.0-56-cloud-amd64"]


def test_a_kernel_may_be_read_by_machine_monitors_whatever_the_umask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    init = tmp_path / "init"
    init.write_bytes(b"init")
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "vmlinuz-6.1").write_bytes(b"\x7fELF")

    def no_modules(*_: object) -> tuple[Path, ...]:
        return ()

    monkeypatch.setattr(kernel, "_modules", no_modules)
    before = os.umask(0o077)
    try:
        made = boot_files.prepare(tmp_path / "ready", init, tmp_path, "6.1")
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in (made.kernel, made.initrd)} == {0o644}


def test_a_machine_without_control_groups_says_so(tmp_path: Path) -> None:
    groups = Cgroups(tmp_path)

    assert "not there" in groups.why_not
    assert groups.hold("web", 77, Limits(1, 128)) == groups.why_not
