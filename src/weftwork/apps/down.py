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
from weftwork.base.errors import Failure, Refusal

STOP_TIMEOUT_S = 20.0


@click.command()
@node_options
@click.option("--purge", is_flag=True, help="Also delete the store: all intent is gone for good.")
@click.option(
    "--deployment",
    metavar="DEPLOYMENT",
    help="Remove what stands for another deployment, by its id, or `unmarked`; this store's networks stay.",
)
def down(config: Path | None, purge: bool, deployment: str | None, **flags: str | None) -> None:
    """Stop the node and remove its namespaces, links and rules, and its VMs with their disks. The intent stays stored,
    unless --purge is given.

    What stands here for another deployment (a store of another installation) stays, and is told; --deployment removes
    it, wherever its store may be.

    \b
    Examples:
      weft down
      weft down --purge
      weft down --deployment 4b0c9e2f71aa
      weft down --config /etc/weftwork/weft.toml
    """
    settings = settings_from(config, flags)
    if purge and settings.storage_backend != "sqlite":
        message = f"the intent is in {settings.storage_backend}, which others may share"
        click.echo(f"error: INVALID_OPTION: --purge: {message}\nnext: Remove it there.", err=True)
        sys.exit(2)
    if purge and deployment:
        raise click.UsageError("--purge deletes this store, --deployment is about another: give one of them")
    if os.geteuid():
        click.echo(
            "error: NOT_ROOT: weft down removes network namespaces\nnext: Run it as root, e.g. with sudo.", err=True
        )
        sys.exit(5)
    from weftwork.apps.deployment import differs, told
    from weftwork.apps.node import LOCK, only_agent, only_one, tell
    from weftwork.apps.removal import is_own, remove

    store = Path(settings.storage_path)
    try:
        if deployment and asyncio.run(is_own(settings, deployment)):
            deployment = None
        if not deployment:
            _stop_node(store.parent / LOCK)
        with only_one(store), only_agent():
            removed, others = asyncio.run(remove(settings, deployment))
            if others and not (removed or deployment or purge):
                raise differs("this store's deployment has nothing here, and `weft down` leaves", others)
            if purge:
                for file in store.parent.glob(store.name + "*"):
                    file.unlink()
    except (Refusal, Failure) as error:
        tell(error)
        sys.exit(1)
    click.echo(f"removed {removed} resources from this machine" + ("; the store is deleted" if purge else ""))
    if others:
        click.echo(f"note: left alone: {told(others)}; `weft down --deployment` removes it", err=True)


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
