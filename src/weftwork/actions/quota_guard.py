"""Keeps quotas: whatever a transaction makes more of is counted before it is committed, and stays counted in it.

Near its limit a change compares that nothing of the kind was made since the view that it was decided on. So, of two
that would both take the last place, one is decided anew and refused, whichever servers they came to. Far from it,
what this process has under way is counted, too, and another server may be behind by as much as `MARGIN`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sized
from operator import attrgetter

from weftwork.access.quotas import ProjectQuota, exceeded
from weftwork.actions import fresh, rows
from weftwork.actions.claims import Draft
from weftwork.actions.index import ProjectIndex
from weftwork.actions.view import IntentView
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import ProjectIntent, Thing
from weftwork.model.keys import Kind, ThingKey, parse_thing_key
from weftwork.model.nat import Dnat, Snat
from weftwork.model.security_group import SecurityGroup
from weftwork.model.vm import Flavour, Vm
from weftwork.seams.store import Empty, Put

MARGIN = 256
"""Places that must be free beyond what is under way for a change not to compare."""
_KINDS_OF: Mapping[str, tuple[Kind, ...]] = {
    "rule": ("security-group",),
    "external-address": ("snat", "dnat"),
    "vcpu": ("vm",),
    "memory-mib": ("vm",),
    "disk-mib": ("vm",),
}
"""Whose making makes more of a resource that is no kind of its own."""

_SHELVES: Mapping[str, Callable[[ProjectIntent], Sized]] = {
    "subnet": attrgetter("subnets"),
    "port": attrgetter("ports"),
    "security-group": attrgetter("groups"),
    "dnat": attrgetter("dnats"),
    "peering": attrgetter("peerings"),
    "network-policy": attrgetter("policies"),
    "reach-test": attrgetter("reach_tests"),
    "subnet-share": attrgetter("shares"),
    "vm": attrgetter("vms"),
    "ssh-key": attrgetter("ssh_keys"),
}
"""Where a project has what counts by its number."""

_SIZES: Mapping[str, Callable[[Flavour], int]] = {
    "vcpu": attrgetter("vcpus"),
    "memory-mib": attrgetter("memory_mib"),
    "disk-mib": attrgetter("disk_mib"),
}
"""Of all VMs of a project together, whether they run or not."""

Wanted = Mapping[tuple[ProjectKey, str], int]


class QuotaGuard:
    def __init__(self, view: IntentView, defaults: Mapping[str, int]) -> None:
        self._view = view
        self._defaults = defaults
        self._under_way: Counter[tuple[ProjectKey, str]] = Counter()

    def of(self, owner: ProjectKey) -> ProjectQuota:
        return self._view.quotas.get(owner, _NONE)

    def limit(self, owner: ProjectKey, resource: str) -> int | None:
        return self.of(owner).limit(resource, self._defaults)

    def used(self, owner: ProjectKey, resource: str) -> int:
        here = self._view.project(owner)
        return _used(here, resource) if here else 0

    def is_near(self, owner: ProjectKey) -> bool:
        """Whether ports of the project are made one after the other: side by side they would lose to each other."""
        limit = self.limit(owner, "port")
        return limit is not None and self.used(owner, "port") + self._under_way[owner, "port"] + MARGIN > limit

    def guarded(self, draft: Draft, wanted: Wanted) -> Draft:
        """The draft, of which one `wants`, with what keeps it true. Refusal QUOTA_EXCEEDED."""
        seen: dict[str, Empty] = {}
        for (owner, resource), more in wanted.items():
            limit = self.limit(owner, resource)
            if limit is None:
                continue
            used = self.used(owner, resource)
            if used + more > limit:
                raise exceeded(owner, resource, used=used, more=more, limit=limit)
            if used + self._under_way[owner, resource] + more + MARGIN > limit:
                for kind in _KINDS_OF.get(resource) or (_kind(resource),):
                    prefix = keys.things(kind, owner)
                    seen[prefix] = Empty(prefix, self._view.revision)
        if not seen:
            return draft
        there = {one for one in draft.compares if isinstance(one, Empty)}
        return draft + Draft(tuple(one for one in seen.values() if one not in there))

    def begin(self, wanted: Wanted) -> None:
        """Count it, until the view shows it: then `end` it."""
        for key, count in wanted.items():
            self._under_way[key] += count

    def end(self, wanted: Wanted) -> None:
        for key, count in wanted.items():
            self._under_way[key] -= count
            if not self._under_way[key]:
                del self._under_way[key]

    def wanted(self, draft: Draft) -> Wanted:
        """What the draft makes more of than it takes away."""
        more: dict[tuple[ProjectKey, str], int] = defaultdict(int)
        external: dict[ProjectKey, tuple[ProjectIndex | None, dict[ThingKey, Thing | None]]] = {}
        for write in draft.writes:
            key = parse_thing_key(write.key)
            if key is None or key.kind == "vpc":
                continue
            before = self._view.find(key)
            more[key.owner, key.kind] += isinstance(write, Put) - (before is not None)
            if key.kind == "vm":
                after = fresh.looked_at(key, write.value) if isinstance(write, Put) else None
                for resource, size in _SIZES.items():
                    more[key.owner, resource] += _size(after, size) - _size(before, size)
            if key.kind in ("security-group", "snat", "dnat"):
                after = fresh.looked_at(key, write.value) if isinstance(write, Put) else None
                more[key.owner, "rule"] += _rules(after) - _rules(before)
                if key.kind != "security-group":
                    external.setdefault(key.owner, (self._view.project(key.owner), {}))[1][key] = after
        for owner, (here, changed) in external.items():
            more[owner, "external-address"] += _addresses_after(here, changed) - _used(here, "external-address")
        return {key: count for key, count in more.items() if count > 0}


_NONE = ProjectQuota()


def _kind(resource: str) -> Kind:
    return resource  # type: ignore[return-value]  # every other resource is a kind of thing


def _used(here: ProjectIndex | None, resource: str) -> int:
    if here is None:
        return 0
    intent = here.intent
    match resource:
        case "rule":
            return sum(map(_rules, intent.groups.values()))
        case "vcpu" | "memory-mib" | "disk-mib":
            return sum(_size(one, _SIZES[resource]) for one in intent.vms.values())
        case "external-address":
            return len({one.external_ip for one in _nats(here)})
        case "snat":
            return int(intent.snat is not None)
    return len(_SHELVES[resource](intent))


def _nats(here: ProjectIndex) -> Iterator[Snat | Dnat]:
    yield from here.intent.dnats.values()
    if here.intent.snat:
        yield here.intent.snat


def _addresses_after(here: ProjectIndex | None, changed: Mapping[ThingKey, Thing | None]) -> int:
    kept = (one for one in (_nats(here) if here else ()) if rows.key_of(one) not in changed)
    made = (one for one in changed.values() if isinstance(one, Snat | Dnat))
    return len({one.external_ip for one in (*kept, *made)})


def _size(thing: Thing | None, size: Callable[[Flavour], int]) -> int:
    return size(thing.flavour) if isinstance(thing, Vm) else 0


def _rules(thing: Thing | None) -> int:
    return len(thing.ingress) + len(thing.egress) if isinstance(thing, SecurityGroup) else 0
