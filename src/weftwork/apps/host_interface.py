"""A host's own interface, put together: where it listens, what compiles for it, and how links are looked at."""

import pwd
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from weftwork.agent.host_loop import HostLoop
from weftwork.agent.stacks import Ground, Naming, StackBook
from weftwork.agent.state import StateFolder
from weftwork.api.host.doors import MutualTls, serve_host
from weftwork.apps.backends import VXLAN_BYTES
from weftwork.base.errors import Kind, Refusal
from weftwork.compiler import stacks
from weftwork.compiler.linux.names import EXTERNAL_LEG
from weftwork.compiler.settings import HostProfile
from weftwork.drivers.linux.link_looks import free_link, links_in
from weftwork.drivers.linux.probe import HostCapabilities

INNER = "inner.sock"
NAMING = Naming(stacks.netns_of, stacks.bridge_of, stacks.vtep_of, stacks.device_of, EXTERNAL_LEG)


@dataclass(frozen=True, slots=True)
class Interface:
    """`users` may come by the socket, beside root. `underlay` is what stacks that span hosts send from."""

    socket: Path
    users: Sequence[str] = ()
    tls: MutualTls | None = None
    underlay: IPv4Address | None = None
    underlay_mtu_bytes: int = 1500


@asynccontextmanager
async def serving_interface(
    how: Interface, folder: Path, state: StateFolder, loop: HostLoop, capabilities: HostCapabilities, *, has_ipv6: bool
) -> AsyncIterator[None]:
    """Failures STATE_DAMAGED, ADDRESS_UNAVAILABLE; Refusal INVALID_SETTING for a user that is none."""
    profile = HostProfile(
        filter_mode=capabilities.filter_modes[0],
        mtu_bytes=how.underlay_mtu_bytes - (VXLAN_BYTES if how.underlay else 0),
        has_bridge_netfilter=capabilities.has("br_netfilter"),
        has_ipv6=has_ipv6,
        underlay=how.underlay,
    )
    ground = Ground(stacks.StackCompiler(profile), NAMING, links_in, free_link, how.underlay)
    book = StackBook(state, loop.layers, loop, ground)
    book.start()
    users = frozenset(map(_number_of, how.users))
    serving = await serve_host(book, socket=how.socket, inner=folder / INNER, users=users, tls=how.tls)
    try:
        yield
    finally:
        await serving.stop()


def _number_of(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise Refusal(
            Kind.INVALID, "INVALID_SETTING", f"this machine has no user {user!r}", hint="Name one that `id` knows."
        ) from None
