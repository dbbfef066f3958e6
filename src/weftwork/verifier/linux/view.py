"""A program indexed for questions, and changed at the cost of the change."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from weftwork.base.addresses import Address, Cidr
from weftwork.program.linux import Bridge, InterfaceAddress, Namespace, RemoteEntry, Uplink
from weftwork.program.resource import Resource
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.sets import NotUnderstood

_M = TypeVar("_M")

Segment = tuple[str, str]
"""A bridge that uplinks meet on: its namespace and name."""


class ProgramView:
    """The program that stands. `gateway` and `networks` are the external network's, where they are known.

    `underlay` is the host's own address in a fleet, `gateway_address` where its gateways are; None on a machine alone.
    """

    def __init__(
        self,
        program: Iterable[Resource] = (),
        *,
        gateway: Address | None = None,
        networks: Iterable[Cidr] = (),
        underlay: IPv4Address | None = None,
        gateway_address: IPv4Address | None = None,
    ) -> None:
        self.underlay = underlay
        self.gateway_address = gateway_address
        self.hosts: Counter[IPv4Address] = Counter()
        """Where the VTEPs send: the hosts, and how many MACs are there."""
        self.networks = frozenset(one for one in networks if isinstance(one, IPv4Network))
        self.gateway = int(gateway) if isinstance(gateway, IPv4Address) else None
        self.scopes: dict[str, Scope] = {}
        self.ids: dict[str, str] = {}
        """Ids of ports by device, as far as anybody has looked them up. A help, not a truth."""
        self._owned: defaultdict[str, set[str]] = defaultdict(set)
        self._uplinks: defaultdict[Segment, set[tuple[str, str]]] = defaultdict(set)
        self._holders: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
        self.apply(added=program)

    @property
    def has_gateways(self) -> bool:
        return self.gateway_address is not None

    def apply(self, *, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> None:
        """What is removed goes first: a resource that changes is in both. What is not understood changes nothing."""
        gone = sorted(removed, key=lambda one: -one.rank)
        come = sorted(added, key=lambda one: one.rank)
        done: list[Resource] = []
        try:
            for resource in gone:
                self._drop(resource)
            for resource in come:
                self._put(resource)
                done.append(resource)
        except NotUnderstood:
            for resource in reversed(done):
                self._drop(resource)
            for resource in reversed(gone):
                self._put(resource)
            raise
        for name in {one.scope for one in gone}:
            if name in self.scopes and self.scopes[name].is_empty:
                del self.scopes[name]

    @contextmanager
    def changed(self, *, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> Iterator[None]:
        """As it would be, for a while."""
        added, removed = tuple(added), tuple(removed)
        self.apply(added=added, removed=removed)
        try:
            yield
        finally:
            self.apply(added=removed, removed=added)

    def owned(self, mark: str) -> list[Scope]:
        """The namespaces that carry an owner's mark."""
        return [self.scopes[name] for name in sorted(self._owned.get(mark, ())) if name in self.scopes]

    def uplinks(self) -> list[tuple[Scope, Uplink]]:
        """Those that an address of an external network stands on."""
        return [
            (self.scopes[scope], link)
            for segment in sorted(self._uplinks)
            for scope, name in sorted(self._uplinks[segment])
            if isinstance(link := self.scopes[scope].links.get(name), Uplink) and self.scopes[scope].addresses.get(name)
        ]

    def on_segment(self, link: Uplink) -> list[tuple[Scope, Uplink]]:
        """Those that meet an uplink on its bridge, itself included; none while the bridge is not there."""
        where = self.scopes.get(link.peer_scope)
        if where is None or not isinstance(where.links.get(link.peer_bridge), Bridge):
            return []
        return [
            (self.scopes[scope], other)
            for scope, name in sorted(self._uplinks.get((link.peer_scope, link.peer_bridge), ()))
            if isinstance(other := self.scopes[scope].links.get(name), Uplink)
        ]

    def guests_of(self, scope: str) -> list[tuple[Scope, Uplink]]:
        """All uplinks that end in a namespace."""
        return [
            (self.scopes[name], link)
            for segment in sorted(self._uplinks)
            if segment[0] == scope
            for name, interface in sorted(self._uplinks[segment])
            if isinstance(link := self.scopes[name].links.get(interface), Uplink)
        ]

    def holders(self, address: int) -> list[tuple[Scope, Uplink]]:
        """Who has an address on an external network."""
        return [
            (self.scopes[scope], link)
            for scope, name in sorted(self._holders.get(address, ()))
            if isinstance(link := self.scopes[scope].links.get(name), Uplink)
        ]

    def _put(self, resource: Resource) -> None:
        scope = self.scopes.get(resource.scope)
        if scope is None:
            scope = self.scopes[resource.scope] = Scope(resource.scope)
        scope.put(resource)
        self._index(resource, present=True)

    def _drop(self, resource: Resource) -> None:
        scope = self.scopes.get(resource.scope)
        if scope is not None:
            self._index(resource, present=False)
            scope.drop(resource)

    def _index(self, resource: Resource, *, present: bool) -> None:
        match resource:
            case Namespace():
                _mark(self._owned[resource.owner], resource.scope, present)
            case Uplink():
                segment = (resource.peer_scope, resource.peer_bridge)
                _mark(self._uplinks[segment], (resource.scope, resource.name), present)
            case RemoteEntry():
                self.hosts[resource.host] += 1 if present else -1
                if not self.hosts[resource.host]:
                    del self.hosts[resource.host]
            case InterfaceAddress(address=IPv4Address() as address):
                _mark(self._holders[int(address)], (resource.scope, resource.interface), present)


def _mark(members: set[_M], member: _M, present: bool) -> None:
    if present:
        members.add(member)
    else:
        members.discard(member)
