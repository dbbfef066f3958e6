"""Into VMs: the system's ssh and scp over a stream through the control plane, which also says whose host key it is.

No address of a VM need be reachable from here: ssh's ProxyCommand is `weft vm proxy`.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from weftwork.cli.calls import where_words
from weftwork.cli.command import Command
from weftwork.cli.completion import complete_kind
from weftwork.cli.credentials import kept_in
from weftwork.cli.document import Document
from weftwork.cli.nouns import VM
from weftwork.cli.options import Parsed, named
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.session import connected, problem_of
from weftwork.cli.settings import current
from weftwork.cli.vm_key import known_keys

if TYPE_CHECKING:
    from weftwork.client.vms import VmTunnel

CHUNK_BYTES = 32 * 1024

_user = click.option("-l", "--user", default="root", show_default=True, help="Who to be in the VM.")
_identity = click.option(
    "-i", "--identity", type=click.Path(path_type=Path), default=None, help="This private key, no other."
)
_vm = click.argument("name", metavar="VM", shell_complete=complete_kind("vm"))


@click.command(
    "ssh",
    cls=Command,
    examples=("weft ssh web", "weft ssh web -- uname -a", "weft ssh web -l app -i ~/.ssh/id_ed25519"),
)
@_vm
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_user
@_identity
def ssh_into(name: str, command: tuple[str, ...], user: str, identity: Path | None) -> None:
    """Open a shell in a VM, or run a command there, as ssh does."""
    vm = _running(name)
    _replace_us("ssh", *_options(vm, identity), f"{user}@{vm['id']}", *(["--", *command] if command else []))


@click.command(
    "exec",
    cls=Command,
    examples=(
        "weft vm exec web -- ls -l /etc",
        "weft vm exec web -t -- top",
        "weft vm exec web -- sh -c 'id; hostname'",
    ),
)
@_vm
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-t", "--tty", is_flag=True, help="With a terminal.")
@_user
@_identity
def exec_in(name: str, command: tuple[str, ...], tty: bool, user: str, identity: Path | None) -> None:
    """Run one command in a VM, word by word as it stands here; its exit code is ours."""
    vm = _running(name)
    terminal = "-tt" if tty else "-T"
    _replace_us("ssh", terminal, *_options(vm, identity), f"{user}@{vm['id']}", "--", shlex.join(command))


@click.command(
    cls=Command,
    examples=(
        "weft vm cp index.html web:/usr/share/nginx/html/",
        "weft vm cp -r web:/var/log .",
        "weft vm cp web:/etc/os-release -",
    ),
)
@click.argument("source")
@click.argument("destination")
@click.option("-r", "--recursive", is_flag=True, help="With all that is in a folder.")
@_user
@_identity
def cp(source: str, destination: str, recursive: bool, user: str, identity: Path | None) -> None:
    """Copy a file out of a VM or into it: one of the two is VM:PATH."""
    ends = [_end(one) for one in (source, destination)]
    names = {name for name, _ in ends if name}
    if len(names) != 1 or all(name for name, _ in ends):
        raise click.UsageError("exactly one of the two is VM:PATH")
    vm = _running(names.pop())
    if destination == "-":
        path = shlex.quote(ends[0][1])
        _replace_us("ssh", "-T", *_options(vm, identity), f"{user}@{vm['id']}", "--", f"cat -- {path}")
    told = [f"{user}@{vm['id']}:{path}" if name else path for name, path in ends]
    _replace_us("scp", "-q", *(["-r"] if recursive else []), *_options(vm, identity), *told)


@click.command(
    "port-forward",
    cls=Command,
    examples=(
        "weft vm port-forward web 8080:80",
        "weft vm port-forward db 5432",
        "weft vm port-forward web 8080:80 8443:443",
    ),
)
@_vm
@click.argument(
    "ports", nargs=-1, required=True, metavar="[LOCAL:]PORT...", type=Parsed("ports", lambda text: _ports(text))
)
@_user
@_identity
def port_forward(name: str, ports: tuple[tuple[int, int], ...], user: str, identity: Path | None) -> None:
    """Make ports of a VM answer on this machine's loopback, until interrupted: also private ones."""
    vm = _running(name)
    forwards = [word for here, there in ports for word in ("-L", f"127.0.0.1:{here}:127.0.0.1:{there}")]
    for here, there in ports:
        note(f"127.0.0.1:{here} is port {there} of {name}")
    fails = ("-o", "ExitOnForwardFailure=yes")
    _replace_us("ssh", "-N", "-T", *fails, *forwards, *_options(vm, identity), f"{user}@{vm['id']}")


@click.command(
    cls=Command,
    examples=(
        "weft vm proxy web",
        "weft vm proxy web --known-hosts",
        "weft -P acme/shop vm proxy web",
    ),
)
@_vm
@click.option("--known-hosts", is_flag=True, help="Print the line for ssh's known_hosts instead.")
async def proxy(name: str, known_hosts: bool) -> None:
    """Be the ProxyCommand of your own ssh: its bytes go to the VM's SSH server and back."""
    from weftwork.client import ApiError

    async with connected() as session:
        if known_hosts:
            print(f"{name} {(await session.get(VM, name))['host_key']}")
            return
        tunnel = await session.client.connect_vm(session.project, name)
        try:
            await _carry(tunnel)
        except ApiError as error:
            raise problem_of(error, current().server) from None
        finally:
            tunnel.close()


@click.command(cls=Command, examples=("weft vm logs web", "weft vm logs web --follow", "weft -P acme/shop vm logs web"))
@named(VM)
@click.option("-f", "--follow", is_flag=True, help="And what comes, until interrupted.")
async def logs(name: str, follow: bool) -> None:
    """Print what a VM and the command in it have printed, as far as it is kept."""
    await _print_console(name, follow=follow)


@click.command(
    cls=Command,
    examples=("weft vm console web", "weft -P acme/shop vm console web", "weft vm console --server 127.0.0.1:8081 web"),
)
@named(VM)
async def console(name: str) -> None:
    """Watch a VM's console, from the first line that is kept, until interrupted."""
    await _print_console(name, follow=True)


async def _print_console(name: str, *, follow: bool) -> None:
    async with connected() as session:
        async for data in session.client.read_console(session.project, name, follow=follow):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


async def _carry(tunnel: "VmTunnel") -> None:
    """Standard input to the guest, and the guest to standard output, until the guest ends it."""
    import asyncio

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * CHUNK_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)

    async def upwards() -> None:
        while data := await reader.read(CHUNK_BYTES):
            await tunnel.write(data)
        await tunnel.end()

    sending = asyncio.create_task(upwards())
    try:
        while data := await tunnel.read():
            await asyncio.to_thread(_out, data)
    finally:
        sending.cancel()


def _out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _running(name: str) -> Document:
    """The VM, if somebody can be let in."""

    async def get() -> Document:
        async with connected() as session:
            return await session.get(VM, name)

    import asyncio

    vm = asyncio.run(get())
    if vm["state"] != "running" or not vm["host_key"]:
        why = vm["state_message"] or vm["state_reason"]
        raise Problem(
            ExitCode.CONFLICT,
            "GUEST_NOT_RUNNING",
            f"VM {name} is {vm['state'].upper().replace('-', '_')}" + (f": {why}" if why else ""),
            hint=f"weft wait vm {name} --for Running",
        )
    return vm


def _options(vm: Document, identity: Path | None) -> list[str]:
    """For ssh and scp: by which way, with which keys, and whose host key is to be there."""
    told = {
        "ProxyCommand": _proxy_command(vm),
        "UserKnownHostsFile": str(_known_hosts(vm)),
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": vm["id"],
        "HostKeyAlgorithms": "ssh-ed25519",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        **({"IdentitiesOnly": "yes"} if identity else {}),
    }
    keys = [identity] if identity else known_keys()
    return [
        "-F",
        "/dev/null",
        *(word for key, value in told.items() for word in ("-o", f"{key}={value}")),
        *(word for key in keys for word in ("-i", str(key))),
    ]


def _proxy_command(vm: Document) -> str:
    us = shutil.which(sys.argv[0]) or sys.argv[0]
    where = where_words(f"{vm['org_id']}/{vm['project_id']}")
    return shlex.join([str(Path(us).absolute()), *where, "vm", "proxy", vm["name"]]).replace("%", "%%")


def _known_hosts(vm: Document) -> Path:
    """A file with this VM's key, as the control plane says it is, and with no other."""
    file: Path = kept_in().parent / "known_hosts" / str(vm["id"])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(f"{vm['id']} {vm['host_key']}\n")
    return file


def _end(text: str) -> tuple[str, str]:
    """(VM, path); no VM for a file of ours."""
    name, colon, path = text.partition(":")
    return (name, path) if colon and name and "/" not in name else ("", text)


def _ports(text: str) -> tuple[int, int]:
    here, colon, there = text.partition(":")
    numbers = (here, there if colon else here)
    if not all(one.isascii() and one.isdigit() and 1 <= int(one) <= 65535 for one in numbers):
        raise ValueError(f"{text!r} is not PORT or LOCAL:PORT")
    return int(numbers[0]), int(numbers[1])


def _replace_us(program: str, *words: str) -> NoReturn:
    found = shutil.which(program)
    if found is None:
        raise Problem(ExitCode.ERROR, "NO_SSH", f"this machine has no {program}", hint="install openssh-client")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(found, [program, *words])  # noqa: S606
