"""The client for programs without an event loop: the same methods and arguments, each waiting for its answer.

A change is carried out when its method is called; `plan` shows what one would do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from weftwork.client.access import AccessCalls
from weftwork.client.calls import ATTEMPTS_MAX, DEFAULT_TIMEOUT_S, PAGE_SIZE, Mutation
from weftwork.client.client import CONNECT_TIMEOUT_S, Client, Tls
from weftwork.client.messages import PlanResponse
from weftwork.client.names import Project
from weftwork.client.vms import VmTunnel
from weftwork.client.watching import PacketCalls

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")


class Waiting(Generic[C]):
    """Runs the calls of `inner` on a loop of its own; for one thread."""

    def __init__(self, inner: C, runner: asyncio.Runner) -> None:
        self._inner = inner
        self._runner = runner

    def _wait(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self._runner.run(wait())


def _answer(method: Callable[Concatenate[C, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Waiting[C], P], T]:
    @wraps(method)
    def call(self: Waiting[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self._inner, *args, **kwargs))

    return call


def _change(method: Callable[Concatenate[C, P], Mutation[T]]) -> Callable[Concatenate[Waiting[C], P], T]:
    @wraps(method)
    def call(self: Waiting[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self._inner, *args, **kwargs))

    return call


def _items(
    method: Callable[Concatenate[C, P], AsyncIterator[T]],
) -> Callable[Concatenate[Waiting[C], P], Iterator[T]]:
    """One after the other; the next page, or event, is waited for when it is needed."""

    @wraps(method)
    def call(self: Waiting[C], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = method(self._inner, *args, **kwargs)
        try:
            while True:
                try:
                    yield self._wait(anext(items))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                self._wait(close())

    return call


class SyncAccess(Waiting[AccessCalls]):
    get_login = _answer(AccessCalls.get_login)
    who_am_i = _answer(AccessCalls.who_am_i)
    create_token = _answer(AccessCalls.create_token)
    list_tokens = _answer(AccessCalls.list_tokens)
    revoke_token = _answer(AccessCalls.revoke_token)
    get_quota = _answer(AccessCalls.get_quota)
    set_quota = _answer(AccessCalls.set_quota)
    audit_entries = _items(AccessCalls.audit_entries)


class SyncPackets(Waiting[PacketCalls]):
    get_flow_log = _answer(PacketCalls.get_flow_log)
    set_flow_log = _change(PacketCalls.set_flow_log)
    list_flows = _answer(PacketCalls.list_flows)
    watch_flows = _items(PacketCalls.watch_flows)
    capture = _items(PacketCalls.capture)
    collect_bundle = _items(PacketCalls.collect_bundle)


class SyncTunnel(Waiting[VmTunnel]):
    """As VmTunnel: bytes both ways, one call at a time."""

    write = _answer(VmTunnel.write)
    read = _answer(VmTunnel.read)
    end = _answer(VmTunnel.end)

    def close(self) -> None:
        self._wait(self._closed())

    async def _closed(self) -> None:
        self._inner.close()


class SyncClient(Waiting[Client]):
    """A connection to one server, as Client. Every method raises ApiError."""

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        page_size: int = PAGE_SIZE,
        bearer: str = "",
        tls: Tls | None = None,
        attempts: int = ATTEMPTS_MAX,
    ) -> None:
        """As Client.connect. RuntimeError inside a running event loop: there, use Client."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("an event loop is running here: use weftwork.client.Client, and await its methods")
        runner = asyncio.Runner()
        connecting = Client.connect(
            target,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            page_size=page_size,
            bearer=bearer,
            tls=tls,
            attempts=attempts,
        )
        try:
            super().__init__(runner.run(connecting), runner)
        except BaseException:
            runner.close()
            raise
        self.access = SyncAccess(self._inner.access, runner)
        self.packets = SyncPackets(self._inner.packets, runner)

    def plan(
        self, change: Callable[Concatenate[Client, P], Mutation[Any]], *args: P.args, **kwargs: P.kwargs
    ) -> PlanResponse:
        """What a change would do: `client.plan(Client.delete_vpc, "acme/web", cascade=True)`. Nothing is stored."""
        return self._wait(change(self._inner, *args, **kwargs).plan())

    def run(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Anything else of the async client: `client.run(lambda c: c.get_vpc("acme/web"))`."""
        return self._wait(call(self._inner))

    def all(self, call: Callable[[Client], AsyncIterator[T]]) -> list[T]:
        """Every item of a list, over all its pages."""

        async def collect() -> list[T]:
            return [item async for item in call(self._inner)]

        return self._runner.run(collect())

    def close(self) -> None:
        self._runner.run(self._inner.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    create_vpc = _change(Client.create_vpc)
    get_vpc = _answer(Client.get_vpc)
    list_vpcs = _items(Client.list_vpcs)
    delete_vpc = _change(Client.delete_vpc)

    create_subnet = _change(Client.create_subnet)
    update_subnet = _change(Client.update_subnet)
    get_subnet = _answer(Client.get_subnet)
    list_subnets = _items(Client.list_subnets)
    delete_subnet = _change(Client.delete_subnet)
    share_subnet = _change(Client.share_subnet)
    unshare_subnet = _change(Client.unshare_subnet)
    list_subnet_shares = _items(Client.list_subnet_shares)
    list_shared_subnets = _items(Client.list_shared_subnets)

    create_port = _change(Client.create_port)
    get_port = _answer(Client.get_port)
    list_ports = _items(Client.list_ports)
    delete_port = _change(Client.delete_port)
    attach_port = _change(Client.attach_port)
    detach_port = _change(Client.detach_port)
    plug_port = _change(Client.plug_port)
    unplug_port = _change(Client.unplug_port)
    set_security_groups = _change(Client.set_security_groups)

    create_security_group = _change(Client.create_security_group)
    get_security_group = _answer(Client.get_security_group)
    list_security_groups = _items(Client.list_security_groups)
    update_security_group = _change(Client.update_security_group)
    add_rules = _change(Client.add_rules)
    remove_rules = _change(Client.remove_rules)
    delete_security_group = _change(Client.delete_security_group)

    create_snat = _change(Client.create_snat)
    list_snats = _items(Client.list_snats)
    delete_snat = _change(Client.delete_snat)
    create_dnat = _change(Client.create_dnat)
    list_dnats = _items(Client.list_dnats)
    delete_dnat = _change(Client.delete_dnat)

    create_peering = _change(Client.create_peering)
    get_peering = _answer(Client.get_peering)
    list_peerings = _items(Client.list_peerings)
    list_peering_offers = _items(Client.list_peering_offers)
    delete_peering = _change(Client.delete_peering)

    create_network_policy = _change(Client.create_network_policy)
    get_network_policy = _answer(Client.get_network_policy)
    list_network_policies = _items(Client.list_network_policies)
    update_network_policy = _change(Client.update_network_policy)
    delete_network_policy = _change(Client.delete_network_policy)
    add_policy_rules = _change(Client.add_policy_rules)
    remove_policy_rules = _change(Client.remove_policy_rules)

    create_reach_test = _change(Client.create_reach_test)
    get_reach_test = _answer(Client.get_reach_test)
    list_reach_tests = _items(Client.list_reach_tests)
    delete_reach_test = _change(Client.delete_reach_test)
    apply_reach_tests = _change(Client.apply_reach_tests)
    run_reach_tests = _answer(Client.run_reach_tests)

    create_vm = _change(Client.create_vm)
    get_vm = _answer(Client.get_vm)
    list_vms = _items(Client.list_vms)
    delete_vm = _change(Client.delete_vm)
    start_vm = _change(Client.start_vm)
    stop_vm = _change(Client.stop_vm)
    restart_vm = _change(Client.restart_vm)
    resize_vm = _change(Client.resize_vm)
    watch_vms = _items(Client.watch_vms)

    @wraps(Client.connect_vm)
    def connect_vm(self, project: Project, vm: str) -> SyncTunnel:
        return SyncTunnel(self._wait(self._inner.connect_vm(project, vm)), self._runner)

    read_console = _items(Client.read_console)
    create_ssh_key = _change(Client.create_ssh_key)
    get_ssh_key = _answer(Client.get_ssh_key)
    list_ssh_keys = _items(Client.list_ssh_keys)
    delete_ssh_key = _change(Client.delete_ssh_key)

    apply_project = _change(Client.apply_project)
    apply_projects = _change(Client.apply_projects)
    export_project = _answer(Client.export_project)

    confirm = _answer(Client.confirm)
    list_confirmations = _answer(Client.list_confirmations)

    list_revisions = _items(Client.list_revisions)
    diff_revisions = _answer(Client.diff_revisions)
    rollback = _change(Client.rollback)

    watch_conditions = _items(Client.watch_conditions)
    wait_for = _answer(Client.wait_for)
    wait_programmed = _answer(Client.wait_programmed)
    list_targets = _answer(Client.list_targets)
    get_target = _answer(Client.get_target)
    list_leaks = _answer(Client.list_leaks)
    explain = _answer(Client.explain)

    watch = _items(Client.watch)

    is_serving = _answer(Client.is_serving)
