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
from weftwork.apps.deployment import Deployment, LaterTakenOver, taken_over, together
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.compiler.capabilities import LINUX, LINUX_VLAN, OVN, OVN_ELSEWHERE, Carries
from weftwork.compiler.fleet_routing import routing_of
from weftwork.compiler.linux.slices import compile_slice as compile_for_linux
from weftwork.compiler.ovn import ground
from weftwork.compiler.ovn.slices import compile_slice as compile_for_ovn
from weftwork.compiler.settings import (
    ExternalNetwork,
    FilterMode,
    GatewayPair,
    HostProfile,
    Layout,
    OvnProfile,
    Routing,
)
from weftwork.compiler.slices import HOST, Compile
from weftwork.controller.fleet import Lower, Route, no_routing
from weftwork.controller.judging import linux_judge, ovn_judge
from weftwork.controller.review import Judge
from weftwork.drivers.chassis.chassis import Chassis, find_chassis
from weftwork.drivers.chassis.datapath import Datapath
from weftwork.drivers.chassis.devices import turn_off_checksum_offload
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.chassis.flow_log import OvnFlowSource
from weftwork.drivers.chassis.trace import OvnInjector
from weftwork.drivers.dhcp.driver import DhcpDriver
from weftwork.drivers.frr.driver import FrrDriver
from weftwork.drivers.gate.driver import GateDriver, keeper_command
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.flow_log import LinuxFlowSource
from weftwork.drivers.linux.probe import HostCapabilities, probe
from weftwork.drivers.linux.rules_watch import RulesWatch
from weftwork.drivers.linux.trace import LinuxInjector
from weftwork.drivers.linux.usage import LinuxUsage
from weftwork.drivers.ovn import private
from weftwork.drivers.ovn.driver import Obey, OvnDriver, nobody
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.drivers.ovn.southbound import Southbound
from weftwork.drivers.ovsdb.endpoint import Tls, parse_endpoints
from weftwork.model.host import Host, HostFacts, is_gateway
from weftwork.model.intent import Intent
from weftwork.planner.plan import make_plan
from weftwork.program.chassis import ChassisResource
from weftwork.program.dhcp import DhcpResource
from weftwork.program.frr import FrrResource
from weftwork.program.gate import GateResource
from weftwork.program.linux import LinuxResource
from weftwork.program.ovn import OvnResource
from weftwork.program.resource import Program, SliceId
from weftwork.seams.flows import FlowSource, TakeSeen
from weftwork.seams.marking import Marking, Standing
from weftwork.seams.tracer import Injector
from weftwork.seams.usage import UsageSource

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often the daemons of an OVN of our own are looked at."""
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
    is_private = not settings.network_ovn_northbound_endpoint
    backend = await (_private_ovn(settings, ours) if is_private else _existing_ovn(settings, ours))
    try:
        yield backend
    finally:
        for part in backend.parts:
            if isinstance(part.driver, OvnDriver | LaterTakenOver | ChassisDriver):
                await part.driver.close()


@contextlib.asynccontextmanager
async def open_northbound(settings: Settings, ours: Deployment) -> AsyncIterator[Backend | None]:
    """For a server alone: it writes the rows of an OVN that is there, whose chassis others look after.

    None without one. Raises Refusal when a setting is missing, or another deployment's rows are there.
    """
    if not writes_northbound(settings):
        yield None
        return
    gateways, external = settings.network_ovn_gateway_chassis, external_network(settings)
    if external and not gateways:
        raise _no_gateway_chassis()
    profile = OvnProfile(
        guest_mtu_bytes(settings), external, gateways, settings.network_ovn_physical_network, has_chassis=False
    )
    driver = _ovn_driver(settings, ours)
    log.info("ovn data plane: northbound %s, no chassis of ours", settings.network_ovn_northbound_endpoint)
    try:
        parts = (Part("ovn", await taken_over(ours, driver), get_args(OvnResource)),)
        yield Backend(
            partial(compile_for_ovn, profile=profile), parts, judge=_ovn_judge(profile), others=_others(ours, driver)
        )
    finally:
        await driver.close()


def writes_northbound(settings: Settings) -> bool:
    """Whether a server alone has a northbound to write."""
    return settings.network_backend == "ovn" and bool(settings.network_ovn_northbound_endpoint)


def _ovn_driver(settings: Settings, ours: Deployment, obey: Obey = nobody) -> OvnDriver:
    """Of an OVN that is there."""
    tls, south = tls_of(settings), settings.network_ovn_southbound_endpoint
    southbound = Southbound(parse_endpoints(south), tls=tls) if south else None
    north = parse_endpoints(settings.network_ovn_northbound_endpoint)
    return OvnDriver(north, tls=tls, obey=obey, southbound=southbound, deployment=ours.id)


async def _take_away(ovn: PrivateOvn, driver: LinuxDriver) -> None:
    """Before anything is made anew: the ends of its cables in guests have the names that ours will have."""
    await asyncio.to_thread(ovn.stop)
    await driver.apply(make_plan(desired=frozenset(), observed=await driver.observe(frozenset({ovn.netns}))))


async def _linux(settings: Settings, ours: Deployment, watch: RulesWatch | None) -> Backend:
    profile = host_profile(settings, await asyncio.to_thread(probe))
    log.info("linux data plane: layout %s, filter mode %s", profile.layout, profile.filter_mode)
    linux = LinuxDriver(watch=watch, deployment=ours.id)
    await _take_over_machine(settings, ours, linux)
    await _take_away(private_ovn(settings), linux)
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
        others=_others(ours, linux),
    )


async def _take_over_machine(settings: Settings, ours: Deployment, linux: LinuxDriver) -> None:
    """The daemons of an adopted OVN end: what they know is another store's."""
    await ours.take_over(linux)
    if ours.adopts:
        await asyncio.to_thread(private.stop_strangers, ground.SCOPE, private_ovn(settings).folder)


def _others(ours: Deployment, *drivers: Marking) -> Callable[[], Awaitable[Standing]]:
    async def look() -> Standing:
        there = together([await driver.standing() for driver in drivers])
        return {deployment: things for deployment, things in there.items() if deployment != ours.id}

    return look


async def _private_ovn(settings: Settings, ours: Deployment) -> Backend:
    """An OVN of our own in `weft-ovn`, with this machine as its one chassis."""
    host = host_profile(settings, await asyncio.to_thread(probe))
    under, ovn, linux = frozenset(ground.compile_ground(host)), private_ovn(settings), LinuxDriver(deployment=ours.id)
    await _take_over_machine(settings, ours, linux)
    await _lay(linux, under)
    started = await asyncio.to_thread(ovn.start)
    keep_ends_summed(host.external)
    log.info("ovn data plane: an OVN of our own in %s, datapath %s, filter mode ovn", ovn.netns, ovn.datapath)
    log.info("started: %s", ", ".join(started) or "nothing, all of it was running")
    profile = OvnProfile(host.mtu_bytes, host.external, (ovn.chassis,), private.PHYSICAL)
    chassis = _chassis_driver(Chassis(ovn.chassis, ovn.datapath), ovn, ours)
    datapath = Datapath(ovn.folder, chassis.zones)
    north = OvnDriver((ovn.northbound,), obey=datapath.obey, deployment=ours.id)
    await ours.take_over(north, chassis)
    parts = (
        Part("ovn", north, get_args(OvnResource)),
        Part("linux", linux, get_args(LinuxResource)),
        Part("chassis", chassis, (ChassisResource,)),
    )
    return Backend(
        partial(_on_ground, under=under, profile=profile),
        parts,
        partial(_look_after, ovn, host.external),
        injector=OvnInjector(datapath, chassis, str(ovn.southbound)),
        flow_source=partial(OvnFlowSource, ovn.packet_log, begin_anew=ovn.begin_log_anew),
        judge=_ovn_judge(profile),
        others=_others(ours, linux),
    )


def _chassis_driver(chassis: Chassis, ovn: PrivateOvn, ours: Deployment) -> ChassisDriver:
    in_user_space = chassis.is_in_user_space
    return ChassisDriver(ovn.switch, netns=ovn.netns, without_offload=in_user_space, deployment=ours.id)


async def _existing_ovn(settings: Settings, ours: Deployment) -> Backend:
    """The operator's OVN; this host is a chassis of it already."""
    north = parse_endpoints(settings.network_ovn_northbound_endpoint)
    (switch,) = parse_endpoints(settings.network_ovn_switch_endpoint)
    chassis = await find_chassis(switch)
    gateways = settings.network_ovn_gateway_chassis or (chassis.name,)
    profile = OvnProfile(
        guest_mtu_bytes(settings),
        external_network(settings),
        gateways,
        settings.network_ovn_physical_network,
    )
    log.info("ovn data plane: northbound %s, chassis %s, filter mode ovn", ", ".join(map(str, north)), chassis.name)
    driver = ChassisDriver(switch, without_offload=chassis.is_in_user_space, deployment=ours.id)
    datapath = Datapath(Path(switch.place).parent, driver.zones)
    northbound = _ovn_driver(settings, ours, datapath.obey)
    parts = (
        Part("ovn", await taken_over(ours, northbound, driver), get_args(OvnResource)),
        Part("chassis", driver, (ChassisResource,)),
    )
    injector = OvnInjector(datapath, driver, chassis.southbound, tls_of(settings))
    packet_log = settings.network_ovn_controller_log
    return Backend(
        partial(compile_for_ovn, profile=profile),
        parts,
        injector=injector,
        flow_source=partial(OvnFlowSource, Path(packet_log)) if packet_log else None,
        judge=_ovn_judge(profile),
        others=_others(ours, northbound, driver),
    )


def _ovn_judge(profile: OvnProfile) -> Judge:
    external, has_chassis = profile.external, profile.has_chassis
    if external is None:
        return ovn_judge(has_chassis=has_chassis)
    return ovn_judge(external.gateway, external.cidrs, has_chassis=has_chassis)


def private_ovn(settings: Settings) -> PrivateOvn:
    """Whether it runs or not."""
    folder = Path(settings.storage_path).absolute().parent / "ovn"
    uplink = ground.UPLINK if settings.external_gateway else ""
    return PrivateOvn(folder, ground.SCOPE, uplink=uplink, datapath=private.datapath())


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


def tls_of(settings: Settings) -> Tls | None:
    files = (
        settings.network_ovn_certificate,
        settings.network_ovn_private_key,
        settings.network_ovn_ca_certificate,
    )
    return Tls(*map(Path, files)) if all(files) else None


def _on_ground(intent: Intent, slice_id: SliceId, *, under: Program, profile: OvnProfile) -> Program:
    compiled = compile_for_ovn(intent, slice_id, profile)
    return compiled | under if slice_id == HOST else compiled


async def _lay(driver: LinuxDriver, under: Program) -> None:
    """Before the daemons start, for they stand on it; afterwards the loop keeps it."""
    observed = await driver.observe(frozenset(one.scope for one in under))
    wanted = {one.key for one in under}
    there = frozenset(one for one in observed if one.key in wanted)
    applied = await driver.apply(make_plan(desired=under, observed=there))
    if failure := next(iter(applied.failures.values()), None):
        raise failure


async def _look_after(ovn: PrivateOvn, external: ExternalNetwork | None) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            if dead := await asyncio.to_thread(ovn.dead):
                log.warning("died and started again: %s", ", ".join(dead))
                await asyncio.to_thread(ovn.start)
            keep_ends_summed(external)
        except Failure as failure:
            log.warning("%s", failure)


def keep_ends_summed(external: ExternalNetwork | None) -> None:
    """Whoever reads packets in user space completes no checksum, so the cable from outside must not leave any open."""
    if external is not None:
        with contextlib.suppress(OSError):
            turn_off_checksum_offload(external.scope, ground.OUTER_END)


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


def _no_gateway_chassis() -> Refusal:
    return Refusal(
        Kind.INVALID,
        "INVALID_SETTING",
        "network.ovn_gateway_chassis: a server without a chassis of its own cannot choose who leads outside",
        hint="Name the chassis that have the external network in ovn-bridge-mappings.",
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
