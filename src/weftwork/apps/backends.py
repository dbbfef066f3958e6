"""The data planes to choose from: what each compiles to, what drives it, and what must be looked after beside it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import get_args

from weftwork.agent.composite import CompositeDriver, Part
from weftwork.apps.deployment import Deployment, together
from weftwork.apps.settings import Settings
from weftwork.base.errors import Kind, Refusal
from weftwork.compiler.capabilities import LINUX, LINUX_VLAN, OVN, OVN_ELSEWHERE, Carries
from weftwork.compiler.fleet_routing import routing_of
from weftwork.compiler.linux.slices import compile_slice as compile_for_linux
from weftwork.compiler.ovn import ground
from weftwork.compiler.settings import (
    ExternalNetwork,
    FilterMode,
    GatewayPair,
    HostProfile,
    Layout,
    Routing,
)
from weftwork.compiler.slices import Compile
from weftwork.controller.fleet import Lower, Route, no_routing
from weftwork.controller.judging import linux_judge
from weftwork.controller.review import Judge
from weftwork.drivers.dhcp.driver import DhcpDriver
from weftwork.drivers.frr.driver import FrrDriver
from weftwork.drivers.gate.driver import GateDriver, keeper_command
from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.flow_log import LinuxFlowSource
from weftwork.drivers.linux.probe import HostCapabilities, probe
from weftwork.drivers.linux.rules_watch import RulesWatch
from weftwork.drivers.linux.trace import LinuxInjector
from weftwork.drivers.linux.usage import LinuxUsage
from weftwork.model.host import Host, HostFacts, is_gateway
from weftwork.program.dhcp import DhcpResource
from weftwork.program.frr import FrrResource
from weftwork.program.gate import GateResource
from weftwork.program.linux import LinuxResource
from weftwork.seams.flows import FlowSource, TakeSeen
from weftwork.seams.marking import Marking, Standing
from weftwork.seams.tracer import Injector
from weftwork.seams.usage import UsageSource

log = logging.getLogger(__name__)

TUNNEL_BYTES = 58
"""What Geneve adds to a packet of a guest."""
VXLAN_BYTES = 50
"""What VXLAN over IPv4 adds: the guest's Ethernet header, and those of VXLAN, UDP and IP (RFC 7348)."""


async def nothing_to_look_after() -> None:
    """For a data plane that needs nobody beside its drivers."""


async def nobody_else() -> Standing:
    """For a data plane where nobody else can be."""
    return {}


@dataclass(frozen=True, slots=True)
class Backend:
    compile_slice: Compile
    parts: tuple[Part, ...]
    look_after: Callable[[], Awaitable[None]] = nothing_to_look_after
    """Runs until cancelled, or ends at once."""
    injector: Injector | None = None
    """Sends real probes and follows them, where the data plane can."""
    flow_source: Callable[[TakeSeen], FlowSource] | None = None
    """Hears of logged packets, where the data plane can."""
    usage: UsageSource | None = None
    judge: Judge | None = None
    """Looks at every program before it is published, where there is a second opinion."""
    others: Callable[[], Awaitable[Standing]] = nobody_else
    """What stands on the targets for other deployments."""


@contextlib.asynccontextmanager
async def open_backend(settings: Settings, ours: Deployment, watch: RulesWatch | None) -> AsyncIterator[Backend]:
    """The one that the settings name. What runs for it goes on when we end, so that a restart loses no packet.

    Raises Refusal when the machine cannot carry it, or carries another deployment's; Failure when it does not start.
    """
    if settings.network_backend == "linux":
        yield await _linux(settings, ours, watch)
        return
    from weftwork.apps.ovn_backends import ovn_of

    async with ovn_of(settings, ours) as backend:
        yield backend


@contextlib.asynccontextmanager
async def open_northbound(settings: Settings, ours: Deployment) -> AsyncIterator[Backend | None]:
    """For a server alone: it writes the rows of an OVN that is there, whose chassis others look after.

    None without one. Raises Refusal when a setting is missing, or another deployment's rows are there.
    """
    if not writes_northbound(settings):
        yield None
        return
    from weftwork.apps.ovn_backends import northbound_of

    async with northbound_of(settings, ours) as backend:
        yield backend


def writes_northbound(settings: Settings) -> bool:
    """Whether a server alone has a northbound to write."""
    return settings.network_backend == "ovn" and bool(settings.network_ovn_northbound_endpoint)


async def _linux(settings: Settings, ours: Deployment, watch: RulesWatch | None) -> Backend:
    profile = host_profile(settings, await asyncio.to_thread(probe))
    log.info("linux data plane: layout %s, filter mode %s", profile.layout, profile.filter_mode)
    linux = LinuxDriver(watch=watch, deployment=ours.id)
    await take_over_machine(settings, ours, linux)
    if has_private_ovn(settings):
        from weftwork.apps.ovn_backends import take_away

        await take_away(settings, linux)
    parts = (
        Part("linux", linux, get_args(LinuxResource)),
        Part("dhcp", DhcpDriver(), get_args(DhcpResource)),
    )
    external = profile.external
    judge = linux_judge(external.gateway, external.cidrs) if external else linux_judge()
    return Backend(
        partial(compile_for_linux, profile=profile),
        parts,
        injector=LinuxInjector(linux),
        flow_source=LinuxFlowSource,
        usage=LinuxUsage(),
        judge=judge,
        others=others_than(ours, linux),
    )


async def take_over_machine(settings: Settings, ours: Deployment, linux: LinuxDriver) -> None:
    """The daemons of an adopted OVN end: what they know is another store's."""
    await ours.take_over(linux)
    if ours.adopts:
        from weftwork.drivers.ovn import private

        await asyncio.to_thread(private.stop_strangers, ground.SCOPE, ovn_folder(settings))


def others_than(ours: Deployment, *drivers: Marking) -> Callable[[], Awaitable[Standing]]:
    async def look() -> Standing:
        there = together([await driver.standing() for driver in drivers])
        return {deployment: things for deployment, things in there.items() if deployment != ours.id}

    return look


def ovn_folder(settings: Settings) -> Path:
    """Of an OVN of our own, whether there is one or not."""
    return Path(settings.storage_path).absolute().parent / "ovn"


def has_private_ovn(settings: Settings) -> bool:
    """Whether anything of one is left, of its daemons or of its network."""
    return ovn_folder(settings).exists() or ground.SCOPE in namespaces.names()


def carries(settings: Settings) -> Carries:
    """What the data plane that the settings name is known to carry."""
    if settings.network_backend == "ovn":
        is_told = not settings.network_ovn_northbound_endpoint or settings.network_ovn_controller_log
        return OVN if is_told else OVN_ELSEWHERE
    return LINUX_VLAN if settings.network_layout == "vlan" else LINUX


def guest_mtu_bytes(settings: Settings) -> int:
    """Between chassis packets go through tunnels; an OVN of our own has one chassis."""
    if settings.server_agents_listen_addr:
        return settings.network_underlay_mtu - VXLAN_BYTES
    tunnelled = settings.network_backend == "ovn" and bool(settings.network_ovn_northbound_endpoint)
    return settings.network_underlay_mtu - (TUNNEL_BYTES if tunnelled else 0)


def device_netns(settings: Settings) -> str | None:
    """Where devices of ports are; None: in the namespaces of their VPCs."""
    if settings.network_backend == "linux":
        return None
    return "" if settings.network_ovn_northbound_endpoint else ground.SCOPE


def external_network(settings: Settings) -> ExternalNetwork | None:
    gateway = settings.external_gateway
    if gateway is None:
        return None
    cidrs, own = settings.network_external_cidrs, settings.network_external_bridge
    return ExternalNetwork(cidrs, gateway, "", own) if own else ExternalNetwork(cidrs, gateway)


def host_profile(settings: Settings, capabilities: HostCapabilities) -> HostProfile:
    """What will be used of what the host offers. Raises Refusal when a setting asks for what it has not."""
    modes, asked = capabilities.filter_modes, settings.network_filter_mode
    if not modes or asked not in ("auto", *modes):
        raise _not_capable(f"network.filter_mode {asked!r}", capabilities.lines[-2])
    mode = modes[0] if asked == "auto" else asked
    if settings.network_layout not in capabilities.layouts or (settings.network_layout == "vlan" and mode != "bridge"):
        raise _not_capable(f"network.layout {settings.network_layout!r}", capabilities.lines[-1])
    return HostProfile(
        filter_mode=mode,
        layout=settings.network_layout,
        mtu_bytes=settings.network_underlay_mtu,
        external=external_network(settings),
        has_bridge_netfilter=capabilities.has("br_netfilter"),
        has_ipv6=Path("/proc/sys/net/ipv6").exists(),
    )


def fleet_lower(settings: Settings, seats: Callable[[], Iterable[IPv4Address]], secret: str) -> Lower:
    """How programs for hosts of the fleet are compiled. `seats` are the gateways that there are; `secret` is theirs."""

    def lower(host: Host, facts: HostFacts, routing: Routing | None) -> Compile:
        modes: list[FilterMode] = [mode for mode in get_args(FilterMode) if mode in facts.filter_modes]
        asked, gateway = settings.network_filter_mode, settings.network_gateway_address
        pair = GatewayPair(gateway, tuple(seats()), secret) if gateway else None
        # Who calls an outer address of the own VPC is answered past the router, so bridged packets must be translated.
        preferred = list(reversed(modes)) if gateway else modes
        chosen: FilterMode = asked if asked in modes else preferred[0] if preferred else "br_netfilter"
        profile = HostProfile(
            filter_mode=chosen,
            layout=_layout_there(settings, host, facts, chosen),
            mtu_bytes=guest_mtu_bytes(settings),
            has_bridge_netfilter=facts.has_bridge_netfilter,
            has_ipv6=facts.has_ipv6,
            external=external_network(settings) if is_gateway(host) else None,
            underlay=host.underlay,
            routing=routing,
            gateways=pair if is_gateway(host) else replace(pair, secret="") if pair else None,
        )
        return partial(compile_for_linux, profile=profile)

    return lower


def _layout_there(settings: Settings, host: Host, facts: HostFacts, mode: FilterMode) -> Layout:
    """What is asked for, where the host has it: on the wire the layouts are the same, so hosts may differ."""
    asked = settings.network_layout
    if asked == "vlan" and ("vlan" not in facts.layouts or mode != "bridge"):
        log.warning("host %s has no layout `vlan`: it gets `bridges`, which other hosts cannot tell", host.name)
        return "bridges"
    return asked


def fleet_route(settings: Settings) -> Route:
    """With whom hosts of the fleet speak BGP."""
    if settings.network_routing != "evpn":
        return no_routing
    return partial(routing_of, asn=settings.network_bgp_asn, foreign=frozenset(settings.network_bgp_peers))


@contextlib.asynccontextmanager
async def open_host(
    deployment: str, watch: RulesWatch | None, capabilities: HostCapabilities, routing: FrrDriver, folder: Path
) -> AsyncIterator[CompositeDriver]:
    """The drivers of a host of the fleet. Raises Refusal when another deployment's networks stand here."""
    if not capabilities.filter_modes:
        raise _not_capable("any network.filter_mode", capabilities.lines[-2])
    linux = LinuxDriver(watch=watch, deployment=deployment, underlay=True, beside=routing)
    await Deployment(deployment).take_over(linux)
    try:
        yield CompositeDriver(
            (
                Part("linux", linux, get_args(LinuxResource)),
                Part("dhcp", DhcpDriver(), get_args(DhcpResource)),
                Part("frr", routing, get_args(FrrResource)),
                Part("gate", GateDriver(folder / "gate", keeper_command()), get_args(GateResource)),
            )
        )
    finally:
        await asyncio.to_thread(linux.close)


def _not_capable(asked: str, offered: str) -> Refusal:
    return Refusal(
        Kind.INVALID,
        "HOST_NOT_CAPABLE",
        f"this machine cannot do {asked}; {offered}",
        hint="Run `weft doctor` to see what is missing.",
    )
