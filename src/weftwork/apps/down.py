"""`weft down`: take everything of ours off this machine."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import click

from weftwork.apps.options import node_options, settings_from
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure, Refusal
from weftwork.drivers.ovsdb.endpoint import Endpoint, parse_endpoints
from weftwork.seams.driver import Driver

STOP_TIMEOUT_S = 20.0


@click.command()
@node_options
@click.option("--purge", is_flag=True, help="Also delete the store: all intent is gone for good.")
def down(config: Path | None, purge: bool, **flags: str | None) -> None:
    """Stop the node and remove its namespaces, links and rules. The intent stays stored, unless --purge is given.

    \b
    Examples:
      weft down
      weft down --purge
      weft down --config /etc/weftwork/weft.toml
    """
    settings = settings_from(config, flags)
    if purge and settings.storage_backend != "sqlite":
        message = f"the intent is in {settings.storage_backend}, which others may share"
        click.echo(f"error: INVALID_OPTION: --purge: {message}\nnext: Remove it there.", err=True)
        sys.exit(2)
    if os.geteuid():
        click.echo(
            "error: NOT_ROOT: weft down removes network namespaces\nnext: Run it as root, e.g. with sudo.", err=True
        )
        sys.exit(5)
    from weftwork.apps.node import LOCK, only_agent, only_one, tell

    store = Path(settings.storage_path)
    try:
        _stop_node(store.parent / LOCK)
        with only_one(store), only_agent():
            removed = asyncio.run(_remove_everything(settings))
            if purge:
                for file in store.parent.glob(store.name + "*"):
                    file.unlink()
    except (Refusal, Failure) as error:
        tell(error)
        sys.exit(1)
    click.echo(f"removed {removed} resources from this machine" + ("; the store is deleted" if purge else ""))


def _stop_node(lock: Path) -> None:
    """Ask the process that holds the lock to end, and wait for it."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(lock.read_text())
        if not _holds(pid, lock.resolve()):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
            time.sleep(0.02)


def _holds(pid: int, lock: Path) -> bool:
    """Whether the process has the lock's file open: the number of one that died may be another's by now."""
    return any(file.resolve() == lock for file in Path(f"/proc/{pid}/fd").iterdir())


async def _remove_everything(settings: Settings) -> int:
    """Everything that carries our mark; the number of resources. Raises Failure when something stays."""
    from weftwork.apps.backends import private_ovn
    from weftwork.drivers.linux.driver import LinuxDriver

    removed = await _remove_from_ovn(settings)
    await asyncio.to_thread(private_ovn(settings).stop)
    return removed + await _remove_from(LinuxDriver())


async def _remove_from_ovn(settings: Settings) -> int:
    """Out of an OVN that is not ours: our rows and plugs. One of our own goes as a whole."""
    from weftwork.apps.backends import tls_of
    from weftwork.drivers.chassis.driver import ChassisDriver
    from weftwork.drivers.ovn.driver import OvnDriver

    if settings.network_backend != "ovn" or not settings.network_ovn_northbound_endpoint:
        return 0
    (switch,) = parse_endpoints(settings.network_ovn_switch_endpoint)
    chassis = ChassisDriver(switch)
    north = OvnDriver(parse_endpoints(settings.network_ovn_northbound_endpoint), tls=tls_of(settings))
    try:
        return (await _remove_from(chassis) if _is_there(switch) else 0) + await _remove_from(north)
    finally:
        await chassis.close()
        await north.close()


def _is_there(switch: Endpoint) -> bool:
    """A server alone needs no Open vSwitch beside it."""
    return switch.scheme != "unix" or Path(switch.place).exists()


async def _remove_from(driver: Driver) -> int:
    from weftwork.planner.plan import make_plan
    from weftwork.program.texts import text_of

    observed = await driver.observe()
    applied = await driver.apply(make_plan(desired=frozenset(), observed=observed))
    left = await driver.observe()
    if left:
        why = next(iter(applied.failures.values()), None)
        raise Failure("NOT_REMOVED", f"{len(left)} resources stay: {why or text_of(next(iter(left)))}")
    return len(observed)
