"""Which machine monitor runs guests here: what was tried and seen to boot, not what a device file promises."""

from pathlib import Path

import pytest

from weftwork.apps.doctor_vms import vm_lines
from weftwork.base.errors import Failure
from weftwork.drivers.microvm import boot_files, probe, qemu
from weftwork.testing.microvms import guest_init, kernel_root


@pytest.fixture(scope="module")
def boot(boot_folder: Path) -> boot_files.BootFiles:
    return boot_files.prepare(boot_folder, guest_init(), *kernel_root())


async def test_kvm_is_used_where_it_boots_a_guest_and_nowhere_else(boot: boot_files.BootFiles, tmp_path: Path) -> None:
    chosen = await probe.choose("auto", boot, tmp_path / "seen")
    again = await probe.choose("auto", boot, tmp_path / "seen")

    assert chosen.why == again.why
    if chosen.accelerator.kvm:
        assert "has booted" in chosen.why
    else:
        assert "/dev/kvm" in chosen.why
        with pytest.raises(Failure) as failed:
            await probe.choose("kvm", boot, tmp_path / "seen")
        assert failed.value.code == "KVM_UNUSABLE"


async def test_what_is_wished_for_is_not_tried_for(boot: boot_files.BootFiles, tmp_path: Path) -> None:
    chosen = await probe.choose("tcg", boot, tmp_path / "seen")

    assert not chosen.accelerator.kvm
    assert 100_000 < chosen.accelerator.tsc_khz < 10_000_000
    assert not (tmp_path / "seen").exists()


async def test_a_machine_without_qemu_says_so(
    boot: boot_files.BootFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "PROGRAM", "qemu-that-is-not-there")

    with pytest.raises(Failure) as failed:
        await probe.choose("auto", boot, tmp_path / "seen")

    assert failed.value.code == "VMM_MISSING"
    assert "is not installed" in next(vm_lines(tmp_path, guest_init()))


def test_doctor_says_which_and_why(tmp_path: Path) -> None:
    root, release = kernel_root()
    (tmp_path / f"package-{release}").symlink_to(root)

    first, limits = vm_lines(tmp_path, guest_init())

    assert first.startswith("VMs: QEMU "), first
    assert "with KVM: " in first or "with emulation: /dev/kvm" in first or "with emulation: there is no" in first
    assert first.endswith(f"kernel {release}")
    assert limits.startswith("VMs: limits ")


def test_doctor_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(boot_files, "installed", none)

    assert "KERNEL_MISSING" in next(vm_lines(tmp_path, guest_init()))
