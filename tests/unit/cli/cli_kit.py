"""What the CLI's tests share: `weft` in this process, and every command in it."""

from collections.abc import Iterator

import click
from click.testing import CliRunner, Result

from weftwork.apps.weft import weft
from weftwork.cli.command import Command, Group

NOWHERE = "unix:/nonexistent/weftwork.sock"


def run(*args: str, server: str | None = NOWHERE, **env: str | None) -> Result:
    """`weft ARGS`, with nothing of the caller's environment that would matter."""
    clean = {"WEFT_SERVER": server, "WEFT_PROJECT": None, "NO_COLOR": None, "XDG_CONFIG_HOME": "/nonexistent", **env}
    return CliRunner().invoke(weft(), list(args), env=clean, prog_name="weft")


def commands(parent: click.Group | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Command]]:
    """Each verb that talks to the server or to nobody; commands of this machine are not the CLI's."""
    for name, command in (parent or weft()).commands.items():
        if isinstance(command, Group):
            yield from commands(command, (*path, name))
        elif isinstance(command, Command) and not command.hidden:
            yield " ".join((*path, name)), command
