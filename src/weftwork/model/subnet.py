"""A subnet: a range of addresses inside one VPC, and one broadcast domain (N §3.3)."""

from dataclasses import dataclass

from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey


@dataclass(frozen=True, slots=True)
class Subnet:
    """`vlan` (1–4094) is unique inside the VPC: it names the bridge and tags the subnet in the VLAN layout.

    `vni` is on the wire between hosts; 0 until the first port of the subnet is plugged on a host of the fleet.
    """

    owner: ProjectKey
    name: str
    cidr: Cidr
    gateway: Address
    vlan: int
    dhcp_enabled: bool
    dns_servers: tuple[Address, ...]
    domain_name: str
    ntp_servers: tuple[Address, ...]
    lease_time_s: int
    created_at: int
    vni: int = 0

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"
