"""A peering between the VPCs of two projects. Each project makes its own half; with both halves it is active."""

from dataclasses import dataclass

from weftwork.base.tenancy import ProjectKey


@dataclass(frozen=True, slots=True)
class Peering:
    """One project's half: it wants to reach the VPC of `peer`, and to be reached. At most one half per peer."""

    owner: ProjectKey
    name: str
    peer: ProjectKey
    created_at: int

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"
