"""`weft store`: what concerns the store itself. It opens the stores; no server takes part."""

import asyncio
import sys
from pathlib import Path

import click

from weftwork.apps.settings import Settings, load
from weftwork.base.errors import Failure, Refusal
from weftwork.store.migrate import Content


@click.group()
def store() -> None:
    """Move everything from one store to another."""


@store.command()
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.argument("target", metavar="TO", type=click.Path(path_type=Path))
def migrate(source: Path, target: Path) -> None:
    """Copy everything from one store to another one, which must be empty, and verify it by reading both.

    FROM and TO are TOML files as --config takes them; of each, only [storage] counts. Stop the servers first.

    \b
    Examples:
      weft store migrate /etc/weftwork/weft.toml etcd.toml
    """
    from weftwork.apps.node import tell

    try:
        moved = asyncio.run(_migrate(_settings(source), _settings(target)))
    except (Refusal, Failure) as error:
        tell(error)
        sys.exit(1)
    click.echo(f"moved {moved.keys} keys, SHA-256 {moved.sha256} in both")


def _settings(file: Path) -> Settings:
    """Of the file alone: variables would be those of both."""
    return load(file, {})


async def _migrate(source: Settings, target: Settings) -> Content:
    from weftwork.apps.stores import open_store
    from weftwork.store.migrate import migrate as move

    async with open_store(source) as old, open_store(target) as new:
        return await move(old.store, new.store)
