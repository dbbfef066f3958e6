"""Who calls: what a door hears of them, and who that turned out to be."""

from dataclasses import dataclass, field
from enum import Enum

from weftwork.access.roles import Grant, Role
from weftwork.base.tenancy import ProjectKey


class Transport(Enum):
    """The way a call came."""

    SOCKET = "socket"
    """The server's Unix socket: the kernel lets nobody connect but root and the server's own user."""
    LOOPBACK = "loopback"
    """TCP without TLS, from this machine."""
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a call. `bearer` is a secret: it goes nowhere but to who checks it.

    `certificate` is the name in a client's certificate that TLS has verified.
    """

    transport: Transport
    peer: str
    bearer: str = field(default="", repr=False)
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is for people and the audit log. `token` is an API token's id, `expires_s` when what proved it ends."""

    name: str
    grants: tuple[Grant, ...] = ()
    expires_s: int = 0
    token: str = ""

    @property
    def is_fleet_admin(self) -> bool:
        return any(grant.role is Role.FLEET_ADMIN for grant in self.grants)

    def role_in(self, owner: ProjectKey) -> Role | None:
        return max((grant.role for grant in self.grants if grant.covers(owner)), default=None)

    def role_over(self, org: str, project: str) -> Role | None:
        """Over a project, a whole organisation, or everything."""
        return max((grant.role for grant in self.grants if grant.covers_scope(org, project)), default=None)

    def sees(self, owner: ProjectKey) -> bool:
        return self.role_in(owner) is not None


LOCAL = Principal("local administrator", (Grant(Role.FLEET_ADMIN),))
"""Whoever may use the server's socket."""


ITSELF = Principal("weftwork", (Grant(Role.FLEET_ADMIN),))
"""The server, without anybody asking."""
