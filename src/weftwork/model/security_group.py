"""A security group: stateful rules that allow; what no rule allows is dropped (N §3.5, §8.1)."""

from dataclasses import dataclass
from enum import Enum

from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey


class Protocol(Enum):
    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Transport ports, both ends included, 0–65535."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A security group by name: its members' addresses. `owner` is None in the group's own project, else a peer."""

    name: str
    owner: ProjectKey | None = None

    def __str__(self) -> str:
        """Its name, with the project before that of a peer."""
        return f"{self.owner}/{self.name}" if self.owner else self.name


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows `protocol` with `ports` (None: all) between the group's members and `peer`.

    The peer is the source of an ingress rule and the destination of an egress rule.
    """

    protocol: Protocol
    ports: PortRange | None
    peer: Cidr | GroupRef


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    owner: ProjectKey
    name: str
    description: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    created_at: int

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"
