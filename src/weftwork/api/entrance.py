"""What stands at the server's entrance, for all its doors: the guard, and whom and what it knows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weftwork.actions.tokens import TokenBook
from weftwork.api.guard import Guard
from weftwork.api.refusals import RefusalLog
from weftwork.api.tls import Certificates

if TYPE_CHECKING:
    from weftwork.api.identity.desk import LoginDesk


@dataclass(frozen=True, slots=True)
class Entrance:
    """As it is, whoever reaches the server over loopback is the administrator, and nothing refused is noted."""

    guard: Guard = field(default_factory=lambda: Guard(is_open=True))
    tokens: TokenBook | None = None
    login: "LoginDesk | None" = None
    refusals: RefusalLog | None = None
    tls: Certificates | None = None
    """None: TCP without TLS, and on loopback only."""
