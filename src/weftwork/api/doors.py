"""What every call works with, and how what the actions return is told."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weftwork.actions.network import Network, Stored
from weftwork.actions.tokens import TokenBook
from weftwork.api import telling
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.port import Port
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.rpc import encode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.seams.bundle import Bundler
from weftwork.seams.capture import Capturer
from weftwork.seams.conditions import Conditions
from weftwork.seams.fleet import Fleet, NoFleet
from weftwork.seams.flows import FlowLogs
from weftwork.seams.insight import Insight
from weftwork.seams.tracer import Tracer
from weftwork.seams.vms import NoVms, Vms

if TYPE_CHECKING:
    from weftwork.api.identity.desk import LoginDesk


@dataclass(frozen=True)
class Doors:
    network: Network
    conditions: Conditions
    insight: Insight
    tracer: Tracer | None = None
    """None where no agent runs."""
    tokens: TokenBook | None = None
    """None where no API tokens are kept."""
    login: "LoginDesk | None" = None
    """None where nobody can log in."""
    flows: FlowLogs | None = None
    """None where no agent runs that logs packets."""
    bundler: Bundler | None = None
    """None where nothing is collected."""
    capturer: Capturer | None = None
    """None where no agent runs."""
    fleet: Fleet = field(default_factory=NoFleet)
    vms: Vms = field(default_factory=NoVms)

    def on(self, network: Network) -> "Doors":
        """The same doors for one call. As dataclasses.replace does, which asks every field how it is made."""
        doors = object.__new__(type(self))
        doors.__dict__.update(self.__dict__, network=network)
        return doors

    def vpc(self, stored: Stored[Vpc]) -> pb.Vpc:
        key = ThingKey("vpc", stored.value.owner)
        return encode.vpc(stored.value, stored.revision, self._conditions(key, stored.revision))

    def subnet(self, stored: Stored[Subnet]) -> pb.Subnet:
        key = ThingKey("subnet", stored.value.owner, stored.value.name)
        return encode.subnet(stored.value, stored.revision, self._conditions(key, stored.revision))

    def port(self, stored: Stored[Port]) -> pb.Port:
        port = stored.value
        return encode.port(
            port,
            stored.revision,
            self._conditions(ThingKey("port", port.owner, port.id), stored.revision),
            netns=self.netns_of(port),
            mtu_bytes=self.network.settings.mtu_bytes,
        )

    def netns_of(self, port: Port) -> str:
        """The namespace that the port's device is in, if it has one."""
        everywhere = self.network.settings.device_netns
        if everywhere is not None or port.attachment is None:
            return everywhere or ""
        project = self.network.view.intent.get(port.home)
        return project.vpc.netns if project and project.vpc else ""

    def security_group(self, stored: Stored[SecurityGroup]) -> pb.SecurityGroup:
        key = ThingKey("security-group", stored.value.owner, stored.value.name)
        return encode.security_group(stored.value, stored.revision, self._conditions(key, stored.revision))

    def snat(self, stored: Stored[Snat]) -> pb.SnatConfig:
        key = ThingKey("snat", stored.value.owner)
        return encode.snat(stored.value, stored.revision, self._conditions(key, stored.revision))

    def dnat(self, stored: Stored[Dnat]) -> pb.DnatConfig:
        key = ThingKey("dnat", stored.value.owner, stored.value.name)
        return encode.dnat(stored.value, stored.revision, self._conditions(key, stored.revision))

    def _conditions(self, key: ThingKey, revision: int) -> list[pb.Condition]:
        return [telling.condition(one) for one in self.conditions.of(key, revision)]
