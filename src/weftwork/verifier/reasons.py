"""Why a packet is delivered or not. The codes and what they mean are in `base/reasons.py`."""

from dataclasses import dataclass

from weftwork.base.reasons import ReasonCode
from weftwork.base.tenancy import ProjectKey
from weftwork.model.network_policy import PolicyRule
from weftwork.model.security_group import Rule

__all__ = ["Reason", "ReasonCode"]


@dataclass(frozen=True, slots=True)
class Reason:
    """`thing` is the name of what decides: a security group, a policy, a NAT, a port; `rule` is the rule, where one
    decides."""

    code: ReasonCode
    owner: ProjectKey | None = None
    thing: str = ""
    rule: Rule | PolicyRule | None = None

    @property
    def stops(self) -> bool:
        return self.code.value.stops
