"""OVN as the data plane of a node: one of our own, or the operator's. Imported only by who has one."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import get_args

from weftwork.agent.composite import Part
from weftwork.apps.backends import (
    Backend,
    external_network,
    guest_mtu_bytes,
    host_profile,
    others_than,
    ovn_folder,
    take_over_machine,
)
from weftwork.apps.deployment import Deployment, LaterTakenOver, taken_over
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.compiler.ovn import ground
from weftwork.compiler.ovn.slices import compile_slice as compile_for_ovn
from weftwork.compiler.settings import ExternalNetwork, OvnProfile
from weftwork.compiler.slices import HOST
from weftwork.controller.judging_ovn import ovn_judge
from weftwork.controller.review import Judge
from weftwork.drivers.chassis import devices
from weftwork.drivers.chassis.chassis import Chassis, find_chassis
from weftwork.drivers.chassis.datapath import Datapath
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.chassis.flow_log import OvnFlowSource
from weftwork.drivers.chassis.trace import OvnInjector
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.probe import probe
from weftwork.drivers.ovn import private
from weftwork.drivers.ovn.driver import Obey, OvnDriver, nobody
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.drivers.ovn.southbound import Southbound
from weftwork.drivers.ovsdb.endpoint import Tls, parse_endpoints
from weftwork.model.intent import Intent
from weftwork.planner.plan import make_plan
from weftwork.program.chassis import ChassisResource
from weftwork.program.linux import LinuxResource
from weftwork.program.ovn import OvnResource
from weftwork.program.resource import Program, SliceId

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often the daemons of an OVN of our own are looked at."""


@contextlib.asynccontextmanager
async def ovn_of(settings: Settings, ours: Deployment) -> AsyncIterator[Backend]:
    """One of our own, or the operator's. Raises Refusal, Failure."""
    is_private = not settings.network_ovn_northbound_endpoint
    backend = await (_private_ovn(settings, ours) if is_private else _existing_ovn(settings, ours))
    try:
        yield backend
    finally:
        for part in backend.parts:
            if isinstance(part.driver, OvnDriver | LaterTakenOver | ChassisDriver):
                await part.driver.close()


@contextlib.asynccontextmanager
async def northbound_of(settings: Settings, ours: Deployment) -> AsyncIterator[Backend]:
    """The rows alone of an OVN that is there. Raises Refusal."""
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
            partial(compile_for_ovn, profile=profile),
            parts,
            judge=_ovn_judge(profile),
            others=others_than(ours, driver),
        )
    finally:
        await driver.close()


def _ovn_driver(settings: Settings, ours: Deployment, obey: Obey = nobody) -> OvnDriver:
    """Of an OVN that is there."""
    tls, south = tls_of(settings), settings.network_ovn_southbound_endpoint
    southbound = Southbound(parse_endpoints(south), tls=tls) if south else None
    north = parse_endpoints(settings.network_ovn_northbound_endpoint)
    return OvnDriver(north, tls=tls, obey=obey, southbound=southbound, deployment=ours.id)


async def take_away(settings: Settings, driver: LinuxDriver) -> None:
    """Before anything is made anew: the ends of its cables in guests have the names that ours will have. A namespace
    goes some time after it was deleted, so the cables go first."""
    ovn = private_ovn(settings)
    await asyncio.to_thread(ovn.stop)
    await asyncio.to_thread(_unplug, ovn.netns)
    await driver.apply(make_plan(desired=frozenset(), observed=await driver.observe(frozenset({ovn.netns}))))


def _unplug(netns: str) -> None:
    for name, deployment in devices.standing(netns).items():
        devices.remove(netns, name, deployment)


async def _private_ovn(settings: Settings, ours: Deployment) -> Backend:
    """An OVN of our own in `weft-ovn`, with this machine as its one chassis."""
    host = host_profile(settings, await asyncio.to_thread(probe))
    under, ovn, linux = frozenset(ground.compile_ground(host)), private_ovn(settings), LinuxDriver(deployment=ours.id)
    await take_over_machine(settings, ours, linux)
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
        others=others_than(ours, linux),
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
        others=others_than(ours, northbound, driver),
    )


def _ovn_judge(profile: OvnProfile) -> Judge:
    external, has_chassis = profile.external, profile.has_chassis
    if external is None:
        return ovn_judge(has_chassis=has_chassis)
    return ovn_judge(external.gateway, external.cidrs, has_chassis=has_chassis)


def private_ovn(settings: Settings) -> PrivateOvn:
    """Whether it runs or not."""
    uplink = ground.UPLINK if settings.external_gateway else ""
    return PrivateOvn(ovn_folder(settings), ground.SCOPE, uplink=uplink, datapath=private.datapath())


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
            devices.turn_off_checksum_offload(external.scope, ground.OUTER_END)


def _no_gateway_chassis() -> Refusal:
    return Refusal(
        Kind.INVALID,
        "INVALID_SETTING",
        "network.ovn_gateway_chassis: a server without a chassis of its own cannot choose who leads outside",
        hint="Name the chassis that have the external network in ovn-bridge-mappings.",
    )
