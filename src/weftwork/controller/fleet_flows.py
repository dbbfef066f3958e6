"""Logged packets of all hosts of a fleet: each is asked for those of the VPCs that it holds."""

from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.controller.fleet import FleetController, FleetHost
from weftwork.seams.flows import TakeSeen


class FleetFlowSource:
    """Implements `seams.flows.FlowSource`."""

    followed_kinds = frozenset({"vpc", "port"})
    """Where a VPC is follows from its ports."""

    def __init__(self, view: IntentView, fleet: FleetController, take: TakeSeen) -> None:
        self._view = view
        self._fleet = fleet
        self._owners: dict[str, ProjectKey] = {}
        fleet.seen = take
        fleet.joined = self._tell

    def follow(self, scopes: frozenset[str]) -> None:
        if scopes != self._owners.keys():
            vpcs = (project.vpc for project in self._view.intent.values())
            self._owners = {vpc.netns: vpc.owner for vpc in vpcs if vpc is not None and vpc.netns in scopes}
        for there in self._fleet.hosts.values():
            self._tell(there)

    def _tell(self, there: FleetHost) -> None:
        held = (scope for scope, owner in self._owners.items() if there.host.name in self._fleet.hosts_of(owner))
        there.link.follow_flows(frozenset(held))

    def close(self) -> None:
        self.follow(frozenset())
        self._fleet.seen = lambda seen: None
        self._fleet.joined = lambda host: None
