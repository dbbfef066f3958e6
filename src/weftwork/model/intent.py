"""Everything asked for, indexed for reading. The store feeds it; actions and the compiler read it."""

from dataclasses import dataclass, field
from typing import Any

from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
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

    def copy(self) -> "ProjectIntent":
        """With shelves of its own; the things are values."""
        return ProjectIntent(
            vpc=self.vpc,
            subnets=dict(self.subnets),
            groups=dict(self.groups),
            ports=dict(self.ports),
            snat=self.snat,
            dnats=dict(self.dnats),
        )

    def get(self, key: ThingKey) -> Thing | None:
        if key.kind == "vpc":
            return self.vpc
        if key.kind == "snat":
            return self.snat
        return self._shelf(key).get(key.name)

    def put(self, key: ThingKey, thing: Thing | None) -> None:
        """Put a thing in its place, or with None take it away."""
        if key.kind == "vpc":
            self.vpc = thing if isinstance(thing, Vpc) else None
        elif key.kind == "snat":
            self.snat = thing if isinstance(thing, Snat) else None
        elif thing is None:
            self._shelf(key).pop(key.name, None)
        else:
            self._shelf(key)[key.name] = thing

    def _shelf(self, key: ThingKey) -> dict[str, Any]:
        shelves: dict[str, dict[str, Any]] = {
            "subnet": self.subnets,
            "security-group": self.groups,
            "port": self.ports,
            "dnat": self.dnats,
        }
        return shelves[key.kind]


Intent = dict[ProjectKey, ProjectIntent]
