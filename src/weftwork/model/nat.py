"""NAT between a VPC and the external network (N §9)."""

from dataclasses import dataclass

from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.model.security_group import Protocol


@dataclass(frozen=True, slots=True)
class Snat:
    """The VPC's guests leave with the source `external_ip`. At most one per VPC."""

    owner: ProjectKey
    external_ip: Address
    enabled: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Dnat:
    """`external_ip:external_port` reaches `internal_ip:internal_port` (TCP or UDP), also from inside the VPC."""

    owner: ProjectKey
    external_ip: Address
    external_port: int
    protocol: Protocol
    internal_ip: Address
    internal_port: int
    created_at: int

    @property
    def name(self) -> str:
        """Unique in the deployment, because an external address belongs to one VPC."""
        return f"{self.external_ip}:{self.external_port}:{self.protocol.value}"

    @property
    def external(self) -> str:
        """As a person writes it."""
        return f"{self.external_ip}:{self.external_port}/{self.protocol.value}"
