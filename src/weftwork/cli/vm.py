"""`weft vm`: microVMs from container images, by the verbs that people know."""

import re
from typing import TYPE_CHECKING

import click

from weftwork.cli.changes import change, remove
from weftwork.cli.command import Group
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import VM
from weftwork.cli.options import How, Parsed, mutating, named, removing
from weftwork.cli.output import print_list, print_one
from weftwork.cli.problems import Problem, note
from weftwork.cli.session import Session, connected
from weftwork.cli.vm_access import console, cp, exec_in, logs, port_forward, proxy, ssh_into
from weftwork.cli.vm_key import own_key, register

if TYPE_CHECKING:
    from weftwork.client.messages import NetworkSpec, Placement, VmServicePort

_UNITS = {"": 1, "M": 1, "Mi": 1, "MiB": 1, "G": 1024, "Gi": 1024, "GiB": 1024}


@click.group(cls=Group)
def vm() -> None:
    """MicroVMs from container images: run, ps, start, stop, restart, rm, logs, exec, ssh, cp, console, inspect."""


def parse_mib(text: str) -> int:
    """`512`, `512M`, `2G`: in MiB, of 1024 KiB."""
    match = re.fullmatch(r"([0-9]{1,7})(M|Mi|MiB|G|Gi|GiB)?", text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is not a size such as 512M or 2G")
    return int(match[1]) * _UNITS[match[2] or ""]


def parse_port(text: str) -> tuple[int, str]:
    """`80`, `53/udp`."""
    number, _, protocol = text.partition("/")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= 65535) or protocol not in ("", "tcp", "udp"):
        raise ValueError(f"{text!r} is not a port such as 80 or 53/udp")
    return int(number), protocol or "tcp"


def parse_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key, value


def parse_nic(text: str) -> dict[str, str]:
    """`subnet=data,address=10.0.1.9,mac=02:…,groups=web+db`, or the name of a subnet."""
    if "=" not in text:
        return {"subnet": text}
    parts = dict(parse_setting(one) for one in text.split(","))
    if unknown := parts.keys() - {"subnet", "address", "mac", "groups"}:
        raise ValueError(f"{min(unknown)!r} is none of subnet, address, mac and groups")
    return parts


_size = Parsed("size", parse_mib)
_port = Parsed("port", parse_port)
_setting = Parsed("key=value", parse_setting)


@vm.command(
    examples=(
        "weft vm run --image nginx --name web --port 80",
        "weft vm run --image 127.0.0.1:5000/app:1 --name app --cpus 2 --memory 1G --disk 8G --env MODE=test",
        "weft vm run --image debian --name db --nic subnet=data,address=10.0.1.9 --restart always -- sleep infinity",
    )
)
@click.option("--image", required=True, metavar="IMAGE", help="nginx, ghcr.io/org/app:1.2, 127.0.0.1:5000/app@sha256:…")
@click.option("--name", default="", help="One is made up if not given.")
@click.option("--port", "ports", multiple=True, type=_port, metavar="PORT", help="80 or 53/udp, open to everybody.")
@click.option(
    "--private-port", "private", multiple=True, type=_port, metavar="PORT", help="Shown as a service, opened to nobody."
)
@click.option("--cpus", type=click.IntRange(1, 32), default=None, help="[default: 1]")
@click.option("--memory", type=_size, default=None, metavar="SIZE", help="512M, 2G.  [default: 512M]")
@click.option("--disk", type=_size, default=None, metavar="SIZE", help="2G, 20G.  [default: 2G]")
@click.option(
    "--nic",
    "nics",
    multiple=True,
    type=Parsed("nic", parse_nic),
    metavar="NIC",
    help="A subnet, or subnet=…,address=…,mac=…,groups=a+b.  [default: one in `default`]",
)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="Of its only NIC.  [default: default]")
@click.option("--ssh-key", "ssh_keys", multiple=True, metavar="KEY", help="[default: all keys of the project]")
@click.option("--env", "environment", multiple=True, type=_setting, metavar="KEY=VALUE")
@click.option("--label", "metadata", multiple=True, type=_setting, metavar="KEY=VALUE", help="Metadata, for people.")
@click.option("--restart", type=click.Choice(["never", "on-failure", "always"]), default="on-failure")
@click.option(
    "--on", "labels", multiple=True, type=_setting, metavar="KEY=VALUE", help="Only on hosts with this label."
)
@click.option("--near", multiple=True, metavar="VM", help="On the same host as this VM.")
@click.option("--apart-from", multiple=True, metavar="VM", help="On another host than this VM.")
@click.option("--arch", type=click.Choice(["amd64", "arm64"]), default=None)
@click.option("--stopped", is_flag=True, help="Make it, but do not start it yet.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@mutating
async def run(
    image: str,
    name: str,
    ports: tuple[tuple[int, str], ...],
    private: tuple[tuple[int, str], ...],
    cpus: int | None,
    memory: int | None,
    disk: int | None,
    nics: tuple[dict[str, str], ...],
    groups: tuple[str, ...],
    ssh_keys: tuple[str, ...],
    environment: tuple[tuple[str, str], ...],
    metadata: tuple[tuple[str, str], ...],
    restart: str,
    labels: tuple[tuple[str, str], ...],
    near: tuple[str, ...],
    apart_from: tuple[str, ...],
    arch: str | None,
    stopped: bool,
    command: tuple[str, ...],
    how: How,
) -> None:
    """Make a VM of an image and start it, with a key of yours in it, so that `weft ssh NAME` works.

    A project without a VPC gets one. What stands behind -- takes the place of the image's own command.
    """
    from weftwork.client import VmSize

    async with connected() as session:
        if not how.dry_run:
            await _make_ready(session, ssh_keys)
        mutation = session.client.create_vm(
            session.project,
            image,
            name=name,
            size=VmSize(cpus or 0, memory or 0, disk or 0),
            nics=_nics(nics, groups),
            ssh_keys=ssh_keys,
            command=command,
            environment=dict(environment),
            services=_services(ports, private),
            metadata=dict(metadata),
            restart=restart,
            placement=_placement(labels, near, apart_from, arch),
            stopped=stopped,
        )
        await change(session, VM, mutation, how, until="Programmed" if stopped else "Running")


@vm.command(examples=("weft vm ps", "weft vm ps -o wide", "weft -P acme/shop vm ps -o json"))
@watched_listing(VM)
async def ps() -> None:
    """List the project's VMs."""
    async with connected() as session:
        print_list(VM, await session.list(VM))


@vm.command(examples=("weft vm inspect web", "weft vm inspect web -o json", "weft -P acme/shop vm inspect web"))
@named(VM)
async def inspect(name: str) -> None:
    """Show all of a VM."""
    async with connected() as session:
        print_one(VM, await session.get(VM, name))


@vm.command(examples=("weft vm start web", "weft vm start web --no-wait", "weft vm start web --dry-run"))
@named(VM)
@mutating
async def start(name: str, how: How) -> None:
    """Start a VM that is stopped; it has its disk and its addresses still, and the project's keys as they are now."""
    async with connected() as session:
        await change(session, VM, session.client.start_vm(session.project, name), how, until="Running")


@vm.command(examples=("weft vm stop web", "weft vm stop web --no-wait", "weft vm stop web --dry-run"))
@named(VM)
@mutating
async def stop(name: str, how: How) -> None:
    """Stop a VM: in good order, and if that takes too long, by force. Its disk and its addresses stay."""
    async with connected() as session:
        await change(session, VM, session.client.stop_vm(session.project, name), how)


@vm.command(examples=("weft vm restart web", "weft vm restart web --no-wait", "weft vm restart web --dry-run"))
@named(VM)
@mutating
async def restart(name: str, how: How) -> None:
    """Stop a VM and start it again."""
    async with connected() as session:
        await change(session, VM, session.client.restart_vm(session.project, name), how, until="Running")


@vm.command(
    examples=("weft vm resize web --memory 1G", "weft vm resize web --cpus 2 --disk 8G", "weft vm resize web --cpus 4")
)
@named(VM)
@click.option("--cpus", type=click.IntRange(1, 32), default=None)
@click.option("--memory", type=_size, default=None, metavar="SIZE")
@click.option("--disk", type=_size, default=None, metavar="SIZE", help="It only grows.")
@mutating
async def resize(name: str, cpus: int | None, memory: int | None, disk: int | None, how: How) -> None:
    """Change the size of a VM that is stopped."""
    from weftwork.client import VmSize

    async with connected() as session:
        size = VmSize(cpus or 0, memory or 0, disk or 0)
        await change(session, VM, session.client.resize_vm(session.project, name, size), how)


@vm.command(examples=("weft vm rm web", "weft vm rm web --cascade", "weft vm rm web --dry-run"))
@named(VM)
@removing
@mutating
async def rm(name: str, cascade: bool, yes: bool, how: How) -> None:
    """Remove a VM with everything of it: its disk, its ports and addresses, its own security group."""
    async with connected() as session:
        found = await session.get(VM, name)
        mutation = session.client.delete_vm(session.project, name, cascade=cascade)
        await remove(session, VM, found, mutation, how, cascade=cascade, ask=not yes)


for _command in (logs, console, exec_in, ssh_into, cp, port_forward, proxy):
    vm.add_command(_command)


async def _make_ready(session: Session, ssh_keys: tuple[str, ...]) -> None:
    """A VPC if there is none, and a key to come in by."""
    try:
        await session.get_vpc("")
    except Problem as problem:
        if problem.code != "VPC_NOT_FOUND":
            raise
        await session.client.create_vpc(session.project)
        note(f"note: made a VPC for {session.project}")
    if not ssh_keys:
        await register(session, own_key())


def _nics(nics: tuple[dict[str, str], ...], groups: tuple[str, ...]) -> "list[NetworkSpec]":
    from weftwork.client import vm_nic

    if groups and len(nics) > 1:
        raise click.UsageError("with several NICs, say the groups of each: --nic subnet=…,groups=a+b")
    if groups:
        nics = ({**(nics[0] if nics else {}), "groups": "+".join(groups)},)
    return [
        vm_nic(
            one.get("subnet", ""),
            address=one.get("address", ""),
            mac=one.get("mac", ""),
            groups=[group for group in one.get("groups", "").split("+") if group],
        )
        for one in nics
    ]


def _services(ports: tuple[tuple[int, str], ...], private: tuple[tuple[int, str], ...]) -> "list[VmServicePort]":
    from weftwork.client import vm_service

    return [
        *(vm_service(port, protocol=protocol) for port, protocol in ports),
        *(vm_service(port, protocol=protocol, private=True) for port, protocol in private),
    ]


def _placement(
    labels: tuple[tuple[str, str], ...], near: tuple[str, ...], apart_from: tuple[str, ...], arch: str | None
) -> "Placement | None":
    from weftwork.client import vm_placement

    if not (labels or near or apart_from or arch):
        return None
    return vm_placement(labels=dict(labels), near=near, apart_from=apart_from, architecture=arch or "")
