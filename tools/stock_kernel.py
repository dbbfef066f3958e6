#!/usr/bin/env python3
"""Runs a command as root on an unmodified Debian kernel, in a QEMU guest that sees this machine's own files.

The kernel comes out of its Debian package, which is not installed. The guest's root is this machine's "/", shared
read-only under an overlay in memory: packages, the project and its virtual environment are at their usual paths, and
nothing that the command writes reaches this machine, except below $OUT. The guest has no network device.

    tools/stock_kernel.py [options] -- COMMAND [ARGUMENT...]

The exit code is the command's, or 124: the time limit passed, 125: the guest or its set-up failed.
"""

import argparse
import contextlib
import fcntl
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from weftwork.drivers.microvm.tsc import tsc_khz  # of the standard library alone

GUEST = Path(__file__).parent / "stock_guest"
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"  # of qemu-system-common
KERNEL_PACKAGE = "linux-image-cloud-amd64"  # depends on the current kernel's package
TIMED_OUT, FAILED = 124, 125

# A processor of the x86-64-v2 level. Emulating more (`max`) costs a fifth of the speed and half a second of boot.
EMULATED_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+rdrand"

BOOT_MODULES = ("virtio_pci", "virtio_mmio", "virtio_console", "virtiofs", "overlay")

# Ends a child when this program dies, even by SIGKILL.
BOUND = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, slots=True)
class Job:
    """What to run and how."""

    command: tuple[str, ...]
    directory: Path
    shares: tuple[Path, ...]
    """Folders to show besides "/": those on other file systems, or below /tmp."""
    out: Path
    modules: tuple[str, ...]
    environment: dict[str, str]
    memory_mib: int
    cpus: int
    accelerator: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel package."""

    release: str
    folder: Path
    busybox: Path

    @property
    def modules(self) -> Path:
        return self.folder / "lib/modules" / self.release

    @property
    def image(self) -> Path:
        """The ELF image if there is one: it spares the guest the decompression."""
        elf = self.folder / "vmlinux"
        return elf if elf.exists() else self.folder / "boot" / f"vmlinuz-{self.release}"


def fail(message: str) -> NoReturn:
    print(f"stock-kernel: {message}", file=sys.stderr)
    raise SystemExit(FAILED)


# --- the kernel --------------------------------------------------------------------------------------------------


def current_release() -> str:
    """The release of Debian's present kernel, by this machine's package lists."""
    depends = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], capture_output=True, text=True).stdout
    found = re.search(r"Depends: linux-image-(\S+)", depends)
    return found.group(1) if found else fail(f"{KERNEL_PACKAGE} names no kernel package: run apt-get update")


def unpack(package: str, folder: Path) -> None:
    """Downloads a Debian package and unpacks it without installing it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # apt's own user could not write into a private folder.
    download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(download, cwd=folder, stdout=sys.stderr).returncode:
        fail(f"{package} cannot be downloaded: run apt-get update")
    archive = next(folder.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    archive.unlink()


def uncompressed(image: bytes) -> bytes | None:
    """The ELF image inside a bzImage with an LZ4 payload (Linux boot protocol), else None."""
    start = ((image[0x1F1] or 4) + 1) * 512
    offset, length = (int.from_bytes(image[at : at + 4], "little") for at in (0x248, 0x24C))
    payload = image[start + offset : start + offset + length]
    if not payload.startswith(b"\x02\x21\x4c\x18"):
        return None
    # lz4 complains of the 4 bytes of size at the end, after it has written everything.
    elf = subprocess.run(["lz4", "-dc"], input=payload, capture_output=True).stdout
    return elf if elf.startswith(b"\x7fELF") else None


def unpacked_kernel(cache: Path, release: str | None) -> Kernel:
    """The kernel of that release; without one, of the newest in the cache, else Debian's present one."""
    ready = sorted(cache.glob("kernel-*/ready"), key=lambda path: path.stat().st_mtime)
    release = release or (ready[-1].parent.name.removeprefix("kernel-") if ready else current_release())
    kernel = Kernel(release, cache / f"kernel-{release}", cache / "busybox/bin/busybox")
    if not kernel.busybox.exists():
        unpack("busybox-static", cache / "busybox")
    if not (kernel.folder / "ready").exists():
        unpack(f"linux-image-{release}", kernel.folder)
        subprocess.run(["depmod", "-b", kernel.folder, release], check=True)
        elf = uncompressed(kernel.image.read_bytes())
        if elf:
            (kernel.folder / "vmlinux").write_bytes(elf)
        (kernel.folder / "ready").touch()
    return kernel


# --- the initial RAM disk ----------------------------------------------------------------------------------------


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A newc archive of (name, mode, data)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def boot_modules(kernel: Kernel) -> list[Path]:
    """What the RAM disk loads, dependencies first."""
    query = ["modprobe", "-d", str(kernel.folder), "-S", kernel.release, "--show-depends", "-a", *BOOT_MODULES]
    listing = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return [Path(path) for path in dict.fromkeys(re.findall(r"^insmod (\S+)", listing, re.MULTILINE))]


def initial_ram_disk(kernel: Kernel) -> bytes:
    modules = boot_modules(kernel)
    folders = ("bin", "dev", "changes", "modules", "root", "share")
    order = "".join(f"{path.name}\n" for path in modules)
    return cpio(
        [
            *((name, 0o40755, b"") for name in folders),
            *((f"modules/{path.name}", 0o100644, path.read_bytes()) for path in modules),
            ("modules/order", 0o100644, order.encode()),
            ("bin/busybox", 0o100755, kernel.busybox.read_bytes()),
            ("init", 0o100755, (GUEST / "init.sh").read_bytes()),
            ("start.sh", 0o100644, (GUEST / "start.sh").read_bytes()),
        ]
    )


# --- the machine -------------------------------------------------------------------------------------------------


def processor(job: Job) -> tuple[list[str], list[str]]:
    """(options of QEMU, arguments of the kernel)."""
    if job.accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"], []
    # Under emulation the guest reads this machine's time stamp counter, but has no timer to measure it against.
    return ["-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU], [f"tsc_early_khz={tsc_khz()}", "tsc=reliable"]


def qemu_command(job: Job, kernel: Kernel, run: Path, ports: dict[str, int]) -> list[str]:
    """`ports`: name of a serial port -> file descriptor of its socket."""
    options, arguments = processor(job)
    arguments += ["console=ttyS0", "quiet", "panic=-1", "reboot=t", "mitigations=off", "audit=0", "cryptomgr.notests"]
    arguments += ["random.trust_cpu=on", "no5lvl"]
    command = [*BOUND, "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-M", "microvm,x-option-roms=off,rtc=on,memory-backend=memory", *options]
    command += ["-global", "virtio-mmio.force-legacy=false"]
    command += ["-object", f"memory-backend-memfd,id=memory,size={job.memory_mib}M,share=on"]
    command += ["-smp", str(job.cpus), "-m", f"{job.memory_mib}M"]
    command += ["-kernel", str(kernel.image), "-initrd", f"{run}/initrd", "-append", " ".join(arguments)]
    command += ["-serial", f"file:{job.out}/kernel.log", "-device", "virtio-serial-device"]
    command += ["-device", "virtio-rng-device"]
    for name, descriptor in ports.items():
        command += ["-chardev", f"socket,id={name},fd={descriptor}"]
        command += ["-device", f"virtserialport,chardev={name},name={name}"]
    for tag in ("share", "out"):
        command += ["-chardev", f"socket,id={tag},path={run}/{tag}.sock"]
        command += ["-device", f"vhost-user-fs-device,chardev={tag},tag={tag},queue-size=1024"]
    return command


@contextlib.contextmanager
def child(command: list[str], descriptors: list[int], errors: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block: by itself within 3 seconds, or killed."""
    with contextlib.ExitStack() as stack:
        stderr = stack.enter_context(errors.open("w")) if errors else None
        process = subprocess.Popen(
            command, pass_fds=descriptors, start_new_session=True, stdin=subprocess.DEVNULL, stderr=stderr
        )
    patience_s = 0.0
    try:
        yield process
        patience_s = 3.0
    finally:
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def file_server(run: Path, tag: str, source: Path, binds: list[tuple[Path, str]], *options: str) -> Iterator[None]:
    """Serves `source` to the guest, with (path, name) mounted read-only in it, in a private mount namespace."""
    script = "".join(
        f"mount --bind {shlex.quote(str(path))} {source}/{name}\nmount -o remount,ro,bind {source}/{name}\n"
        for path, name in binds
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{run}/{tag}.sock")
        listener.listen(1)
        serve = [VIRTIOFSD, f"--fd={listener.fileno()}"]
        for option in (f"source={source}", "log_level=err", *options):
            serve += ["-o", option]
        private = ["unshare", "--mount", "--propagation=private", "sh", "-ec", f"{script}exec {shlex.join(serve)}"]
        with child([*BOUND, *private], [listener.fileno()], run / f"{tag}.log"):
            listener.close()
            yield


# --- the run -----------------------------------------------------------------------------------------------------


def job_script(job: Job) -> str:
    """What the guest's shell executes."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in job.environment.items()]
    modules = [f"modprobe {shlex.quote(module)} || exit {FAILED}" for module in job.modules]
    enter = f"cd {shlex.quote(str(job.directory))} || exit {FAILED}"
    return "\n".join([*exports, *modules, enter, f"exec {shlex.join(job.command)}", ""])


def prepare(job: Job, kernel: Kernel, run: Path) -> list[tuple[Path, str]]:
    """Writes what the guest reads; returns the (path, name) to mount below run/share."""
    share = run / "share"
    share.mkdir()
    binds = [(Path("/"), "root"), (kernel.modules, "modules")]
    for number, path in enumerate(job.shares):
        (share / f"{number}.path").write_text(str(path))
        binds.append((path, str(number)))
    for _, name in binds:
        (share / name).mkdir()
    (share / "job").write_text(job_script(job))
    (share / "time").write_text(f"{time.time() + 2:.0f}\n")
    (run / "initrd").write_bytes(initial_ram_disk(kernel))
    return binds


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def exit_code(report: bytes) -> int | None:
    """What the guest said at its end: `code N`, `failed WHY` or nothing."""
    for line in report.decode(errors="replace").splitlines():
        word, _, rest = line.partition(" ")
        if word == "failed":
            fail(f"in the guest: {rest}")
        if word == "code":
            return int(rest)
    return None


def relay(ports: dict[str, socket.socket], deadline: float) -> bytes | None:
    """Passes the guest's output on until it ends; what it said on the control port, or None at the deadline."""
    report = b""
    targets = {"stdout": 1, "stderr": 2}
    with selectors.DefaultSelector() as open_ports:
        for name, port in ports.items():
            open_ports.register(port, selectors.EVENT_READ, name)
        while open_ports.get_map():
            events = open_ports.select(max(deadline - time.monotonic(), 0))
            if not events:
                return None
            for key, _ in events:
                data = received(ports[key.data])
                if not data:
                    open_ports.unregister(key.fileobj)
                elif key.data in targets:
                    write_all(targets[key.data], data)
                else:
                    report += data
    return report


def received(port: socket.socket) -> bytes:
    """Empty when the guest is gone."""
    try:
        return port.recv(65536)
    except ConnectionResetError:
        return b""


def why_it_ended(kernel_log: Path, run: Path) -> str:
    """From a kernel panic on, else the end of its log; and what the file servers said."""
    lines = kernel_log.read_text(errors="replace").splitlines() if kernel_log.exists() else []
    start = next((n for n, line in enumerate(lines) if "Kernel panic" in line), max(len(lines) - 20, 0))
    servers = [line for log in sorted(run.glob("*.log")) for line in log.read_text(errors="replace").splitlines()]
    return "\n".join(["the guest ended without an exit code:", *lines[start:][:20], *servers[-5:]])


def run_guest(job: Job, kernel: Kernel, run: Path) -> int:
    """Runs the job to its end, or to the time limit; leaves no process behind."""
    deadline = time.monotonic() + job.timeout_s
    binds = prepare(job, kernel, run)
    pairs = {name: socket.socketpair() for name in ("control", "stdout", "stderr")}
    theirs = {name: there.fileno() for name, (_, there) in pairs.items()}
    with (
        file_server(run, "share", run / "share", binds, "cache=always", "xattr", "announce_submounts"),
        file_server(run, "out", job.out, [], "cache=auto"),
        child(qemu_command(job, kernel, run, theirs), list(theirs.values())) as guest,
    ):
        for _, there in pairs.values():
            there.close()
        report = relay({name: here for name, (here, _) in pairs.items()}, deadline)
        if report is None:
            guest.kill()
            print(f"stock-kernel: the time limit of {job.timeout_s:.0f} s passed", file=sys.stderr)
            return TIMED_OUT
    code = exit_code(report)
    return fail(why_it_ended(job.out / "kernel.log", run)) if code is None else code


def hidden(path: Path) -> bool:
    """Whether the guest's own mounts, or this machine's, keep `path` out of the shared root."""
    covered = any(path.is_relative_to(place) for place in ("/tmp", "/run", "/dev"))
    return covered or path.stat().st_dev != Path("/").stat().st_dev


def arguments() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "weftwork-stock-kernel"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--kernel", metavar="RELEASE", help="such as 6.1.0-50-cloud-amd64 (default: newest in the cache, else Debian's)"
    )
    add("--cache", type=Path, default=cache, help="folder of unpacked kernels (default: %(default)s)")
    add("--module", action="append", default=[], metavar="NAME", help="kernel module to load first")
    add(
        "--share", type=Path, action="append", default=[], metavar="FOLDER", help="show a folder of another file system"
    )
    add("--out", type=Path, help="folder that the command sees as $OUT; also gets kernel.log")
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="set a variable, or pass it on")
    add("--memory", type=int, default=2048, metavar="MIB", help="default: %(default)s")
    add("--cpus", type=int, default=min(os.cpu_count() or 1, 2), help="default: %(default)s")
    # KVM inside a virtual machine often fails half-way, so it has to be asked for.
    add("--accelerator", choices=["kvm", "tcg"], default="tcg", help="default: %(default)s, which works everywhere")
    add("--timeout", type=float, default=600, metavar="S", help="default: %(default)s")
    add("command", nargs="+")
    return parser.parse_args()


def variables(items: list[str]) -> dict[str, str]:
    """NAME=VALUE as it is, NAME with its present value."""
    pairs = (item.partition("=") for item in items)
    given = {name: value if equals else os.environ.get(name, "") for name, equals, value in pairs}
    return {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "OUT": "/run/out"} | given


def job_of(options: argparse.Namespace, run: Path) -> Job:
    directory = Path.cwd().resolve()
    shares = [path.resolve() for path in options.share]
    if hidden(directory) and not any(directory.is_relative_to(path) for path in shares):
        shares.append(directory)
    out = (options.out or run / "out").absolute()
    out.mkdir(parents=True, exist_ok=True)
    return Job(
        command=tuple(options.command),
        directory=directory,
        shares=tuple(shares),
        out=out,
        modules=tuple(options.module),
        environment=variables(options.env),
        memory_mib=options.memory,
        cpus=options.cpus,
        accelerator=options.accelerator,
        timeout_s=options.timeout,
    )


def main() -> int:
    options = arguments()
    if os.geteuid():
        fail("must run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = unpacked_kernel(cache, options.kernel)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stock-kernel-") as folder:
        run = Path(folder)
        code = run_guest(job_of(options, run), kernel, run)
    print(f"stock-kernel: {time.monotonic() - start:.0f} s on {kernel.release}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
