"""`weft ssh-key`: the keys that let people into a project's VMs."""

import sys
from pathlib import Path

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import SSH_KEY
from weftwork.cli.options import How, mutating, named
from weftwork.cli.output import print_list, print_one
from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.session import connected


@click.group("ssh-key", cls=Group)
def ssh_key() -> None:
    """Public keys that VMs are started with."""


@ssh_key.command(
    examples=(
        "weft ssh-key add ann ~/.ssh/id_ed25519.pub",
        "weft ssh-key add ann -",
        "weft ssh-key add ann ~/.ssh/id_ed25519.pub --dry-run",
    )
)
@click.argument("name")
@click.argument("file", metavar="FILE")
@mutating
async def add(name: str, file: str, how: How) -> None:
    """Add a public key, from a file or (-) standard input. VMs have it from their next start on."""
    async with connected() as session:
        mutation = session.client.create_ssh_key(session.project, name, _read(file).strip())
        await change(session, SSH_KEY, mutation, how)


@ssh_key.command("list", examples=("weft ssh-key list", "weft ssh-key list -o json", "weft -P a/b ssh-key list"))
@watched_listing(SSH_KEY)
async def list_keys() -> None:
    """List the project's SSH keys."""
    async with connected() as session:
        print_list(SSH_KEY, await session.list(SSH_KEY))


@ssh_key.command(examples=("weft ssh-key show ann", "weft ssh-key show ann -o yaml", "weft -P a/b ssh-key show ann"))
@named(SSH_KEY)
async def show(name: str) -> None:
    """Show an SSH key."""
    async with connected() as session:
        print_one(SSH_KEY, await session.get(SSH_KEY, name))


@ssh_key.command(
    examples=("weft ssh-key delete ann", "weft ssh-key delete ann --dry-run", "weft -P a/b ssh-key delete ann")
)
@named(SSH_KEY)
@mutating
async def delete(name: str, how: How) -> None:
    """Delete an SSH key. A VM that was started with it has it until its next start."""
    async with connected() as session:
        found = await session.get(SSH_KEY, name)
        await remove(session, SSH_KEY, found, session.client.delete_ssh_key(session.project, name), how)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(ExitCode.USAGE, "INVALID_FILE", f"{file}: {error}") from None
