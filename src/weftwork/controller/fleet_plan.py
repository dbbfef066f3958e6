"""What writes that are not made yet would change for which host: the fleet is cut as it would be, around the change."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from weftwork.actions import rows
from weftwork.base.tenancy import ProjectKey
from weftwork.controller.fleet_view import FleetView
from weftwork.model.host import Host
from weftwork.model.intent import Intent, ProjectIntent, Thing
from weftwork.model.keys import ThingKey


@dataclass(frozen=True, slots=True)
class WouldBe:
    """For one host: its part of the intent around the change, and what of it became another."""

    host: str
    intent: Intent
    changed: set[ThingKey]


def would_be(
    before: Intent, after: Intent, changed: Iterable[ThingKey], hosts: Mapping[str, tuple[Host, int]]
) -> Iterator[WouldBe]:
    """By name of the host."""
    changed = set(changed)
    owners = _around(_around({key.owner for key in changed}, before, after), before, after)
    trial = _Trial({owner: before[owner] for owner in owners if owner in before}, hosts)
    cut = FleetView(trial)
    cut.take({rows.key_of(thing) for project in trial.intent.values() for thing in project.things()})
    trial.intent = {owner: after[owner] for owner in owners if owner in after}
    for host, keys in sorted(cut.take(changed).items()):
        yield WouldBe(host, cut.of(host).intent, keys)


def _around(owners: set[ProjectKey], *intents: Intent) -> set[ProjectKey]:
    """With whom they share subnets and peerings."""
    found = set(owners)
    for intent in intents:
        for owner in owners & intent.keys():
            project = intent[owner]
            found |= {port.lender for port in project.ports.values() if port.lender}
            found |= {share.to for share in project.shares.values()}
            found |= set(project.peerings)
    return found


@dataclass(slots=True)
class _Trial:
    intent: Intent
    hosts: Mapping[str, tuple[Host, int]]
    revision: int = 1

    def find(self, key: ThingKey) -> Thing | None:
        there = self.intent.get(key.owner)
        return there.get(key) if there else None

    def project(self, owner: ProjectKey) -> ProjectIntent | None:
        return self.intent.get(owner)
