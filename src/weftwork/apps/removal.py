"""What stands on this machine for a deployment, taken away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from weftwork.apps.deployment import UNMARKED, name_of, recorded, together
from weftwork.apps.ovn_backends import private_ovn, tls_of
from weftwork.apps.settings import Settings
from weftwork.apps.vms import remove_guests
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.compiler.ovn import ground
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.private import stop_strangers
from weftwork.drivers.ovsdb.endpoint import Endpoint, parse_endpoints
from weftwork.planner.plan import make_plan
from weftwork.program.texts import text_of
from weftwork.seams.marking import Standing

Removable = ChassisDriver | LinuxDriver | OvnDriver


async def remove(settings: Settings, deployment: str | None) -> tuple[int, Standing]:
    """What stands for a deployment, by default this store's and what is unmarked: the number of resources, and what
    stands for others. Raises Failure when something stays, Refusal when there is nothing of the one that was named."""
    if deployment is not None:
        wanted = ["" if deployment == UNMARKED else deployment]
        there = await _standing(settings)
        if wanted[0] not in there:
            raise _unknown(deployment, there)
        await asyncio.to_thread(stop_strangers, ground.SCOPE, private_ovn(settings).folder)
    else:
        own = await recorded(settings)
        wanted = ["", *([own] if own else [])]
        await asyncio.to_thread(private_ovn(settings).stop)
    removed = await remove_guests(settings) if deployment is None else 0
    for one in wanted:
        async with _drivers(settings, one) as drivers:
            removed += sum([await _remove_from(driver) for driver in drivers])
    return removed, await _standing(settings)


async def is_own(settings: Settings, deployment: str) -> bool:
    """Whether it is this store's. A store that is out of reach does not keep anybody from removing what it left."""
    with contextlib.suppress(Failure):
        return deployment == await recorded(settings)
    return False


def _unknown(deployment: str, there: Standing) -> Refusal:
    known = ", ".join(map(name_of, sorted(there))) or "none"
    message = f"nothing stands here for deployment {deployment}"
    return Refusal(Kind.UNKNOWN, "DEPLOYMENT_NOT_FOUND", message, hint=f"Deployments with something here: {known}.")


async def _standing(settings: Settings) -> Standing:
    async with _drivers(settings, "") as drivers:
        return together([await driver.standing() for driver in drivers])


@contextlib.asynccontextmanager
async def _drivers(settings: Settings, deployment: str) -> AsyncIterator[tuple[Removable, ...]]:
    """Of an OVN that is not ours: our plugs and rows. One of our own goes as a whole, with its namespace."""
    linux = LinuxDriver(deployment=deployment)
    try:
        if settings.network_backend != "ovn" or not settings.network_ovn_northbound_endpoint:
            yield (linux,)
            return
        (switch,) = parse_endpoints(settings.network_ovn_switch_endpoint)
        chassis = ChassisDriver(switch, deployment=deployment)
        endpoints = parse_endpoints(settings.network_ovn_northbound_endpoint)
        north = OvnDriver(endpoints, tls=tls_of(settings), deployment=deployment)
        try:
            yield (chassis, north, linux) if _is_there(switch) else (north, linux)
        finally:
            await chassis.close()
            await north.close()
    finally:
        linux.close()


def _is_there(switch: Endpoint) -> bool:
    """A server alone needs no Open vSwitch beside it."""
    return switch.scheme != "unix" or Path(switch.place).exists()


async def _remove_from(driver: Removable) -> int:
    observed = await driver.observe()
    applied = await driver.apply(make_plan(desired=frozenset(), observed=observed))
    left = await driver.observe()
    if left:
        why = next(iter(applied.failures.values()), None)
        raise Failure("NOT_REMOVED", f"{len(left)} resources stay: {why or text_of(next(iter(left)))}")
    return len(observed)
