"""OVN for the equivalence suite: programs of the real compiler, applied by the real drivers to an OVN of our own."""

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.ovn.names import LOCALNET, external_leg_of, port_of
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.drivers.chassis import flows
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.linux import namespaces
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.private import PHYSICAL, PrivateOvn
from weftwork.drivers.ovsdb.client import Client
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.planner.plan import make_plan
from weftwork.program.chassis import ChassisPort
from weftwork.program.ovn import OvnResource
from weftwork.program.plan import Create, Plan, Replace
from weftwork.program.resource import Program
from weftwork.seams.driver import carried_out, lasting
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.ovn_trace import OvnTrace
from weftwork.testing.equivalence.wire import Fence, Wire
from weftwork.testing.equivalence.world import GUESTS, device_of
from weftwork.testing.guests import run
from weftwork.testing.unixctl import call
from weftwork.verifier.model import OVN_IN_USER_SPACE, Traits, dnats_of, snat_of

OVN_NETNS = "weq-ovn"
OUTSIDE = "outside"
_UPLINK = "inet0"
_APPLY_TIMEOUT_S = 60.0


@dataclass
class OvnPlane:
    """Also cables the outside: a link of the guests' namespace to the bridge of the external network."""

    _assembly: Assembly = field(default_factory=Assembly)
    _intent: Intent = field(default_factory=dict)
    _learned: set[tuple[str, str]] = field(default_factory=set)
    """What the routers know of the outside."""
    _trace: OvnTrace | None = None
    name = "ovn"
    traits: Traits = OVN_IN_USER_SPACE

    def __enter__(self) -> Self:
        self._remove_everything()
        for name in (GUESTS, OVN_NETNS):
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        run(*("ip", "link", "add", OUTSIDE, "netns", GUESTS, "type", "veth", "peer", "name", _UPLINK))
        run("ip", "link", "set", _UPLINK, "netns", OVN_NETNS)
        run("ip", "-n", OVN_NETNS, "link", "set", _UPLINK, "up")
        self._folder = tempfile.TemporaryDirectory(prefix="weq-")
        self.ovn = PrivateOvn(Path(self._folder.name) / "ovn", OVN_NETNS, uplink=_UPLINK)
        self.ovn.start()
        self.profile = OvnProfile(
            external=make.EXTERNAL, gateway_chassis=(self.ovn.chassis,), physical_network=PHYSICAL
        )
        self._runner = asyncio.Runner()
        self._northbound = OvnDriver((self.ovn.northbound,))
        self._southbound = Client((self.ovn.southbound,), "OVN_Southbound", {"MAC_Binding": ("logical_port", "ip")})
        self._chassis = ChassisDriver(self.ovn.switch, netns=OVN_NETNS)
        assert isinstance(make.EXTERNAL.gateway, IPv4Address)
        self.wire = Wire(GUESTS, OUTSIDE, make.EXTERNAL.gateway, fences_every_port=True)
        self.wire.bring_up(OUTSIDE)
        self.apply({})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()
        self._forget_opinion()
        self._runner.run(self._northbound.close())
        self._runner.run(self._chassis.close())
        self._runner.run(self._southbound.close())
        self._runner.close()
        self.ovn.stop()
        self._folder.cleanup()
        self._remove_everything()

    def apply(self, intent: Intent) -> None:
        """Make OVN hold what `intent` means; only what differs from the last one is touched."""
        self._forget_opinion()
        slices = slices_of(self._intent) | slices_of(intent)
        delta = self._assembly.replace_slices({one: compile_slice(intent, one, self.profile) for one in slices})
        self._intent = intent
        self._runner.run(
            self._carry_out(
                make_plan(desired=_rows(delta.added), observed=_rows(delta.removed)),
                make_plan(desired=_ports(delta.added), observed=_ports(delta.removed)),
            )
        )
        # The chassis has the flows when it says so; what the datapath remembers of older ones may be there still.
        self.call("revalidator/purge")
        tracked = flows.read(self.call("dpctl/dump-conntrack"))
        for flow in flows.dead(tracked, flows.translations_of(self._assembly.program())):
            self.call("dpctl/flush-conntrack", *flow.flush)

    def settle(self, questions: Iterable[Fence]) -> None:
        """A router of OVN puts what it heard into the southbound, and from there it comes back to the chassis."""
        legs = {self._leg_of(one.gateway) for one in questions} - {""}
        wanted = {(leg, str(one.address)) for leg in legs for one in questions}

        async def learned() -> None:
            async with asyncio.timeout(_APPLY_TIMEOUT_S):
                while not wanted <= {
                    (row["logical_port"], row["ip"]) for row in (await self._southbound.rows("MAC_Binding")).values()
                }:
                    await asyncio.sleep(0.002)
                    await self._southbound.catch_up()

        if wanted - self._learned:
            self._runner.run(learned())
            self.ovn.run("ovn-nbctl", f"--db={self.ovn.northbound}", "--wait=hv", "sync")
            self.call("revalidator/purge")
        self._learned = wanted

    def _leg_of(self, address: IPv4Address) -> str:
        return next(
            (external_leg_of(own.vpc) for own in self._intent.values() if own.vpc and address in _held(own)), ""
        )

    def forget_flows(self) -> None:
        """As if nobody had spoken yet."""
        self.call("dpctl/flush-conntrack")

    def call(self, method: str, *arguments: str) -> str:
        """One command to vswitchd."""
        return call(self.ovn.folder / "ovs-vswitchd.ctl", method, *arguments)

    def opinion(self) -> OvnTrace:
        """Of what the southbound holds when it is asked first."""
        if self._trace is None:
            everyone = (port for own in self._intent.values() for port in own.ports.values() if port.attachment)
            inports = {device_of(port): port_of(vpc, port) for port in everyone if (vpc := self._intent[port.home].vpc)}
            self._trace = OvnTrace(self.ovn, inports | {OUTSIDE: LOCALNET})
        return self._trace

    def _forget_opinion(self) -> None:
        if self._trace is not None:
            self._trace.close()
            self._trace = None

    async def _carry_out(self, rows: Plan, ports: Plan) -> None:
        """Ports are plugged in while the chassis installs the rows: nobody sends before both is done."""
        async with asyncio.timeout(_APPLY_TIMEOUT_S):
            written = await self._northbound.apply(rows)
            failures = {**written.failures, **await carried_out(self._chassis, ports)}
            if rows and written.in_force is not None:
                failures |= await written.in_force(lasting(rows, written.failures))
        assert not failures, {key: str(failure) for key, failure in failures.items()}
        for step in ports:
            if isinstance(step, Create | Replace) and isinstance(step.new, ChassisPort):
                self.wire.bring_up(step.new.peer_name)

    def _remove_everything(self) -> None:
        for name in (GUESTS, OVN_NETNS):
            if name in namespaces.names():
                run("ip", "netns", "delete", name)


def _rows(program: Program) -> Program:
    return frozenset(one for one in program if isinstance(one, OvnResource))


def _ports(program: Program) -> Program:
    return frozenset(_renamed(one) for one in program if isinstance(one, ChassisPort))


def _held(own: ProjectIntent) -> set[object]:
    return {snat_of(own), *(one.external_ip for one in dnats_of(own))}


def _renamed(port: ChassisPort) -> ChassisPort:
    """The tenants of the suite have ports with the same ids."""
    return replace(port, name=f"{port.scope.removeprefix('weft-')}-{port.name[-8:]}")
