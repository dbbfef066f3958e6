"""Everything asked for, indexed for reading. The store feeds it; actions and the compiler read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey, peer_in
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc

Thing = (
    Vpc | Subnet | Port | SecurityGroup | Snat | Dnat | Peering | NetworkPolicy | ReachTest | SubnetShare | Vm | SshKey
)


@dataclass(slots=True)
class ProjectIntent:
    """One project's network. `vpc` is None only while a project is being filled from the store.

    `peerings` are the project's own halves, by peer.
    """

    vpc: Vpc | None = None
    subnets: dict[str, Subnet] = field(default_factory=dict)
    groups: dict[str, SecurityGroup] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    snat: Snat | None = None
    dnats: dict[str, Dnat] = field(default_factory=dict)
    peerings: dict[ProjectKey, Peering] = field(default_factory=dict)
    policies: dict[str, NetworkPolicy] = field(default_factory=dict)
    reach_tests: dict[str, ReachTest] = field(default_factory=dict)
    shares: dict[str, SubnetShare] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    ssh_keys: dict[str, SshKey] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        shelves = (self.subnets, self.groups, self.ports, self.dnats, self.peerings, self.policies, self.shares)
        return not (self.vpc or self.snat or any(shelves) or self.reach_tests or self.vms or self.ssh_keys)

    def things(self) -> Iterator[Thing]:
        """Everything of the project, dependents before what they depend on."""
        yield from self.policies.values()
        yield from self.peerings.values()
        yield from self.reach_tests.values()
        yield from self.vms.values()
        yield from self.ssh_keys.values()
        yield from self.dnats.values()
        if self.snat:
            yield self.snat
        yield from self.ports.values()
        yield from self.shares.values()
        yield from self.subnets.values()
        yield from self.groups.values()
        if self.vpc:
            yield self.vpc

    def copy(self) -> "ProjectIntent":
        """With shelves of its own; the things are values."""
        return ProjectIntent(
            vpc=self.vpc,
            subnets=dict(self.subnets),
            groups=dict(self.groups),
            ports=dict(self.ports),
            snat=self.snat,
            dnats=dict(self.dnats),
            peerings=dict(self.peerings),
            policies=dict(self.policies),
            reach_tests=dict(self.reach_tests),
            shares=dict(self.shares),
            vms=dict(self.vms),
            ssh_keys=dict(self.ssh_keys),
        )

    def get(self, key: ThingKey) -> Thing | None:
        if key.kind == "vpc":
            return self.vpc
        if key.kind == "snat":
            return self.snat
        return self._shelf(key).get(_place_of(key))

    def put(self, key: ThingKey, thing: Thing | None) -> None:
        """Put a thing in its place, or with None take it away."""
        if key.kind == "vpc":
            self.vpc = thing if isinstance(thing, Vpc) else None
        elif key.kind == "snat":
            self.snat = thing if isinstance(thing, Snat) else None
        elif thing is None:
            self._shelf(key).pop(_place_of(key), None)
        else:
            self._shelf(key)[_place_of(key)] = thing

    def _shelf(self, key: ThingKey) -> dict[Any, Any]:
        shelves: dict[str, dict[Any, Any]] = {
            "subnet": self.subnets,
            "security-group": self.groups,
            "port": self.ports,
            "dnat": self.dnats,
            "peering": self.peerings,
            "network-policy": self.policies,
            "reach-test": self.reach_tests,
            "subnet-share": self.shares,
            "vm": self.vms,
            "ssh-key": self.ssh_keys,
        }
        return shelves[key.kind]


def _place_of(key: ThingKey) -> str | ProjectKey:
    return peer_in(key) if key.kind == "peering" else key.name


Intent = dict[ProjectKey, ProjectIntent]


def is_peered(intent: Intent, one: ProjectKey, other: ProjectKey) -> bool:
    """Are both halves there? Each stands on its project's VPC, so then both VPCs are there as well."""
    here, there = intent.get(one), intent.get(other)
    return here is not None and there is not None and other in here.peerings and one in there.peerings


def lodgers_of(intent: Intent, owner: ProjectKey) -> Iterator[Port]:
    """The ports of other projects in the owner's VPC, in order of their projects."""
    here = intent.get(owner)
    borrowers = {share.to for share in here.shares.values()} if here else ()
    for borrower in sorted(borrowers):
        if borrower in intent:
            yield from (port for port in intent[borrower].ports.values() if port.lender == owner)


def peers_of(intent: Intent, owner: ProjectKey) -> Iterator[tuple[ProjectKey, ProjectIntent]]:
    """The projects whose VPC is peered with the owner's, in order."""
    here = intent.get(owner)
    return ((peer, intent[peer]) for peer in sorted(here.peerings if here else ()) if is_peered(intent, owner, peer))
