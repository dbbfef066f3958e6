"""The lab: what stands in it is in one file of its folder, so that every command finds it."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from weftwork.apps.lab import outside
from weftwork.apps.lab.machine import Machine, end, is_running, run
from weftwork.client.client import Client, resource_ref
from weftwork.client.errors import ApiError
from weftwork.compiler.fleet_routing import REFLECTORS
from weftwork.drivers.frr.daemons import Daemons
from weftwork.testing.guests import LEASE_SCRIPT

UNDERLAY = IPv4Network("192.168.77.0/24")
AGENTS_PORT = 8083
SERVER, SWITCH = "server", "switch"
HOSTS_MAX = 100
GATEWAYS = 120
"""The number of the address that the gateways share; theirs come after it."""
START_S = 60.0
CABLE_S = 20.0
TENANTS = ("red", "blue")
RANGE = "10.20.0.0/16"
"""Of both tenants: they never meet."""
_BRIDGE = "underlay"


class LabGuest(msgspec.Struct):
    """A namespace on a host, plugged to a port of the same name."""

    name: str
    project: str
    host: str
    address: str


class LabHost(msgspec.Struct):
    """`pid` holds its namespaces, `agent` is its agent's; 0 when there is none."""

    name: str
    underlay: str
    pid: int = 0
    agent: int = 0
    is_gateway: bool = False

    @property
    def machine(self) -> Machine:
        return Machine(self.name, self.pid)


class State(msgspec.Struct):
    """`routing` is the server's setting."""

    routing: str = "static"
    switch: int = 0
    server_host: int = 0
    server: int = 0
    internet: int = 0
    hosts: dict[str, LabHost] = {}
    guests: dict[str, LabGuest] = {}
    cuts: list[tuple[str, str]] = []


class LabError(Exception):
    """What a person did wrong, or what did not come up; in words."""


class Lab:
    """`start_s` is how long the server and the agents may take to come up."""

    def __init__(self, folder: Path, start_s: float = START_S) -> None:
        self.folder = folder
        self._start_s = start_s
        self.state = self._read()

    @property
    def address(self) -> str:
        """Of the server's API."""
        return f"unix:{self.folder}/server/api.sock"

    @property
    def is_up(self) -> bool:
        return bool(self.state.switch)

    # --- up and down

    def up(
        self,
        hosts: int,
        *,
        gateways: int = 2,
        with_guests: bool = True,
        routing: str = "static",
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """LabError when there is one already, or when something does not come up."""
        if self.is_up:
            raise LabError(f"there is a lab in {self.folder}: `weft lab down` takes it down")
        if not 1 <= hosts <= HOSTS_MAX:
            raise LabError(f"a lab has 1 to {HOSTS_MAX} hosts")
        if routing == "evpn" and hosts < REFLECTORS:
            raise LabError(f"with BGP EVPN a lab has at least {REFLECTORS} hosts: they reflect routes")
        (self.folder / SERVER).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state.routing = routing
        try:
            self._lay_underlay()
            if gateways:
                self.state.internet = outside.boot_internet().pid
            self.start_server()
            names = [f"h{number}" for number in range(1, hosts + 1)]
            for number, name in enumerate(names, 1):
                self.state.hosts[name] = LabHost(name, str(UNDERLAY[10 + number]))
            for number in range(1, gateways + 1):
                seat = LabHost(f"g{number}", str(UNDERLAY[GATEWAYS + number]), is_gateway=True)
                self.state.hosts[seat.name] = seat
            asyncio.run(self._add_hosts())
            pair = f", {gateways} gateways and a pretend internet" if gateways else ""
            say(f"server, and {hosts} hosts on an underlay of their own{pair}")
            for name in self.state.hosts:
                self.boot(name)
            self.wait_ready(list(self.state.hosts))
            say("every agent has joined")
            if with_guests:
                asyncio.run(self._invite(names))
                say(f"guests: {', '.join(self.state.guests)}")
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Everything, and the folder's files with it."""
        for host in self.state.hosts.values():
            self._end(host.agent, signal.SIGKILL)
            self._end_routing(host.name)
            outside.end_keeper(self.folder / host.name)
            self._end(host.pid, signal.SIGKILL)
        for pid in (self.state.server, self.state.server_host, self.state.switch, self.state.internet):
            self._end(pid, signal.SIGKILL)
        run("rm", "-rf", str(self.folder))
        self.state = State()

    # --- machines

    def boot(self, name: str) -> None:
        """A host that is off: it comes up with its disk, its guests and its agent; not with the server's help."""
        host = self._host(name)
        if host.pid and is_running(host.pid):
            return
        machine = Machine.boot(name)
        host.pid = machine.pid
        self._save()
        self.connect(machine, host.underlay)
        if host.is_gateway:
            outside.cable(self.internet, machine)
        for guest in self.state.guests.values():
            if guest.host == name:
                _make_guest(machine, guest.name)
        self.start_agent(name)

    def start_agent(self, name: str) -> None:
        host = self._host(name)
        folder = self.folder / name
        host.agent = host.machine.start(
            sys.executable,
            *("-m", "weftwork.apps.weft", "agent"),
            *("--server", f"{UNDERLAY[1]}:{AGENTS_PORT}", "--token-file", str(folder / "join")),
            *("--state", str(folder / "agent"), "--underlay", host.underlay),
            log=folder / "agent.log",
        )
        self._save()

    def start_server(self) -> None:
        folder = self.folder / SERVER
        self.state.server = Machine(SERVER, self.state.server_host).start(
            sys.executable,
            *("-m", "weftwork.apps.weft", "server"),
            *("--agents-listen", f"{UNDERLAY[1]}:{AGENTS_PORT}", "--listen-addr", "", "--rest-listen", ""),
            *("--socket", str(folder / "api.sock"), "--rest-socket", str(folder / "rest.sock")),
            *("--routing", self.state.routing),
            *("--store", str(folder / "store.db")),
            *(self._external() if self.state.internet else ()),
            log=folder / "server.log",
        )
        self._save()
        wait_until(lambda: asyncio.run(self._answers()), "the server", folder / "server.log", self._start_s)

    def route(self, routing: str) -> None:
        """Switch the fleet to static routing or BGP EVPN, with the network running: the server starts anew."""
        self.state.routing = routing
        self._end(self.state.server, signal.SIGTERM)
        self.start_server()

    def kill_routing(self, name: str, daemon: str = "bgpd") -> None:
        """SIGKILL to a routing daemon of a host. LabError when none runs."""
        pid = self.routing_pid(name, daemon)
        if not pid:
            raise LabError(f"{name} runs no {daemon}")
        end(pid, signal.SIGKILL)

    def routing_pid(self, name: str, daemon: str = "bgpd") -> int:
        """0 when it does not run."""
        self._host(name)
        return Daemons(self.folder / name / "agent" / "frr").pid(daemon)

    def fail(self, name: str) -> None:
        """The power of a host, or of the server's machine's process."""
        if name == SERVER:
            self.kill(SERVER)
            return
        host = self._host(name)
        # The kernel takes namespaces apart some time after their last process; a machine without power is silent.
        self._switch().run("ip", "link", "del", f"to-{name}", check=False)
        if host.is_gateway:
            outside.uncable(self.internet, name)
            outside.end_keeper(self.folder / name)
        self._end(host.agent, signal.SIGKILL)
        self._end_routing(name)
        self._end(host.pid, signal.SIGKILL)
        host.pid = host.agent = 0
        self._save()

    def kill(self, name: str) -> None:
        """SIGKILL to a host's agent, or to the server."""
        if name == SERVER:
            self._end(self.state.server, signal.SIGKILL)
            self.state.server = 0
        else:
            host = self._host(name)
            self._end(host.agent, signal.SIGKILL)
            host.agent = 0
        self._save()

    def cut(self, one: str, other: str) -> None:
        """No packet passes between two machines; `server` is one."""
        pair = (self._underlay(one), self._underlay(other))
        if all(name in self.state.hosts and self.state.hosts[name].is_gateway for name in (one, other)):
            outside.cut(self.internet, one, other)
        self.state.cuts.append((one, other))
        self._switch().run(
            "nft", "add", "rule", "bridge", "lab", "cut", "ip", "saddr", pair[0], "ip", "daddr", pair[1], "drop"
        )
        self._switch().run(
            "nft", "add", "rule", "bridge", "lab", "cut", "ip", "saddr", pair[1], "ip", "daddr", pair[0], "drop"
        )
        self._save()

    def heal(self) -> None:
        """What is off is on again, what is dead lives, what is cut is joined."""
        self._switch().run("nft", "flush", "chain", "bridge", "lab", "cut")
        if self.state.internet:
            outside.join(self.internet)
        self.state.cuts = []
        if not self.state.server or not is_running(self.state.server):
            self.start_server()
        booted: list[str] = []
        for name, host in self.state.hosts.items():
            if not host.pid or not is_running(host.pid):
                self.boot(name)
                booted.append(name)
            elif not host.agent or not is_running(host.agent):
                self.start_agent(name)
        for guest in self.state.guests.values():
            if guest.host in booted and not self.lease(guest.name):
                raise LabError(f"{guest.name} gets no address")
        self._save()

    def runs(self, name: str) -> bool:
        """A host's agent, or the server."""
        pid = self.state.server if name == SERVER else self._host(name).agent
        return bool(pid) and is_running(pid)

    def is_on(self, name: str) -> bool:
        pid = self._host(name).pid
        return bool(pid) and is_running(pid)

    # --- guests

    def guest(self, name: str, project: str, host: str, address: str) -> None:
        """A namespace on a host; its port is plugged by whoever asks the API to."""
        _make_guest(self._host(host).machine, name)
        self.state.guests[name] = LabGuest(name, project, host, address)
        self._save()

    def lease(self, name: str) -> str:
        """What a DHCP client in the guest is given; empty when nobody answers."""
        script = self.folder / "lease.sh"
        if not script.exists():
            script.write_text(LEASE_SCRIPT)
            script.chmod(0o700)
        lease = self.folder / f"{name}.lease"
        lease.unlink(missing_ok=True)
        client = ("udhcpc", "-i", "eth0", "-s", str(script), "-n", "-q", "-f", "-t", "10", "-T", "1")
        self._wait_for_cable(name)
        self.in_guest(name, "env", f"LEASE={lease}", *client, check=False)
        return lease.read_text() if lease.exists() else ""

    def _wait_for_cable(self, name: str) -> None:
        """A guest whose host has just come up has none yet."""
        deadline = time.monotonic() + CABLE_S
        while not self.in_guest(name, "ip", "-o", "link", "show", "eth0", check=False):
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def ping(self, source: str, destination: str, *, count: int = 1, timeout_s: int = 1, size: int = 56) -> bool:
        """From a guest to another, or to an address: does any answer come?"""
        target = self.state.guests[destination].address if destination in self.state.guests else destination
        said = self.in_guest(
            source,
            *("ping", "-n", "-c", str(count), "-i", "0.2", "-W", str(timeout_s), "-M", "do", "-s", str(size), target),
            check=False,
        )
        return " 0% packet loss" in said or (count > 1 and " received, 100%" not in said and "received" in said)

    def in_guest(self, name: str, *command: str, check: bool = True, timeout_s: float = 30.0) -> str:
        machine = self._host(self._guest(name).host).machine
        return machine.run("nsenter", f"--net=/run/netns/{name}", "--", *command, check=check, timeout_s=timeout_s)

    # --- waiting

    def wait_ready(self, names: list[str]) -> None:
        async def ready() -> bool:
            client = await Client.connect(self.address)
            try:
                return {one.name for one in await client.hosts.list() if one.ready} >= set(names)
            except ApiError:
                return False
            finally:
                await client.close()

        wait_until(
            lambda: asyncio.run(ready()),
            f"hosts {', '.join(names)}",
            self.folder / names[0] / "agent.log",
            self._start_s,
        )

    # --- inside

    def _lay_underlay(self) -> None:
        switch = Machine.boot(SWITCH)
        self.state.switch = switch.pid
        self._save()
        switch.run("ip", "link", "add", _BRIDGE, "type", "bridge", "forward_delay", "0")
        switch.run("ip", "link", "set", _BRIDGE, "up")
        switch.run("nft", "add", "table", "bridge", "lab")
        switch.run("nft", "add", "chain", "bridge", "lab", "cut", "{ type filter hook forward priority -200; }")
        machine = Machine.boot(SERVER)
        self.state.server_host = machine.pid
        self._save()
        self.connect(machine, str(UNDERLAY[1]))

    def connect(self, machine: Machine, address: str) -> None:
        """A cable from the machine to the switch."""
        end_here = f"to-{machine.name}"
        switch = self._switch()
        switch.run("ip", "link", "del", end_here, check=False)
        far = ("peer", "name", "eth0", "netns", str(machine.pid))
        switch.run("ip", "link", "add", end_here, "type", "veth", *far)
        switch.run("ip", "link", "set", end_here, "master", _BRIDGE, "up")
        machine.run("ip", "address", "add", f"{address}/{UNDERLAY.prefixlen}", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")

    async def _add_hosts(self) -> None:
        client = await Client.connect(self.address)
        try:
            for name, host in self.state.hosts.items():
                folder = self.folder / name
                folder.mkdir(mode=0o700, exist_ok=True)
                reflects = list(self.state.hosts).index(name) < REFLECTORS
                roles = ("compute", "management") if reflects else ("compute",)
                roles = ("route",) if host.is_gateway else roles
                made = await client.hosts.add(name, underlay_ip=host.underlay, roles=roles)
                (folder / "join").write_text(made.join)
                (folder / "join").chmod(0o600)
        finally:
            await client.close()

    async def _invite(self, hosts: list[str]) -> None:
        """A guest of each tenant on every host, in two subnets by turns."""
        client = await Client.connect(self.address)
        try:
            for tenant in TENANTS:
                project = f"lab/{tenant}"
                await client.create_vpc(project, name=tenant, cidr=RANGE)
                await client.create_subnet(project, "back")
                if self.state.internet:
                    await client.create_snat(project)
                for number, host in enumerate(hosts, 1):
                    name = f"{tenant}{number}"
                    subnet = "default" if number % 2 else "back"
                    port = await client.create_port(project, name=name, subnet=subnet)
                    self.guest(name, project, host, port.ip_address)
                    plugged = await client.plug_port(project, name, name, host=host)
                    await client.wait_programmed(resource_ref("port", project, name), plugged.revision)
        finally:
            await client.close()
        for name in self.state.guests:
            if not self.lease(name):
                raise LabError(f"{name} gets no address")

    async def _answers(self) -> bool:
        try:
            client = await Client.connect(self.address)
        except ApiError:
            return False
        try:
            return await client.is_serving()
        except ApiError:
            return False
        finally:
            await client.close()

    @property
    def internet(self) -> Machine:
        return Machine(outside.INTERNET, self.state.internet)

    def active_gateways(self) -> list[str]:
        """Those that say so of themselves."""
        seats = (host for host in self.state.hosts.values() if host.is_gateway and self.is_on(host.name))
        return [one.name for one in seats if outside.gate_of(self.folder / one.name).state() == "active"]

    def _external(self) -> tuple[str, ...]:
        return (
            *("--external-cidr", str(outside.EXTERNAL), "--external-bridge", outside.BRIDGE),
            *("--gateway-address", str(UNDERLAY[GATEWAYS])),
        )

    def _switch(self) -> Machine:
        return Machine(SWITCH, self.state.switch)

    def _underlay(self, name: str) -> str:
        return str(UNDERLAY[1]) if name == SERVER else self._host(name).underlay

    def _host(self, name: str) -> LabHost:
        if name not in self.state.hosts:
            raise LabError(f"the lab has no host {name!r}: {', '.join(self.state.hosts) or 'there is none'}")
        return self.state.hosts[name]

    def _guest(self, name: str) -> LabGuest:
        if name not in self.state.guests:
            raise LabError(f"the lab has no guest {name!r}: {', '.join(self.state.guests) or 'there is none'}")
        return self.state.guests[name]

    def _end_routing(self, name: str) -> None:
        asyncio.run(Daemons(self.folder / name / "agent" / "frr").end())

    def _end(self, pid: int, how: signal.Signals) -> None:
        if pid:
            end(pid, how)

    def _read(self) -> State:
        try:
            return msgspec.json.decode((self.folder / "lab.json").read_bytes(), type=State)
        except FileNotFoundError:
            return State()

    def _save(self) -> None:
        beside = self.folder / "lab.json.new"
        beside.write_bytes(msgspec.json.encode(self.state))
        beside.replace(self.folder / "lab.json")


def _make_guest(machine: Machine, name: str) -> None:
    machine.run("ip", "netns", "add", name)
    machine.run("ip", "-n", name, "link", "set", "lo", "up")


def wait_until(is_so: Callable[[], bool], what: str, log: Path, timeout_s: float = START_S) -> None:
    """Asked again and again. LabError with the end of the log when it never is."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            tail = log.read_text()[-2000:] if log.exists() else ""
            raise LabError(f"{what}: not there after {timeout_s:.0f} s\n{tail}")
        time.sleep(0.05)
