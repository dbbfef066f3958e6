"""A network policy: rules that a project or one of its subnets sets above its security groups (N §8.2)."""

from dataclasses import dataclass, replace
from enum import Enum

from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import GroupRef, PortRange, Protocol

WHOLE_PROJECT = ""


class PolicyKind(Enum):
    INGRESS = "ingress"
    """Judges what comes to the target's ports."""
    EGRESS = "egress"
    """Judges what the target's ports send."""
    ISOLATION = "isolation"
    """Denies what passes between the target and everything outside of it, in both directions, but for its rules."""


class Action(Enum):
    ALLOW = "allow"
    """On to the security groups: policies with a higher number are not asked."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class SubnetRef:
    """A subnet of the same project, by name: its range."""

    name: str


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Matches `protocol` with destination `ports` (None: all) when `peer` is the other end.

    The other end is the source of an ingress rule and the destination of an egress rule; of an isolation's rule,
    whichever end is outside of the target.
    """

    action: Action
    protocol: Protocol
    ports: PortRange | None
    peer: Cidr | GroupRef | SubnetRef


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """`subnet` is its target, or empty for the whole project. Rules stand in their order: the first that matches
    decides."""

    owner: ProjectKey
    name: str
    kind: PolicyKind
    subnet: str
    priority: int
    rules: tuple[PolicyRule, ...]
    created_at: int

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def place(self) -> tuple[int, str]:
        """Its place among the policies that judge a flow: by priority, the lowest first, then by name."""
        return (self.priority, self.name)

    @property
    def judges_ingress(self) -> bool:
        return self.kind is not PolicyKind.EGRESS

    @property
    def judges_egress(self) -> bool:
        return self.kind is not PolicyKind.INGRESS

    def without_peer(self, peer: GroupRef | SubnetRef) -> "NetworkPolicy":
        """Less the rules that name it."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.peer != peer))

    @property
    def groups_named(self) -> frozenset[str]:
        return frozenset(rule.peer.name for rule in self.rules if isinstance(rule.peer, GroupRef))

    @property
    def subnets_named(self) -> frozenset[str]:
        """Its target too, when that is a subnet."""
        named = {rule.peer.name for rule in self.rules if isinstance(rule.peer, SubnetRef)}
        return frozenset(named | ({self.subnet} if self.subnet else set()))
