"""A subnet that another project may have ports in: it stays in its owner's VPC, and the ports stay the other's."""

from dataclasses import dataclass

from weftwork.base.tenancy import ProjectKey


@dataclass(frozen=True, slots=True)
class SubnetShare:
    """`to` may have ports in the owner's `subnet`."""

    owner: ProjectKey
    subnet: str
    to: ProjectKey
    created_at: int

    @property
    def name(self) -> str:
        """Unique in the project."""
        return f"{self.subnet}/{self.to}"

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"
