"""Who must know what: the intent cut for each host of the fleet, and followed at the cost of what changes.

A host holds a project while a port of it, or one in its subnets, is plugged there; and whose ports are in a subnet that
it holds. A gateway holds those that translate addresses, and whose ports are in their subnets. A change goes to the
hosts that hold its project, and nowhere else.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from weftwork.actions import rows
from weftwork.actions.view import IntentView, Subscription
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.hosts import seen_from
from weftwork.model.host import Host, is_gateway
from weftwork.model.intent import Intent, ProjectIntent, Thing
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.port import Port
from weftwork.model.subnet import Subnet

_Name = TypeVar("_Name", str, ProjectKey)


class HostView:
    """One host's part, as `IntentView` is of the whole: what its publisher follows."""

    def __init__(self) -> None:
        self.intent: Intent = {}
        self.revision = 0
        self._subscriptions: list[Subscription] = []

    def subscribe(self) -> Subscription:
        """Every change from now on; whoever subscribed before hears no more."""
        for old in self._subscriptions:
            old.end(None)
        subscription = Subscription()
        self._subscriptions = [subscription]
        return subscription

    def tell(self, revision: int, changed: set[ThingKey]) -> None:
        self.revision = max(revision, self.revision)
        for one in self._subscriptions:
            one.add(self.revision, changed)


class Everything(Protocol):
    """What is cut: `IntentView`, or what would be in it."""

    @property
    def revision(self) -> int: ...

    @property
    def hosts(self) -> Mapping[str, tuple[Host, int]]: ...

    def project(self, owner: ProjectKey) -> "Things | None": ...

    def find(self, key: ThingKey) -> Thing | None: ...


class Things(Protocol):
    def things(self) -> Iterable[Thing]: ...


class FleetView:
    """Listens to the view of everything. `host_of` is of ports that are on hosts of the fleet."""

    def __init__(self, view: Everything) -> None:
        self._view = view
        self._hosts: defaultdict[str, HostView] = defaultdict(HostView)
        self._ports: dict[ThingKey, tuple[ProjectKey, str]] = {}
        self._homes: defaultdict[ProjectKey, dict[str, set[ThingKey]]] = defaultdict(dict)
        self._lodgings: defaultdict[ProjectKey, dict[ProjectKey, set[ThingKey]]] = defaultdict(dict)
        self._lodgers: defaultdict[ProjectKey, set[ProjectKey]] = defaultdict(set)
        self._elsewhere: dict[ThingKey, tuple[Thing, Thing]] = {}
        """Ports with what hosts that they are not on see of them, which is the same for all."""
        self._translating: set[ProjectKey] = set()
        self._gateways: frozenset[str] = self._gateways_now()

    def start(self, view: IntentView) -> None:
        """From what the view has now, and with its changes from now on."""
        self._gateways = self._gateways_now()
        self.add(view.revision, set(view.thing_keys()))
        for one in self._hosts.values():
            one.revision = view.revision
        view.tell(self)

    def of(self, host: str) -> HostView:
        there = self._hosts[host]
        if not there.revision:
            there.revision = self._view.revision
        return there

    def hosts_of(self, owner: ProjectKey) -> frozenset[str]:
        """Those that hold the project."""
        homes = (owner, *self._lodgings.get(owner, ()))
        gateways = frozenset() if self._translating.isdisjoint(homes) else self._gateways
        return gateways | {host for home in homes for host in self._homes.get(home, ())}

    def hosts_changed(self) -> None:
        """A gateway that came gets what gateways hold."""
        before, self._gateways = self._gateways, self._gateways_now()
        for host in self._gateways - before:
            lodgers = {lodger for owner in self._translating for lodger in self._lodgers.get(owner, ())}
            held = self._translating | lodgers
            keys = {key for owner in held for key in self._followed(host, owner, (), was=False, stays=True)}
            self._hosts[host].tell(self._view.revision, keys)

    def _gateways_now(self) -> frozenset[str]:
        return frozenset(name for name, (host, _) in self._view.hosts.items() if is_gateway(host))

    def add(self, revision: int, changed: set[ThingKey]) -> None:
        for host, keys in self.take(changed).items():
            self._hosts[host].tell(revision, keys)

    def take(self, changed: set[ThingKey]) -> Mapping[str, set[ThingKey]]:
        """Follow the view; what became another for which host."""
        ports = {key: self._view.find(key) for key in changed if key.kind == "port"}
        translating = {key.owner for key in changed if key.kind in ("snat", "dnat")}
        owners = {key.owner for key in changed} | set(self._whose(ports))
        owners |= {lodger for owner in translating for lodger in self._lodgers.get(owner, ())}
        before = {owner: self.hosts_of(owner) for owner in owners}
        for key, port in ports.items():
            self._place(key, port if isinstance(port, Port) else None)
        for owner in translating:
            self._translates(owner)
        told: defaultdict[str, set[ThingKey]] = defaultdict(set)
        for owner in owners:
            after = self.hosts_of(owner)
            mine = {key for key in changed if key.owner == owner}
            for host in before[owner] | after:
                told[host] |= self._followed(host, owner, mine, was=host in before[owner], stays=host in after)
        return {host: keys for host, keys in told.items() if keys}

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes."""
        for one in self._hosts.values():
            for subscription in one._subscriptions:
                subscription.end(error)

    def _whose(self, ports: Mapping[ThingKey, object]) -> Iterator[ProjectKey]:
        """Every project whose hosts may become others by these ports."""
        for key, port in ports.items():
            homes = {self._ports[key][0]} if key in self._ports else set()
            homes |= {port.home} if isinstance(port, Port) else set()
            for home in homes:
                yield home
                yield from self._lodgers.get(home, ())

    def _translates(self, owner: ProjectKey) -> None:
        project = self._view.project(owner)
        if project is not None and any(isinstance(thing, Snat | Dnat) for thing in project.things()):
            self._translating.add(owner)
        else:
            self._translating.discard(owner)

    def _place(self, key: ThingKey, port: Port | None) -> None:
        home, host = self._ports.pop(key, (None, ""))
        if home is not None:
            _drop(self._homes[home], host, key)
            if home != key.owner:
                _drop(self._lodgings[key.owner], home, key)
                if home not in self._lodgings[key.owner]:
                    self._lodgers[home].discard(key.owner)
        if port is None or port.attachment is None or not port.attachment.host:
            return
        self._ports[key] = (port.home, port.attachment.host)
        self._homes[port.home].setdefault(port.attachment.host, set()).add(key)
        if port.lender:
            self._lodgings[key.owner].setdefault(port.home, set()).add(key)
            self._lodgers[port.home].add(key.owner)

    def _followed(
        self, host: str, owner: ProjectKey, changed: Iterable[ThingKey], *, was: bool, stays: bool
    ) -> set[ThingKey]:
        """What became another for the host."""
        intent = self._hosts[host].intent
        if not stays:
            gone = intent.pop(owner, None)
            return {rows.key_of(thing) for thing in gone.things()} if gone else set()
        project = self._view.project(owner)
        if not was:
            there = intent[owner] = ProjectIntent()
            keys = {rows.key_of(thing) for thing in project.things()} if project else set()
        else:
            there, keys = intent.setdefault(owner, ProjectIntent()), set(changed)
        for key in keys:
            self._show(host, there, key)
        return keys

    def _show(self, host: str, there: ProjectIntent, key: ThingKey) -> None:
        thing = self._view.find(key)
        if thing is None:
            self._elsewhere.pop(key, None)
            there.put(key, None)
            return
        seen = self._port_seen(host, key, thing) if isinstance(thing, Port) else seen_from(host, thing, None, {})
        there.put(key, seen)

    def _port_seen(self, host: str, key: ThingKey, port: Port) -> Thing | None:
        """All hosts that it is not on see the same, so that is in memory once."""
        at = port.attachment.host if port.attachment else ""
        known = self._elsewhere.get(key)
        if at != host and known is not None and known[0] is port:
            return known[1]
        there = self._view.hosts.get(at)
        subnet = self._view.find(ThingKey("subnet", port.home, port.subnet))
        underlays = {at: there[0].underlay} if there else {}
        seen = seen_from(host, port, subnet if isinstance(subnet, Subnet) else None, underlays)
        if at != host and seen is not None:
            self._elsewhere[key] = (port, seen)
        return seen


def _drop(shelf: dict[_Name, set[ThingKey]], name: _Name, key: ThingKey) -> None:
    shelf[name].discard(key)
    if not shelf[name]:
        del shelf[name]
