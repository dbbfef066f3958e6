"""The intent as the store has it, in memory, following the store's changes; actions decide on it and the
controller compiles it. It may be behind the store: every decision names the revisions it was made on.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from typing import Any, Protocol, Self
from weakref import WeakSet

from weftwork.access.quotas import ProjectQuota
from weftwork.actions import fresh
from weftwork.actions.host_row import host_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.quota_row import quota_of
from weftwork.allocator.bitmap import Bitmap
from weftwork.base.addresses import Address
from weftwork.base.errors import Failure
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.host import Host
from weftwork.model.intent import Intent, Thing
from weftwork.model.keys import ROOT, ThingKey, parse_thing_key
from weftwork.model.peering import Peering
from weftwork.model.port import Port
from weftwork.model.share import SubnetShare
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Change, Compacted, Store

RETRY_S = (0.05, 0.2, 1.0)
"""How long to wait before asking a store again that was out of reach; the last one from then on."""

_POOL = keys.cidr_used(IPv4Network("0.0.0.0/0")).removesuffix("0.0.0.0-0")
_EXTERNAL = keys.external_claim()
_PLUGS = f"{ROOT}plugs/"
_GUARDS = keys.reach_guard()
_QUOTAS = keys.quota()
_HOSTS = keys.host()
_HOST_PLUGS = f"{ROOT}host_plugs/"
_CLAIMS = tuple(
    f"{ROOT}{folder}/"
    for folder in (
        "ipam",
        "macs",
        "members",
        "port_names",
        "mac_blocks",
        "vnis",
        "peering_names",
        "peering_offers",
        "lodgers",
        "peer_group_references",
    )
)
"""Claims that the view knows from their things."""
_READ = (*map(keys.things, keys.KINDS), _POOL, _EXTERNAL, _PLUGS, _HOST_PLUGS, _GUARDS, _QUOTAS, _HOSTS)
"""What is read in the beginning: most rows are claims that the view knows already."""


@dataclass(frozen=True, slots=True)
class ViewChange:
    """The things that were written or removed since the change before; the view is at `revision` or later."""

    revision: int
    keys: frozenset[ThingKey]


@dataclass(frozen=True, slots=True)
class ExternalClaim:
    """`owner` is "{org}/{project}"."""

    owner: str
    revision: int


class Listener(Protocol):
    """Whoever hears of changes at once, without a loop of its own; it must not wait."""

    def add(self, revision: int, changed: set[ThingKey]) -> None: ...

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes."""
        ...


class IntentView:
    """`start` it before reading, `close` it in the end. Belongs to one event loop.

    `changed_at` is the last revision that wrote a thing, and not only claims; in the beginning, the one that was read.
    `vnis`, `pool_claims` (range → "{org}/{project}"), `external`, `plugs` (key → port) and
    `reach_guards` ("{org}/{project}" → the revision that last wrote it) are the deployment's, and so are `quotas` and
    the fleet's `hosts` (with the revision that last wrote each).
    """

    def __init__(self) -> None:
        self.intent: Intent = {}
        self.revision = 0
        self.changed_at = 0
        self.vnis = Bitmap()
        self.pool_claims: dict[IPv4Network, str] = {}
        self.external: dict[Address, ExternalClaim] = {}
        self.plugs: dict[str, str] = {}
        self.reach_guards: dict[str, int] = {}
        self.quotas: dict[ProjectKey, ProjectQuota] = {}
        self.hosts: dict[str, tuple[Host, int]] = {}
        self.hosts_changed: Callable[[], None] = _nobody_asks
        self._projects: dict[ProjectKey, ProjectIndex] = {}
        self._offers: dict[ProjectKey, dict[ProjectKey, Peering]] = {}
        self._shared: dict[ProjectKey, dict[ThingKey, SubnetShare]] = {}
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()
        self._subscriptions: WeakSet[Listener] = WeakSet()
        self._following: asyncio.Task[None] | None = None

    async def start(self, store: Store) -> None:
        """Returns when everything that is in the store now can be seen. Raises Failure when it is out of reach."""
        assert self._following is None, "a view follows one store"
        await self._read_all(store)
        # Whoever waits for the hosts waits from the beginning: none of them has tried what is there.
        self.changed_at = self.revision
        self._following = asyncio.create_task(self._follow(store), name="intent view")
        self._following.add_done_callback(self._ended)

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    def project(self, owner: ProjectKey) -> ProjectIndex | None:
        return self._projects.get(owner)

    def offers_to(self, owner: ProjectKey) -> Mapping[ProjectKey, Peering]:
        """The halves of other projects towards this one, by whose they are."""
        return self._offers.get(owner, {})

    def shared_with(self, owner: ProjectKey) -> Mapping[ThingKey, SubnetShare]:
        """The shares of other projects' subnets with this one."""
        return self._shared.get(owner, {})

    def find(self, key: ThingKey) -> Thing | None:
        project = self._projects.get(key.owner)
        return project.get(key) if project else None

    def revision_of(self, key: ThingKey) -> int:
        """The revision that last wrote the thing; 0 when there is none."""
        project = self._projects.get(key.owner)
        return project.revision_of(key) if project else 0

    def thing_keys(self) -> Iterator[ThingKey]:
        return (key for project in self._projects.values() for key in project.thing_keys())

    async def wait_for(self, revision: int, *, timeout_s: float = 10.0) -> bool:
        """Whether the view reached the revision in time. It never reaches one that wrote nothing of networks."""
        if self.revision >= revision:
            return True
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._ticket), reached))
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        except TimeoutError:
            return False
        return True

    def subscribe(self) -> "Subscription":
        """Every change from now on."""
        subscription = Subscription()
        self.tell(subscription)
        return subscription

    def tell(self, listener: Listener) -> None:
        """Every change from now on, for as long as somebody else holds the listener."""
        self._subscriptions.add(listener)

    async def _follow(self, store: Store) -> None:
        failures = 0
        behind = False
        while True:
            try:
                if behind:
                    await self._read_again(store)
                    behind = False
                async for change in store.watch(ROOT, after=self.revision):
                    failures = 0
                    self._take(change)
                return
            except Compacted:
                behind = True
            except Failure:
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _read_again(self, store: Store) -> None:
        before = {key: self.revision_of(key) for key in self.thing_keys()}
        await self._read_all(store)
        after = set(self.thing_keys())
        self._tell({key for key in before.keys() | after if before.get(key, 0) != self.revision_of(key)})

    async def _read_all(self, store: Store) -> None:
        """Everything anew, into new indexes: a project that was deleted and made again meanwhile is another one."""
        fresh = None
        while fresh is None:
            with suppress(Compacted):
                fresh = await _read(store)
        for mine, new in zip(self._shelves(), fresh._shelves(), strict=True):
            mine.clear()
            mine.update(new)
        self.vnis = fresh.vnis
        self.revision = fresh.revision
        self.hosts_changed()

    def _shelves(self) -> tuple[dict[Any, Any], ...]:
        return (
            self.intent,
            self.pool_claims,
            self.external,
            self.plugs,
            self.reach_guards,
            self.quotas,
            self.hosts,
            self._projects,
            self._offers,
            self._shared,
        )

    def _take(self, change: Change) -> None:
        changed: set[ThingKey] = set()
        for key, value in ((event.key, event.value) for event in change.events):
            thing_key = self._remove(key) if value is None else self._put(key, value, change.revision)
            if thing_key is not None:
                changed.add(thing_key)
        self.revision = change.revision
        self._tell(changed)

    def _tell(self, changed: set[ThingKey]) -> None:
        if changed:
            self.changed_at = self.revision
            for subscription in self._subscriptions:
                subscription.add(self.revision, changed)
        while self._waiters and self._waiters[0][0] <= self.revision:
            reached = heapq.heappop(self._waiters)[2]
            if not reached.done():
                reached.set_result(None)

    def _put(self, key: str, value: bytes, revision: int) -> ThingKey | None:
        if key.startswith(_CLAIMS):
            return None
        thing_key = parse_thing_key(key)
        if thing_key is None:
            self._put_claim(key, value, revision)
            return None
        project = self._of(thing_key.owner)
        # A project is named by one and the same value in all of its things, however many they are.
        thing = fresh.decoded(ThingKey(thing_key.kind, project.owner, thing_key.name), value)
        if isinstance(thing, Vpc | Subnet):
            self._forget_vni(project.get(thing_key))
            if thing.vni:
                self.vnis.add(thing.vni)
        match thing:
            case Peering():
                self._offers.setdefault(thing.peer, {})[thing.owner] = thing
            case SubnetShare():
                self._shared.setdefault(thing.to, {})[thing_key] = thing
            case Port() if thing.lender:
                self._of(thing.lender).put_lodger(thing)
        project.put(thing, revision)
        return thing_key

    def _remove(self, key: str) -> ThingKey | None:
        if key.startswith(_CLAIMS):
            return None
        thing_key = parse_thing_key(key)
        if thing_key is None:
            self._remove_claim(key)
            return None
        project = self._projects.get(thing_key.owner)
        if project is None:
            return thing_key
        self._forget_vni(project.get(thing_key))
        self._forget_at_others(thing_key, project.get(thing_key))
        project.remove(thing_key)
        if project.intent.is_empty:
            del self._projects[thing_key.owner], self.intent[thing_key.owner]
        return thing_key

    def _forget_vni(self, thing: Thing | None) -> None:
        if isinstance(thing, Vpc | Subnet) and thing.vni:
            self.vnis.discard(thing.vni)

    def _of(self, owner: ProjectKey) -> ProjectIndex:
        """The project's index, made where there is none: the things of a store may come in any order."""
        project = self._projects.get(owner)
        if project is None:
            project = self._projects[owner] = ProjectIndex(owner)
            self.intent[owner] = project.intent
        return project

    def _forget_at_others(self, key: ThingKey, thing: Thing | None) -> None:
        """What another project sees of a thing."""
        match thing:
            case Peering():
                offers = self._offers[thing.peer]
                del offers[thing.owner]
                if not offers:
                    del self._offers[thing.peer]
            case SubnetShare():
                shared = self._shared[thing.to]
                del shared[key]
                if not shared:
                    del self._shared[thing.to]
            case Port() if thing.lender and thing.lender in self._projects:
                self._projects[thing.lender].remove_lodger(thing.id)

    def _put_claim(self, key: str, value: bytes, revision: int) -> None:
        if key.startswith(_POOL):
            self.pool_claims[_pool_range(key)] = value.decode()
        elif key.startswith(_EXTERNAL):
            self.external[ip_address(key.removeprefix(_EXTERNAL))] = ExternalClaim(value.decode(), revision)
        elif key.startswith((_PLUGS, _HOST_PLUGS)):
            self.plugs[key] = value.decode()
        elif key.startswith(_HOSTS):
            self.hosts[key.removeprefix(_HOSTS)] = (host_of(value), revision)
            self.hosts_changed()
        elif key.startswith(_GUARDS):
            self.reach_guards[key.removeprefix(_GUARDS)] = revision
        elif key.startswith(_QUOTAS):
            self.quotas[ProjectKey(*key.removeprefix(_QUOTAS).split("/"))] = quota_of(value)

    def _remove_claim(self, key: str) -> None:
        if key.startswith(_POOL):
            self.pool_claims.pop(_pool_range(key), None)
        elif key.startswith(_EXTERNAL):
            self.external.pop(ip_address(key.removeprefix(_EXTERNAL)), None)
        elif key.startswith((_PLUGS, _HOST_PLUGS)):
            self.plugs.pop(key, None)
        elif key.startswith(_HOSTS):
            self.hosts.pop(key.removeprefix(_HOSTS), None)
            self.hosts_changed()
        elif key.startswith(_GUARDS):
            self.reach_guards.pop(key.removeprefix(_GUARDS), None)
        elif key.startswith(_QUOTAS):
            self.quotas.pop(ProjectKey(*key.removeprefix(_QUOTAS).split("/")), None)

    def _ended(self, following: asyncio.Task[None]) -> None:
        """Whoever waits learns that nothing more comes."""
        error = None if following.cancelled() else following.exception()
        for subscription in self._subscriptions:
            subscription.end(error)
        for _, _, reached in self._waiters:
            if not reached.done():
                reached.set_exception(error or Failure("STORE_UNAVAILABLE", "the store was closed"))
        self._waiters.clear()


def _nobody_asks() -> None:
    """For a deployment without a fleet."""


async def _read(store: Store) -> IntentView:
    """A view of what is in the store, which follows nothing. Raises Compacted."""
    view = IntentView()
    async with aclosing(store.scan(_READ)) as pieces:
        async for piece in pieces:
            view.revision = piece.revision
            for record in piece.records:
                view._put(record.key, record.value, record.revision)
    return view


class Subscription(AsyncIterator[ViewChange]):
    """Holds the keys that changed and were not taken yet: a slow reader gets their union, each key once."""

    def __init__(self) -> None:
        self._keys: set[ThingKey] = set()
        self._revision = 0
        self._news = asyncio.Event()
        self._over = False
        self._error: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ViewChange:
        await self._news.wait()
        if self._keys:
            change = ViewChange(self._revision, frozenset(self._keys))
            self._keys.clear()
            if not self._over:
                self._news.clear()
            return change
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def add(self, revision: int, changed: set[ThingKey]) -> None:
        self._keys |= changed
        self._revision = revision
        self._news.set()

    def end(self, error: BaseException | None) -> None:
        self._over = True
        self._error = error
        self._news.set()


def _pool_range(key: str) -> IPv4Network:
    return IPv4Network(key.removeprefix(_POOL).replace("-", "/"))
