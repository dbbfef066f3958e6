"""LinuxDriver: makes the namespaces of one host equal to a program, in a few threads of its own.

In each namespace: sysctls, one nftables transaction, then links; so a device exists only after its rules.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from weftwork.base.errors import Failure
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import namespaces, nft, nft_decode, nft_notes, nft_text, scope_state, sysctls
from weftwork.drivers.linux.links_apply import LinksApply, failure_of
from weftwork.drivers.linux.netlink import NETFILTER, Socket
from weftwork.drivers.linux.rules_watch import RulesWatch, name_this_thread
from weftwork.drivers.linux.yielded import Yielded, Yielding
from weftwork.program.linux import (
    Namespace,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    Sysctl,
    Uplink,
)
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied
from weftwork.seams.marking import Standing

_THREADS = 4
_OUTWARD = ("tun", "veth", "vxlan")
"""Kinds of devices that have a part elsewhere: it would be there until the kernel gets to take the namespace apart."""
_ADDRESS_GENERATION = "net/ipv6/conf/default/addr_gen_mode"
_NFT = (NftTable, NftSet, NftChain, NftElement)
_Failures = dict[Key, Failure]
_Act = Callable[["_Place", "_Work"], _Failures]
T = TypeVar("T")


class Beside(Protocol):
    """Whoever writes what it learned into our namespaces."""

    @property
    def is_on(self) -> bool: ...

    async def welcome(self, scopes: frozenset[str]) -> None:
        """These namespaces are new and empty. Waits, with a bound, until it follows what comes into them."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """A namespace as one deployment sees it."""

    scope: str
    deployment: str
    rules: nft.Transactions
    given_way: Yielded

    def is_ours(self, mark: scope_state.Mark | None) -> bool:
        return mark is not None and mark.deployment == self.deployment

    def taken(self, mark: scope_state.Mark | None) -> Failure:
        """Somebody else has the name."""
        whose = f"deployment {mark.deployment}'s" if mark and mark.deployment else "not ours"
        return Failure("NAMESPACE_NAME_TAKEN", f"the network namespace {self.scope} is {whose}")


@dataclass(slots=True)
class _Work:
    """The steps of one scope, by the means that carry them out."""

    namespace: list[Step] = field(default_factory=list)
    sysctls: list[Step] = field(default_factory=list)
    nft: list[Step] = field(default_factory=list)
    links: list[Step] = field(default_factory=list)

    @property
    def goes(self) -> bool:
        return any(isinstance(step, Delete) for step in self.namespace)

    @property
    def inner(self) -> list[Step]:
        return [*self.sysctls, *self.nft, *self.links]

    @property
    def needs_another_scope(self) -> bool:
        return any(isinstance(_subject(step), Uplink) for step in self.links)


class LinuxDriver:
    """What lacks our mark is neither seen nor touched.

    `prefix` begins the names of the namespaces that `observe` looks for unasked, so that two agents can share a host.
    `watch` is shown every namespace that is looked at or filled. A namespace of another deployment is a stranger's.
    With `underlay`, our rules in the host's own namespace are looked at as well. What `beside` writes stands where the
    program says that ours yields.
    """

    def __init__(
        self,
        prefix: str = "weft-",
        watch: RulesWatch | None = None,
        *,
        deployment: str = "",
        underlay: bool = False,
        beside: Beside | None = None,
    ) -> None:
        self._beside = beside
        self._asked: dict[str, dict[Key, Yielding]] = defaultdict(dict)
        self._prefix = prefix
        self._underlay = underlay
        self._watch = watch
        self._deployment = deployment
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="linux-driver", initializer=name_this_thread)
        self._rules = nft.Transactions()
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def close(self) -> None:
        """Wait for what is running and end the threads."""
        self._pool.shutdown()
        self._rules.close()

    async def alone(self, scope: str, call: Callable[[], T]) -> T:
        """What the call returns, made by a thread of ours while nothing else reads or changes the scope."""

        def run() -> T:
            with self._locks[scope]:
                return call()

        return await self._in_thread(run)

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        names = scopes if scopes is not None else await self._in_thread(namespaces.names)
        wanted = sorted(name for name in names if scopes is not None or name.startswith(self._prefix))
        if scopes is None and self._underlay:
            wanted.append("")
        found = await asyncio.gather(*(self._in_thread(self._observe, scope) for scope in wanted))
        return frozenset(resource for one in found for resource in one)

    async def apply(self, plan: Plan) -> Applied:
        work = _by_scope(plan)
        failures: _Failures = {}
        await self._in_thread(namespaces.prepare_folder)
        stays = {scope: one for scope, one in work.items() if not one.goes}
        waves = (
            (_make_namespace, {scope: one for scope, one in stays.items() if one.namespace}),
            (
                _fill,
                {scope: one for scope, one in stays.items() if one.inner and not one.needs_another_scope},
            ),
            (_fill, {scope: one for scope, one in stays.items() if one.inner and one.needs_another_scope}),
            (_remove_namespace, {scope: one for scope, one in work.items() if one.goes}),
        )
        for act, wave in waves:
            done = await asyncio.gather(*(self._in_thread(self._act, act, scope, one) for scope, one in wave.items()))
            for one in done:
                failures |= one
            if act is _make_namespace and self._beside is not None and wave:
                made = frozenset(scope for scope in wave if ("namespace", scope) not in failures)
                await self._beside.welcome(made)
        return Applied(failures)

    async def standing(self) -> Standing:
        """Namespaces by deployment."""
        names = [one for one in await self._in_thread(namespaces.names) if one.startswith(self._prefix)]
        owners = await asyncio.gather(*(self._in_thread(self._owner_of, name) for name in names))
        found: dict[str, set[str]] = defaultdict(set)
        for name, deployment in zip(names, owners, strict=True):
            if deployment is not None:
                found[deployment].add(name)
        return {deployment: frozenset(scopes) for deployment, scopes in found.items()}

    async def adopt(self, deployments: frozenset[str]) -> None:
        there = await self.standing()
        scopes = sorted(scope for deployment in deployments for scope in there.get(deployment, ()))
        await asyncio.gather(*(self._in_thread(self._give, scope) for scope in scopes))

    async def _in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)

    def _observe(self, scope: str) -> set[Resource]:
        with self._locks[scope]:
            try:
                self._rules.forget(scope, unless=namespaces.inode(scope))
                self._follow(scope)
                return set(scope_state.observe(scope, self._deployment, self._given_way(scope)))
            except OSError as error:
                raise failure_of(error) from error

    def _act(self, act: _Act, scope: str, work: _Work) -> _Failures:
        with self._locks[scope]:
            place = _Place(scope, self._deployment, self._rules, self._given_way(scope))
            failures = act(place, work)
            self._follow(scope)
            return failures

    def _given_way(self, scope: str) -> Yielded:
        return Yielded(self._beside is not None and self._beside.is_on, self._asked[scope])

    def _owner_of(self, scope: str) -> str | None:
        with self._locks[scope]:
            try:
                return scope_state.deployment_of(scope)
            except OSError as error:
                raise failure_of(error) from error

    def _give(self, scope: str) -> None:
        with self._locks[scope]:
            try:
                scope_state.give(scope, self._deployment)
            except OSError as error:
                raise failure_of(error) from error

    def _follow(self, scope: str) -> None:
        """Nothing depends on it but how soon the next audit is: what goes wrong here shows there."""
        if self._watch is None:
            return
        with suppress(OSError, ValueError), namespaces.opened(scope) as descriptor:
            self._watch.follow(scope, descriptor)


def _subject(step: Step) -> Resource:
    return step.old if isinstance(step, Delete) else step.new


def _by_scope(plan: Plan) -> Mapping[str, _Work]:
    work: dict[str, _Work] = defaultdict(_Work)
    for step in plan:
        subject = _subject(step)
        one = work[subject.scope]
        if isinstance(subject, Namespace):
            one.namespace.append(step)
        elif isinstance(subject, Sysctl):
            one.sysctls.append(step)
        elif isinstance(subject, _NFT):
            one.nft.append(step)
        else:
            one.links.append(step)
    return work


def _all_fail(steps: Iterable[Step], failure: Failure) -> _Failures:
    return {_subject(step).key: failure for step in steps}


def _make_namespace(place: _Place, work: _Work) -> _Failures:
    scope = place.scope
    owner = next(one.owner for one in map(_subject, work.namespace) if isinstance(one, Namespace))
    try:
        if namespaces.is_mounted(scope):
            _mark_again(place, owner)
        else:
            with namespaces.inside_a_new_one():
                _mark_present_one(place, owner)
                namespaces.name_the_present_one(scope, place.deployment)
    except Failure as failure:
        return _all_fail(work.namespace, failure)
    except FileExistsError:
        taken = Failure("NAMESPACE_NAME_TAKEN", f"{namespaces.NETNS}/{scope} is not ours")
        return _all_fail(work.namespace, taken)
    except ValueError as error:
        return _all_fail(work.namespace, Failure("INVALID_NAME", str(error)))
    except OSError as error:
        return _all_fail(work.namespace, failure_of(error))
    return {}


def _mark_again(place: _Place, owner: str) -> None:
    with namespaces.opened(place.scope) as descriptor, namespaces.inside(descriptor), Socket() as route:
        mark, _ = scope_state.read_mark(route)
        if not place.is_ours(mark):
            raise place.taken(mark)
        for request in wire.mark_loopback(str(scope_state.Mark(place.deployment, owner))):
            route.ask(request)


def _mark_present_one(place: _Place, owner: str) -> None:
    """Before it gets a name, so that none of ours is ever seen without its mark."""
    with Socket() as route:
        for request in wire.mark_loopback(str(scope_state.Mark(place.deployment, owner))):
            route.ask(request)
    # Link-local addresses on bridges and ports would let guests talk to the router by IPv6.
    if sysctls.exists(_ADDRESS_GENERATION):
        sysctls.write(_ADDRESS_GENERATION, "1")


def _remove_namespace(place: _Place, work: _Work) -> _Failures:
    """Devices with an end elsewhere go first: a process may keep the namespace alive."""
    scope = place.scope
    try:
        place.rules.forget(scope)
        if namespaces.owner_of_empty_file(scope) == place.deployment:
            namespaces.remove(scope)
        elif namespaces.is_mounted(scope):
            with namespaces.opened(scope) as descriptor, namespaces.inside(descriptor), Socket() as route:
                if not place.is_ours(scope_state.read_mark(route)[0]):
                    return {}
                links = [one for one in scope_state.links(route) if one.is_ours]
                with namespaces.opened("") as home:
                    for one in (one for one in links if wire.is_adopted(one.alias)):
                        route.exchange(wire.hand_back(one.index, one.alias, home))
                outward = [one.index for one in links if one.kind in _OUTWARD and not wire.is_adopted(one.alias)]
                if outward:
                    route.exchange(wire.delete_together(outward, 1 << 30))
            namespaces.remove(scope)
    except OSError as error:
        return _all_fail(work.namespace, failure_of(error))
    return {}


def _fill(place: _Place, work: _Work) -> _Failures:
    """Everything inside one namespace."""
    scope = place.scope
    try:
        with ExitStack() as stack:
            stack.enter_context(namespaces.inside(stack.enter_context(namespaces.opened(scope))))
            route = stack.enter_context(Socket())
            mark, _ = scope_state.read_mark(route)
            if scope and not place.is_ours(mark):
                return _all_fail(_creations(work.inner), place.taken(mark))
            return _fill_inside(place, work, route, stack)
    except (FileNotFoundError, ValueError):
        missing = Failure("NETNS_MISSING", f"there is no network namespace {scope}")
        return _all_fail(_creations(work.inner), missing)
    except OSError as error:
        return _all_fail(work.inner, failure_of(error))


def _creations(steps: Iterable[Step]) -> list[Step]:
    """What is to be deleted in a namespace that is not there is deleted already."""
    return [step for step in steps if not isinstance(step, Delete)]


def _fill_inside(place: _Place, work: _Work, route: Socket, stack: ExitStack) -> _Failures:
    scope, rules = place.scope, place.rules
    failures = _set_sysctls(work.sysctls, route)
    refused = _commit_rules(scope, work.nft, rules)
    failures |= refused
    if refused:
        closed = Failure("RULES_NOT_IN_PLACE", f"not made, because the rules of {scope} were refused")
        failures |= _all_fail(_creations(work.links), closed)
    return failures | LinksApply(scope, work.links, route, stack, place.given_way).run(create=not refused)


def _set_sysctls(steps: Sequence[Step], route: Socket) -> _Failures:
    """The notes first: a value of ours without one would never be found again."""
    failures: _Failures = {}
    wanted = [one for one in map(_subject, steps) if isinstance(one, Sysctl)]
    try:
        notes = [sysctls.note_of(one.name) for one in wanted]
    except ValueError as error:
        return _all_fail(steps, Failure("SYSCTL_REFUSED", str(error)))
    new = [note for note, step in zip(notes, steps, strict=True) if isinstance(step, Create)]
    # A note that is there already is an error that does not matter.
    route.exchange([wire.loopback_note(wire.NEW_LINK_PROPERTY, note) for note in new])
    for step, subject, note in zip(steps, wanted, notes, strict=True):
        try:
            if isinstance(step, Delete):
                sysctls.write(subject.name, sysctls.value_when_new(subject.name))
                route.ask(wire.loopback_note(wire.DELETE_LINK_PROPERTY, note))
            else:
                sysctls.write(subject.name, subject.value)
        except OSError as error:
            failures[subject.key] = Failure("SYSCTL_REFUSED", f"{subject.name}={subject.value}: {error.strerror}")
    return failures


def _commit_rules(scope: str, steps: Sequence[Step], rules: nft.Transactions) -> _Failures:
    """All of them or none. A plan that is older than what is there is brought up to date once."""
    if not steps:
        return {}
    try:
        present = _nft_present(scope) if nft_text.needs_present(steps) else ()
        rules.run(scope, nft_text.script(steps, present))
    except nft_notes.TooLongError as error:
        return _all_fail(steps, Failure("RULE_TOO_LONG", str(error)))
    except nft.NftError as error:
        present = _nft_present(scope)
        fresh = _brought_up_to_date(steps, present)
        if set(fresh) == set(steps):
            return _all_fail(steps, Failure("RULES_REFUSED", str(error)))
        try:
            rules.run(scope, nft_text.script(fresh, present))
        except nft.NftError as second:
            return _all_fail(steps, Failure("RULES_REFUSED", str(second)))
    return {}


def _nft_present(scope: str) -> set[nft_decode.NftResource]:
    with Socket(NETFILTER) as netfilter:
        return nft_decode.observe(netfilter, scope)


def _brought_up_to_date(steps: Iterable[Step], present: Iterable[Resource]) -> list[Step]:
    there = {one.key: one for one in present}
    fresh: list[Step] = []
    for step in steps:
        old = there.get(_subject(step).key)
        match step:
            case Delete():
                fresh += [Delete(old)] if old else []
            case Create(new) | Replace(_, new):
                if old is None:
                    fresh.append(Create(new))
                elif old != new:
                    fresh.append(Replace(old, new))
    return fresh
