"""A whole OVN for one machine, of our own: databases, northd, Open vSwitch and ovn-controller.

All in one folder and one network namespace, on Unix sockets only. The daemons outlive us, so that a restart of ours
loses no packet; `start` starts what is not running, `stop` stops what is.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.linux import namespaces
from weftwork.drivers.ovsdb.endpoint import Endpoint

OVS_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
NORTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
SOUTHBOUND_SCHEMA = Path("/usr/share/ovn/ovn-sb.ovsschema")
TOOLS = ("ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovn-northd", "ovn-controller", "ovn-nbctl")
PHYSICAL = "external"
"""The name by which the localnet port of the external network finds its bridge."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PID_FILE = b"--pidfile="
_QUIET = "--verbose=acl_log:syslog:off"
"""Packets of tenants are nothing for the machine's own log."""
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


def missing_tools() -> tuple[str, ...]:
    return tuple(tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None)


def datapath() -> str:
    """The kernel's where its module is loaded: we load none."""
    has_module = Path("/sys/module/openvswitch").exists()
    return "system" if has_module else "netdev"


@dataclass(frozen=True, slots=True)
class PrivateOvn:
    """`uplink` is the interface in the namespace that leads to the external network, empty for none."""

    folder: Path
    netns: str
    chassis: str = "local"
    uplink: str = ""
    datapath: str = "netdev"
    """`netdev` (user space) or `system` (the kernel's openvswitch)."""

    @property
    def northbound(self) -> Endpoint:
        return Endpoint("unix", str(self.folder / "ovnnb_db.sock"))

    @property
    def southbound(self) -> Endpoint:
        return Endpoint("unix", str(self.folder / "ovnsb_db.sock"))

    @property
    def switch(self) -> Endpoint:
        """The Open_vSwitch database."""
        return Endpoint("unix", str(self.folder / "db.sock"))

    def start(self) -> tuple[str, ...]:
        """What had to be started. Raises Failure OVN_NOT_STARTED."""
        if missing := missing_tools():
            raise Failure("OVN_TOOLS_MISSING", f"not found: {', '.join(missing)}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = []
        for daemon in self._daemons():
            if not self._runs(daemon.name):
                started.append(daemon.name)
                self._start(daemon)
        self._wait_for_chassis()
        return tuple(started)

    def dead(self) -> tuple[str, ...]:
        """The daemons that do not run."""
        return tuple(daemon.name for daemon in self._daemons() if not self._runs(daemon.name))

    def stop(self) -> None:
        """All of it, and the folder with its databases: they hold nothing that is not made again."""
        pids = [pid for daemon in reversed(self._daemons()) if (pid := self._runs(daemon.name))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while any(_lives(pid) for pid in pids):
            if time.monotonic() > deadline:
                for pid in filter(_lives, pids):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """For the tools of OVN and Open vSwitch: they look nowhere else."""
        names = ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")
        ours = {f"{product}_{name}": str(self.folder) for product in ("OVS", "OVN") for name in names}
        return {"PATH": _PATH, "LC_ALL": "C.UTF-8"} | ours

    def run(self, *command: str) -> str:
        """A tool's standard output, run inside the namespace. Raises Failure."""
        try:
            with namespaces.opened(self.netns) as descriptor, namespaces.inside(descriptor):
                done = subprocess.run(
                    command,
                    env=self.environment(),
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    timeout=_START_TIMEOUT_S,
                    check=False,
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure("OVN_NOT_STARTED", f"{command[0]}: {error}") from error
        if done.returncode:
            raise Failure("OVN_NOT_STARTED", f"{command[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def _daemons(self) -> "tuple[_Daemon, ...]":
        """In the order in which they start."""
        north, south = f"--ovnnb-db={self.northbound}", f"--ovnsb-db={self.southbound}"
        return (
            self._database("ovnnb_db", NORTHBOUND_SCHEMA),
            self._database("ovnsb_db", SOUTHBOUND_SCHEMA),
            _Daemon("ovn-northd", ("ovn-northd", north, south)),
            self._database("db", OVS_SCHEMA),
            _Daemon("ovs-vswitchd", ("ovs-vswitchd", "--disable-system", str(self.switch)), self._configure),
            _Daemon("ovn-controller", ("ovn-controller", _QUIET, str(self.switch)), has_socket=False),
        )

    def _database(self, name: str, schema: Path) -> "_Daemon":
        file = self.folder / f"{name}.db"
        socket = f"--remote=punix:{self.folder / f'{name}.sock'}"

        def create() -> None:
            if not file.exists():
                self.run("ovsdb-tool", "create", str(file), str(schema))

        return _Daemon(name, ("ovsdb-server", socket, str(file)), create)

    def _start(self, daemon: "_Daemon") -> None:
        daemon.prepare()
        flags = [f"{_PID_FILE.decode()}{self._pid_file(daemon.name)}", f"--log-file={self.folder / daemon.name}.log"]
        if daemon.has_socket:
            flags.append(f"--unixctl={self.folder / daemon.name}.ctl")
        self.run(daemon.command[0], "--detach", "--no-chdir", *flags, *daemon.command[1:])
        if daemon.name == "ovnsb_db":
            for tool, endpoint in (("ovn-nbctl", self.northbound), ("ovn-sbctl", self.southbound)):
                self.run(tool, f"--db={endpoint}", "init")

    def _configure(self) -> None:
        """What vswitchd and ovn-controller read when they start; again is fine."""
        settings = {
            "system-id": self.chassis,
            "hostname": self.chassis,
            "ovn-remote": str(self.southbound),
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": "127.0.0.1",
            "ovn-bridge-datapath-type": self.datapath,
            "ovn-openflow-probe-interval": "0",
            "ovn-monitor-all": "true",
            "ovn-bridge-mappings": f"{PHYSICAL}:br-ex",
        }
        values = [f"external_ids:{key}={value}" for key, value in settings.items()]
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", *values)
        for bridge, mode in (("br-ex", "standalone"), ("br-int", "secure")):
            options = (f"datapath_type={self.datapath}", f"fail_mode={mode}", "other_config:disable-in-band=true")
            self.vsctl("--no-wait", "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, *options)
        if self.uplink:
            self.vsctl("--no-wait", "--may-exist", "add-port", "br-ex", self.uplink)

    def vsctl(self, *words: str) -> str:
        return self.run("ovs-vsctl", f"--db={self.switch}", "--timeout=20", *words)

    @property
    def packet_log(self) -> Path:
        """Where ovn-controller writes what ACLs log, among other things."""
        return self.folder / "ovn-controller.log"

    def begin_log_anew(self) -> None:
        """The one before is kept, and the one before that is not. Raises Failure."""
        pid = self._runs("ovn-controller")
        if pid:
            self.packet_log.rename(self.packet_log.with_suffix(".log.1"))
            self.run("ovn-appctl", "-t", str(self.folder / f"ovn-controller.{pid}.ctl"), "vlog/reopen")

    def _wait_for_chassis(self) -> None:
        """Before that, the question whether all chassis installed a change has no meaning."""
        self.run("ovn-sbctl", f"--db={self.southbound}", "--timeout=20", "wait-until", "Chassis", self.chassis)

    def _pid_file(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    def _runs(self, name: str) -> int:
        """The daemon's process; 0 when there is none. The number of one that died may be another's by now."""
        try:
            pid = int(self._pid_file(name).read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        return pid if f"--pidfile={self._pid_file(name)}".encode() in words else 0


@dataclass(frozen=True, slots=True)
class _Daemon:
    name: str
    command: Sequence[str]
    prepare: Callable[[], None] = lambda: None
    has_socket: bool = True


def stop_strangers(netns: str, folder: Path) -> None:
    """End the daemons there that run in another folder: of an OVN that was another store's."""
    pids = list(_strangers(netns, folder))
    for how in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(_lives, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while any(map(_lives, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)


def _strangers(netns: str, folder: Path) -> Iterator[int]:
    number = namespaces.inode(netns)
    for process in Path("/proc").glob("[0-9]*") if number else ():
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            file = next((word.removeprefix(_PID_FILE) for word in words if word.startswith(_PID_FILE)), None)
            elsewhere = file is not None and Path(os.fsdecode(file)).parent != folder
            if elsewhere and (process / "ns/net").stat().st_ino == number:
                yield int(process.name)


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
