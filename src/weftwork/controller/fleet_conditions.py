"""Conditions of a fleet: a thing is programmed when every host that holds it has it."""

from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.fleet import FleetController, FleetHost
from weftwork.controller.review import told
from weftwork.model.keys import ThingKey
from weftwork.model.port import Port
from weftwork.program.resource import Key
from weftwork.seams.channel import Report
from weftwork.seams.clock import Clock
from weftwork.seams.conditions import Status


class FleetBoard(ConditionBoard):
    def __init__(self, view: IntentView, fleet: FleetController, clock: Clock) -> None:
        super().__init__(view, None, clock)
        self._fleet = fleet
        self._reports: dict[str, Report] = {}
        fleet.reported = self.take
        fleet.published = self._follow_alarms

    @property
    def has_agents(self) -> bool:
        return True

    def take(self, report: Report) -> None:
        before = self._reports.get(report.host, Report(report.host, 0))
        self._reports[report.host] = report
        changed = report.failures.keys() ^ before.failures.keys()
        if changed:
            self._tell(self._standing_on(report.host, changed))
        self._announce_tried()

    def _follow_alarms(self, host: FleetHost) -> None:
        if host.publisher is not None:
            host.publisher.review.alarmed = self._alarmed

    def _judge(self, key: ThingKey, revision: int) -> tuple[Status, str, str]:
        for name in sorted(self._hosts_of(key)):
            there = self._fleet.hosts.get(name)
            if there is None or there.publisher is None:
                return Status.FALSE, "HOST_LOST", f"the agent of {name} was not heard of since this server started"
            alarm = there.publisher.alarm_of(key)
            if alarm is not None:
                return Status.FALSE, "ISOLATION_VIOLATED", f"{name}: {told(alarm)}"
            report = there.link.report
            failure = next((why for one, why in report.failures.items() if one[0] == "target"), None)
            if failure is None and report.failures:
                keys = (resource.key for resource in there.publisher.resources_of(key))
                failure = next((report.failures[one] for one in keys if one in report.failures), None)
            if failure is not None:
                return Status.FALSE, failure.code, f"{name}: {failure.message}"
            if report.generation < revision:
                if not there.is_ready:
                    return Status.FALSE, "HOST_LOST", f"nothing is heard of {name}, which is at {report.generation}"
                return Status.FALSE, "PROGRAMMING", f"{name} is at revision {report.generation}"
        return Status.TRUE, "", ""

    def _hosts_of(self, key: ThingKey) -> frozenset[str]:
        owners: set[ProjectKey] = {key.owner}
        port = self._view.find(key)
        if isinstance(port, Port):
            owners = {port.home}
        return frozenset(name for owner in owners for name in self._fleet.hosts_of(owner))

    def _is_tried(self, key: ThingKey, revision: int) -> bool:
        """Of what is gone from a host we know no more that it was there: every host that answers has to be as far."""
        holding = self._hosts_of(key)
        for name, there in self._fleet.hosts.items():
            concerned = name in holding or (there.is_ready and there.link.generation >= revision)
            if concerned and there.link.report.generation < revision:
                return False
        return True

    def _standing_on(self, host: str, keys: set[Key] | frozenset[Key]) -> frozenset[ThingKey]:
        there = self._fleet.hosts.get(host)
        if there is None or there.publisher is None:
            return frozenset()
        publisher = there.publisher
        return frozenset(
            thing
            for thing in self._view.thing_keys()
            if host in self._hosts_of(thing) and any(resource.key in keys for resource in publisher.resources_of(thing))
        )
