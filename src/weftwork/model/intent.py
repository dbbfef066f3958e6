"""Everything asked for, indexed for reading. The store feeds it; actions and the compiler read it."""

from dataclasses import dataclass, field

from weftwork.base.tenancy import ProjectKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.port import Port
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc

Thing = Vpc | Subnet | Port | SecurityGroup | Snat | Dnat


@dataclass(slots=True)
class ProjectIntent:
    """One project's network. `vpc` is None only while a project is being filled from the store."""

    vpc: Vpc | None = None
    subnets: dict[str, Subnet] = field(default_factory=dict)
    groups: dict[str, SecurityGroup] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    snat: Snat | None = None
    dnats: dict[str, Dnat] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.vpc or self.subnets or self.groups or self.ports or self.snat or self.dnats)


Intent = dict[ProjectKey, ProjectIntent]
