"""The Linux data plane for the equivalence suite: programs of the real compiler, applied by the real driver."""

import asyncio
import contextlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import FilterMode, HostProfile, Layout
from weftwork.compiler.slices import slices_of
from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.netlink import NETFILTER, Request, Socket
from weftwork.drivers.linux.probe import probe
from weftwork.model.intent import Intent
from weftwork.planner.plan import make_plan
from weftwork.program.linux import LinuxResource, PortLink, Uplink
from weftwork.program.plan import Create, Replace
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.wire import Fence, Wire
from weftwork.testing.equivalence.world import GUESTS
from weftwork.testing.guests import run
from weftwork.verifier.model import LINUX, Traits

PREFIX = "weq-"
"""Before the names of the namespaces, so that an agent on the same host takes them for nobody's."""

OUTSIDE = "outside"
_FLUSH_FLOWS = (1 << 8) | 2
_AF_INET = 2
_APPLY_TIMEOUT_S = 60.0


@dataclass
class LinuxPlane:
    """Also cables the outside: a link of the guests' namespace under the external bridge."""

    layout: Layout = "bridges"
    filter_mode: FilterMode | None = None
    """None for what this kernel prefers."""
    _assembly: Assembly = field(default_factory=Assembly)
    _intent: Intent = field(default_factory=dict)
    name = "linux"
    traits: Traits = LINUX

    def __enter__(self) -> Self:
        found = probe()
        self.profile = HostProfile(
            filter_mode=self.filter_mode or found.filter_modes[0],
            layout=self.layout,
            external=make.EXTERNAL,
            has_bridge_netfilter=found.has("br_netfilter"),
        )
        self._driver = LinuxDriver(PREFIX)
        self._runner = asyncio.Runner()
        self._remove_everything()
        run("ip", "netns", "add", GUESTS)
        run("ip", "netns", "exec", GUESTS, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        self.apply({})
        external = self.profile.external
        assert external is not None
        scope = PREFIX + external.scope
        run(*("ip", "link", "add", OUTSIDE, "netns", GUESTS, "type", "veth", "peer", "name", "inet0", "netns", scope))
        run("ip", "-n", scope, "link", "set", "inet0", "master", external.bridge, "up")
        assert isinstance(external.gateway, IPv4Address)
        self.wire = Wire(GUESTS, OUTSIDE, external.gateway)
        self.wire.bring_up(OUTSIDE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()
        self._driver.close()
        self._runner.close()
        self._remove_everything()

    def apply(self, intent: Intent) -> None:
        """Make the kernel hold what `intent` means; only what differs from the last one is touched."""
        slices = slices_of(self._intent) | slices_of(intent)
        delta = self._assembly.replace_slices({one: compile_slice(intent, one, self.profile) for one in slices})
        plan = make_plan(desired=_of_this_plane(delta.added), observed=_of_this_plane(delta.removed))

        async def carry_out() -> None:
            async with asyncio.timeout(_APPLY_TIMEOUT_S):
                applied = await self._driver.apply(plan)
            assert not applied.failures, {key: str(failure) for key, failure in applied.failures.items()}

        self._runner.run(carry_out())
        self._intent = intent
        for step in plan:
            if isinstance(step, Create | Replace) and isinstance(step.new, PortLink):
                self.wire.bring_up(step.new.peer_name)

    def opinion(self) -> None:
        """Nobody else follows packets through nftables and bridges."""

    def settle(self, questions: Iterable[Fence]) -> None:
        """The kernel learns from questions before it answers them."""

    def forget_flows(self) -> None:
        """As if nobody had spoken yet."""
        for own in self._intent.values():
            if own.vpc is not None:
                with (
                    namespaces.opened(PREFIX + own.vpc.netns) as descriptor,
                    namespaces.inside(descriptor),
                    Socket(NETFILTER) as netfilter,
                ):
                    netfilter.exchange([Request(_FLUSH_FLOWS, 0, struct.pack("=BBH", _AF_INET, 0, 0))])

    def _remove_everything(self) -> None:
        for name in namespaces.names():
            if name.startswith(PREFIX):
                with contextlib.suppress(RuntimeError):
                    run("ip", "netns", "delete", name)


def _of_this_plane(program: Program) -> Program:
    return frozenset(_renamed(one) for one in program if isinstance(one, LinuxResource))


def _renamed(resource: LinuxResource) -> Resource:
    moved = replace(resource, scope=PREFIX + resource.scope)
    return replace(moved, peer_scope=PREFIX + moved.peer_scope) if isinstance(moved, Uplink) else moved
