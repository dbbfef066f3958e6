"""A project as somebody wrote it down. A field that is left to the server is None; so is a section that is left out."""

from dataclasses import dataclass, fields

from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model.network_policy import PolicyKind, PolicyRule
from weftwork.model.reach_test import End, Must
from weftwork.model.security_group import PortRange, Protocol, Rule

DEFAULT = "default"
LEASE_TIME_S = 86_400


@dataclass(frozen=True, slots=True)
class VpcSpec:
    name: str | None = None
    cidr: Cidr | None = None


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    cidr: Cidr | None = None
    dhcp: bool = True
    dns_servers: tuple[Address, ...] = ()
    domain: str = ""
    ntp_servers: tuple[Address, ...] = ()
    lease_time_s: int = LEASE_TIME_S
    shared_with: frozenset[ProjectKey] = frozenset()


@dataclass(frozen=True, slots=True)
class GroupSpec:
    description: str = ""
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class PortSpec:
    """`vm` is None when it is left to whoever attaches the port; empty for none."""

    subnet: str = DEFAULT
    address: Address | None = None
    mac: Mac | None = None
    groups: tuple[str, ...] = (DEFAULT,)
    vm: str | None = None


@dataclass(frozen=True, slots=True)
class SnatSpec:
    external: Address | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Outer:
    """Where a DNAT listens; without an address, at one that the server chooses."""

    address: Address | None
    port: int
    protocol: Protocol

    def __str__(self) -> str:
        return (f"{self.address}:" if self.address else "") + f"{self.port}/{self.protocol.value}"


@dataclass(frozen=True, slots=True)
class Inner:
    """Where a DNAT leads: a port of the project by name, or an address."""

    host: str | Address
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    kind: PolicyKind
    priority: int
    subnet: str = ""
    rules: tuple[PolicyRule, ...] = ()


@dataclass(frozen=True, slots=True)
class TestSpec:
    """Its ends name things as the file does."""

    __test__ = False

    must: Must
    source: End
    destination: End
    protocol: Protocol
    ports: PortRange | None


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """`snat` is a section with at most one thing in it, without a name."""

    vpc: VpcSpec | None = None
    subnets: dict[str, SubnetSpec] | None = None
    security_groups: dict[str, GroupSpec] | None = None
    ports: dict[str, PortSpec] | None = None
    snat: dict[str, SnatSpec] | None = None
    dnats: dict[Outer, Inner] | None = None
    peerings: dict[str, ProjectKey] | None = None
    network_policies: dict[str, PolicySpec] | None = None
    reach_tests: dict[str, TestSpec] | None = None


SECTIONS = tuple(one.name for one in fields(ProjectSpec))
