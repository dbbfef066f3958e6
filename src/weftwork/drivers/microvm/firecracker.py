"""Firecracker's side of a guest: what its API is asked (v1.16), its configuration file, and the jailer's arguments.

Pure: paths are those that Firecracker sees in its jail, where everything of a guest lies in one folder.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weftwork.base.errors import Failure
from weftwork.drivers.microvm.cgroups import Limits
from weftwork.program.guest import Guest

VCPUS_MAX = 32
GUEST_CID = 3
API_SOCKET, VSOCK = "api.sock", "vsock.sock"
KERNEL, INITRD, DISK = "vmlinux", "initrd", "disk"
BOOT_ARGUMENTS = "console=ttyS0 reboot=k panic=1 pci=off quiet random.trust_cpu=on cryptomgr.notests"
"""`reboot=k` is how a guest ends this machine: by the keyboard controller, the one device that it has for that."""

_DEVICE_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
_INSTANCE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_PERIOD_US = 100_000

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: Body


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes and operations per second; 0: without a limit."""

    bytes_per_s: int = 0
    operations_per_s: int = 0

    def limiter(self) -> dict[str, Any]:
        limits = {"bandwidth": self.bytes_per_s, "ops": self.operations_per_s}
        return {name: {"size": per_s, "refill_time": 1000} for name, per_s in limits.items() if per_s}


def device_id(text: str) -> str:
    """Of a drive or a card. Raises Failure GUEST_NOT_POSSIBLE: Firecracker takes letters, digits and underscores."""
    if not _DEVICE_ID.fullmatch(text):
        raise Failure("GUEST_NOT_POSSIBLE", f"{text!r} cannot be the id of a device in Firecracker")
    return text


def instance_id(text: str) -> str:
    """Of a machine: letters, digits and hyphens."""
    if not _INSTANCE_ID.fullmatch(text):
        raise Failure("GUEST_NOT_POSSIBLE", f"{text!r} cannot be the id of a machine in Firecracker")
    return text


def configuration(guest: Guest, *, disk_rate: Rate = Rate(), network_rate: Rate = Rate()) -> dict[str, Any]:
    """The whole of it, as `--config-file` takes it. Raises Failure GUEST_NOT_POSSIBLE.

    No drive is the root device: with an initial RAM disk, whose init makes it the root, Firecracker refuses one.
    """
    return {
        "machine-config": {"vcpu_count": vcpu_count(guest.vcpus), "mem_size_mib": guest.memory_mib},
        "boot-source": {"kernel_image_path": KERNEL, "initrd_path": INITRD, "boot_args": BOOT_ARGUMENTS},
        "drives": [
            {
                "drive_id": device_id("root"),
                "path_on_host": DISK,
                "is_root_device": False,
                "is_read_only": False,
                "cache_type": "Writeback",
                "io_engine": "Sync",
                **_limited("rate_limiter", disk_rate),
            }
        ],
        "network-interfaces": [
            {
                "iface_id": device_id(f"eth{number}"),
                "guest_mac": nic.mac,
                "host_dev_name": nic.device,
                "mtu": nic.mtu_bytes,
                **_limited("rx_rate_limiter", network_rate),
                **_limited("tx_rate_limiter", network_rate),
            }
            for number, nic in enumerate(guest.nics)
        ],
        "vsock": {"guest_cid": GUEST_CID, "uds_path": VSOCK},
        "entropy": {},
    }


def _limited(name: str, rate: Rate) -> dict[str, Any]:
    limiter = rate.limiter()
    return {name: limiter} if limiter else {}


def vcpu_count(wanted: int) -> int:
    """Firecracker has one or an even number: an odd one becomes the next. Raises Failure GUEST_NOT_POSSIBLE."""
    count = wanted if wanted == 1 or wanted % 2 == 0 else wanted + 1
    if not 1 <= count <= VCPUS_MAX:
        raise Failure("GUEST_NOT_POSSIBLE", f"{wanted} vCPUs: Firecracker has 1 to {VCPUS_MAX}")
    return count


def requests(configured: Mapping[str, Any]) -> tuple[Request, ...]:
    """The same through its socket, one after the other; the last starts the machine."""
    asked = [Request("PUT", f"/{name}", configured[name]) for name in ("machine-config", "boot-source")]
    asked += [Request("PUT", f"/drives/{one['drive_id']}", one) for one in configured["drives"]]
    cards = configured["network-interfaces"]
    asked += [Request("PUT", f"/network-interfaces/{one['iface_id']}", one) for one in cards]
    asked += [Request("PUT", f"/{name}", configured[name]) for name in ("vsock", "entropy") if name in configured]
    return (*asked, Request("PUT", "/actions", {"action_type": "InstanceStart"}))


def pause() -> Request:
    return Request("PATCH", "/vm", {"state": "Paused"})


def resume() -> Request:
    return Request("PATCH", "/vm", {"state": "Resumed"})


def snapshot(state: str, memory: str) -> Request:
    """Of a paused machine."""
    body = {"snapshot_type": "Full", "snapshot_path": state, "mem_file_path": memory}
    return Request("PUT", "/snapshot/create", body)


def restore(state: str, memory: str, devices: Mapping[str, str]) -> Request:
    """Into a fresh process: nothing else may have been configured. `devices`: by card, the device it is on now."""
    body: dict[str, Any] = {
        "snapshot_path": state,
        "mem_backend": {"backend_type": "File", "backend_path": memory},
        "resume_vm": True,
    }
    if devices:
        body["network_overrides"] = [
            {"iface_id": device_id(card), "host_dev_name": device} for card, device in sorted(devices.items())
        ]
    return Request("PUT", "/snapshot/load", body)


@dataclass(frozen=True, slots=True)
class Jail:
    """The jailer's view of a guest: as this user, in this network namespace, below this folder."""

    guest: str
    program: Path
    uid: int
    gid: int
    base: Path
    netns: Path | None
    cgroup_version: int
    limits: Limits

    @property
    def root(self) -> Path:
        """What the guest's Firecracker sees as `/`: the kernel, the RAM disk and the disk are put there before."""
        return self.base / self.program.name / instance_id(self.guest) / "root"

    def command(self, more: Sequence[str] = ()) -> list[str]:
        """The id is handed on to Firecracker by the jailer itself."""
        words = ["jailer", "--id", instance_id(self.guest), "--exec-file", str(self.program)]
        words += ["--uid", str(self.uid), "--gid", str(self.gid), "--chroot-base-dir", str(self.base)]
        words += ["--netns", str(self.netns)] if self.netns else []
        words += ["--cgroup-version", str(self.cgroup_version)]
        for setting in self._cgroup_settings():
            words += ["--cgroup", setting]
        return [*words, "--new-pid-ns", "--", "--api-sock", f"/{API_SOCKET}", *more]

    def _cgroup_settings(self) -> list[str]:
        quota, memory = self.limits.quota_us, self.limits.memory_bytes
        if self.cgroup_version == 2:
            return [f"cpu.max={quota} {_PERIOD_US}", f"memory.max={memory}"]
        return [f"cpu.cfs_period_us={_PERIOD_US}", f"cpu.cfs_quota_us={quota}", f"memory.limit_in_bytes={memory}"]
