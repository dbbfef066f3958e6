"""Namespaces of VPCs as the daemons see them, and what makes zebra look at neighbours that it has missed."""

import asyncio
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.frr.daemons import Daemons
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import links_decode, namespaces, scope_state
from weftwork.drivers.linux.netlink import CREATE, REPLACE, Request, Socket, attribute, attributes

_SHOW = (
    'mkdir -p /run/frr/ns && touch "/run/frr/ns/$2"'
    ' && mount --no-canonicalize --bind "/proc/$1/root/run/netns/$2" "/run/frr/ns/$2"'
    ' && ln -sfn "/run/frr/ns/$2" "/run/netns/$2"'
)
"""By a link: zebra looks at a name as soon as it is there, and a mount point is there before the mount."""
_HIDE = 'rm -f "/run/netns/$2"; umount -l "/run/frr/ns/$2"; rm -f "/run/frr/ns/$2"'


def shown(daemons: Daemons) -> frozenset[str]:
    """Those that stand: a namespace that was made again under its name is another one."""
    try:
        names = [one.name for one in daemons.shown().iterdir()]
    except OSError:
        return frozenset()
    return frozenset(name for name in names if _inode(daemons.path(f"ns/{name}")) == namespaces.inode(name))


async def show(daemons: Daemons, name: str) -> None:
    """Failure FRR_NAMESPACE."""
    if daemons.shown().joinpath(name).is_symlink():
        await hide(daemons, name)
    if await _inside(daemons, _SHOW, name):
        raise Failure("FRR_NAMESPACE", f"the network namespace {name} cannot be shown to the routing daemons")


async def hide(daemons: Daemons, name: str) -> None:
    await _inside(daemons, _HIDE, name)


def touch_neighbours(names: Iterable[str]) -> None:
    """Says each neighbour of a port here twice, in two states: the kernel tells of a change, and it is as before.

    zebra 8.4 takes what it reads in other namespaces for the host's own, and understands only what it is told.
    """
    for name in names:
        try:
            with namespaces.opened(name) as descriptor, namespaces.inside(descriptor), Socket() as route:
                _touch(route)
        except (FileNotFoundError, ValueError):
            continue


def _touch(route: Socket) -> None:
    vteps = {one.index for one in scope_state.links(route) if one.kind == "vxlan"}
    entries = route.dump(wire.GET_NEIGHBOUR, bytes([7]) + bytes(11))
    here = {mac for index, mac, _ in links_decode.static_entries(entries) if index not in vteps}
    requests: list[Request] = []
    for body in route.dump(wire.GET_NEIGHBOUR, bytes(12)):
        family, index, state = struct.unpack_from("=BxxxiH", body)
        inner = attributes(body, 12)
        ours = inner.get(wire.NDA_PROTOCOL, b"\0")[0] == wire.PROTOCOL and state & wire.NUD_PERMANENT
        if ours and links_decode.mac_of(inner.get(wire.NDA_LLADDR, bytes(6))) in here:
            requests += [_said(family, index, one, inner) for one in (wire.NUD_NOARP, wire.NUD_PERMANENT)]
    route.exchange(requests)


def _said(family: int, index: int, state: int, inner: dict[int, bytes]) -> Request:
    body = struct.pack("=BxHiHBB", family, 0, index, state, 0, 0)
    kept = (wire.NDA_DST, wire.NDA_LLADDR, wire.NDA_PROTOCOL)
    body += b"".join(attribute(kind, inner[kind]) for kind in kept)
    return Request(wire.NEW_NEIGHBOUR, CREATE | REPLACE, body)


def is_empty(name: str) -> bool:
    """Whether nothing but its loopback is in there."""
    try:
        with namespaces.opened(name) as descriptor, namespaces.inside(descriptor), Socket() as route:
            return len(scope_state.links(route)) <= 1
    except (FileNotFoundError, ValueError):
        return True


async def _inside(daemons: Daemons, script: str, name: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *("nsenter", "--target", str(daemons.holder), "--mount", "--", "sh", "-c", script, "sh"),
        *(str(os.getpid()), name),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
    )
    return await process.wait()


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return -1
