"""QEMU's command line for a guest: the microvm machine, which has nothing but what is named here.

Everything the machine talks through is handed to it as an open descriptor, so that it can run as nobody, in a network
without anything, and find nothing on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "qemu-system-x86_64"
WAYS = 8
"""How many sessions at once reach a guest beside its network."""
CONTROL, LOG, CONSOLE, MONITOR = "control", "log", "console", "qmp"
CHANNELS = (*(f"ssh.{way}" for way in range(WAYS)), LOG, CONTROL)
"""The ports of the guest, in the order in which it sees them: its init waits for the last."""
LISTENERS = (*CHANNELS, CONSOLE, MONITOR)

_EMULATED_CPU = "max"
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """`tsc_khz`: an emulated guest reads this machine's time stamp counter and has nothing to measure it against."""

    kvm: bool
    tsc_khz: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    mac: str
    tap: int
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """`base` is a descriptor of the image's disk, `overlay` the file of what the guest wrote."""

    name: str
    vcpus: int
    memory_mib: int
    kernel: Path
    initrd: Path
    overlay: Path
    base: int
    cards: tuple[Card, ...]
    listeners: Mapping[str, int]


def kernel_arguments(accelerator: Accelerator, more: Sequence[str] = ()) -> str:
    """`reboot=t` ends the machine by a triple fault: it has no other way."""
    arguments = ["console=ttyS0", "quiet", "panic=-1", "reboot=t", "mitigations=off" if not accelerator.kvm else ""]
    arguments += ["random.trust_cpu=on", "cryptomgr.notests", "audit=0", "no_timer_check"]
    if not accelerator.kvm:
        arguments += [f"tsc_early_khz={accelerator.tsc_khz}", "tsc=reliable", "apparmor=0", "nokaslr"]
    return " ".join(filter(None, (*arguments, *more)))


def bare(accelerator: Accelerator, vcpus: int, memory_mib: int, kernel: Path, initrd: Path, append: str) -> list[str]:
    """The machine itself, without a device."""
    kind = ["kvm", "host"] if accelerator.kvm else ["tcg,thread=multi,tb-size=64", _EMULATED_CPU]
    return [
        PROGRAM,
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-M", "microvm,x-option-roms=off,rtc=on", "-global", "virtio-mmio.force-legacy=false"),
        *("-accel", kind[0], "-cpu", kind[1]),
        *("-smp", str(vcpus), "-m", str(memory_mib)),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", append),
        *("-sandbox", _SANDBOX),
    ]


def command(machine: Machine, accelerator: Accelerator) -> list[str]:
    append = kernel_arguments(accelerator)
    words = bare(accelerator, machine.vcpus, machine.memory_mib, machine.kernel, machine.initrd, append)
    words += ["-name", f"guest={machine.name}"]
    words += _disk(machine)
    for number, card in enumerate(machine.cards):
        words += ["-netdev", f"tap,id=n{number},fd={card.tap}"]
        words += ["-device", f"virtio-net-device,netdev=n{number},mac={card.mac},host_mtu={card.mtu_bytes}"]
    words += ["-device", "virtio-rng-device", "-device", f"virtio-serial-device,max_ports={len(CHANNELS) + 1}"]
    for name, descriptor in machine.listeners.items():
        words += ["-chardev", f"socket,id={name},fd={descriptor},server=on,wait=off"]
    for name in CHANNELS:
        words += ["-device", f"virtserialport,chardev={name},id={name},name=weft.{name}"]
    return [*words, "-serial", f"chardev:{CONSOLE}", "-mon", f"chardev={MONITOR},mode=control"]


def _disk(machine: Machine) -> list[str]:
    """Its writes are kept in order and flushed when the guest flushes; space it frees is the host's again."""
    return [
        *("-add-fd", f"fd={machine.base},set=1"),
        *("-blockdev", "driver=file,node-name=base-file,filename=/dev/fdset/1,read-only=on"),
        *("-blockdev", "driver=raw,node-name=base,file=base-file,read-only=on"),
        *("-blockdev", f"driver=file,node-name=own-file,filename={machine.overlay},discard=unmap"),
        *("-blockdev", "driver=qcow2,node-name=own,file=own-file,backing=base,discard=unmap"),
        *("-device", "virtio-blk-device,drive=own,serial=root"),
    ]
