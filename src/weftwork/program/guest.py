"""A microVM that a host runs: its processor, memory and disk, its places in networks, and what runs in it."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import ClassVar, Literal

from weftwork.base.addresses import Mac
from weftwork.program.resource import Key

Restart = Literal["never", "on-failure", "always"]


@dataclass(frozen=True, slots=True)
class GuestNic:
    """A virtual network card on the TAP of a port. The TAP is another resource's; a guest only holds it open."""

    port: str
    device: str
    mac: Mac
    address: IPv4Interface
    gateway: IPv4Address | None
    dns_servers: tuple[IPv4Address, ...]
    domain: str
    mtu_bytes: int


@dataclass(frozen=True, slots=True)
class Guest:
    """Its disk stays while it is not `running`. One that is gone from the program takes everything of it along.

    `image` is the digest of a manifest in the host's cache. `command` takes the place of the image's own behind its
    entry point; empty: the image's. `restart` is for both: the command inside, and a machine that died. `run` counts
    what was asked for: another number starts it anew. `host_key_seed` is that of the ed25519 key it shows over SSH.
    """

    rank: ClassVar[int] = 30
    id: str
    scope: str
    hostname: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    image: str
    nics: tuple[GuestNic, ...]
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    authorized_keys: tuple[str, ...]
    host_key_seed: bytes = field(repr=False)
    restart: Restart
    running: bool
    run: int
    own_init: bool = False
    """The image's own /sbin/init takes over, and ours goes."""
    ssh_port: int = 0
    """Where its SSH also listens in its network; 0: nowhere, it is reached through its host alone."""

    @property
    def key(self) -> Key:
        return ("guest", self.scope, self.id)


GuestResource = Guest
