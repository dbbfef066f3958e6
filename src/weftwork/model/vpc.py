"""A VPC: one project's isolated network (N §3.2)."""

from dataclasses import dataclass

from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey


@dataclass(frozen=True, slots=True)
class FlowLog:
    """What is logged of packets: one of `sample` that are dropped; `allowed`: and the first ones of what passes."""

    sample: int = 1
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Vpc:
    """One per project. `vni` is unique in the deployment and names the VPC's network namespace."""

    owner: ProjectKey
    name: str
    cidr: Cidr
    vni: int
    created_at: int
    updated_at: int
    flow_log: FlowLog | None = None
    """None: nothing is."""

    @property
    def id(self) -> str:
        return str(self.owner)

    @property
    def netns(self) -> str:
        """The network namespace that holds the VPC on a Linux host."""
        return f"weft-{self.vni}"
