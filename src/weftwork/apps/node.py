"""Put the parts together and run them until told to stop: a server, and with it, on one machine, the agent."""

import asyncio
import fcntl
import gc
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from weftwork.access.quotas import DEFAULTS
from weftwork.actions.network import Network, NetworkSettings, ReservedRange
from weftwork.actions.terms import forget_old
from weftwork.actions.view import IntentView
from weftwork.agent.composite import CompositeDriver
from weftwork.agent.local import LocalAgent
from weftwork.agent.timed import TimedDriver
from weftwork.api.listening import check_reach
from weftwork.api.rest.server import serve_rest
from weftwork.api.server import serve
from weftwork.apps import deployment
from weftwork.apps.backends import (
    Backend,
    carries,
    device_netns,
    guest_mtu_bytes,
    open_backend,
    open_northbound,
    writes_northbound,
)
from weftwork.apps.bundle import NodeBundler
from weftwork.apps.entrance import open_entrance
from weftwork.apps.fleet import Idle, open_fleet
from weftwork.apps.settings import Settings
from weftwork.apps.stores import OpenedStore, open_store
from weftwork.apps.vms import OpenedVms, on_bus, open_vms, this_machine
from weftwork.base import codes
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.confirming import Confirming
from weftwork.controller.figures import DeploymentFigures
from weftwork.controller.fleet_conditions import FleetBoard
from weftwork.controller.fleet_flows import FleetFlowSource
from weftwork.controller.fleet_insight import FleetInsight
from weftwork.controller.flows import FlowBoard
from weftwork.controller.insight import ControllerInsight, Hosted
from weftwork.controller.leading import Fence, FencedDriver, Publishing, Together, lead
from weftwork.controller.publisher import Publisher
from weftwork.controller.retention import Kept, Retention, always
from weftwork.controller.tracing import ControllerTracer
from weftwork.controller.usage import UsageFigures
from weftwork.drivers.capture.capturer import PacketCapturer
from weftwork.drivers.linux.rules_watch import RulesWatch
from weftwork.reconciler.reconciler import Pace
from weftwork.seams.channel import Report
from weftwork.seams.flows import FlowSource, TakeSeen
from weftwork.seams.store import Store
from weftwork.store.noting import NotingStore
from weftwork.telemetry.journeys import Following
from weftwork.telemetry.logs import start_logging
from weftwork.telemetry.metrics import Metrics
from weftwork.telemetry.traces import NoSpans, Spans, open_spans

log = logging.getLogger(__name__)

LOCK = "node.lock"
FORGET_EVERY_S = 1800
AGENT = "\0weftwork agent"
"""A Unix socket without a file: it belongs to the network namespace, and goes with the process."""
GARBAGE_THRESHOLDS = (50_000, 20, 50)
"""Of Python's collector of cycles. Its own (700, 10, 10) look at all of the intent every few thousand calls, in vain:
we make next to no cycles, and what is not one is freed without it."""


class SystemClock:
    def now_s(self) -> int:
        return int(time.time())


@dataclass(slots=True)
class _Listeners:
    """Whoever wants to hear of reports; filled before the first one can arrive."""

    board: ConditionBoard | None = None
    insight: ControllerInsight | None = None
    agent: LocalAgent | None = None

    def take(self, report: Report) -> None:
        if self.board is not None:
            self.board.take(report)
        if self.insight is not None:
            self.insight.take(report)

    def suspect(self, scopes: frozenset[str]) -> None:
        """Somebody else changed rules there."""
        if self.agent is not None:
            self.agent.suspect(scopes)


async def run_node(settings: Settings, *, with_agent: bool, adopts: Sequence[str] = ()) -> None:
    """Until SIGTERM or SIGINT. What was programmed stays, so that a restart loses no packet.

    Raises Refusal when a setting cannot be met on this machine and Failure when something is out of reach.
    """
    if settings.server_listen_addr:
        check_reach(settings.server_listen_addr, has_tls=bool(settings.server_tls_certificate))
    if settings.server_rest_listen_addr:
        check_reach(settings.server_rest_listen_addr, has_tls=bool(settings.server_tls_certificate))
    needs_folder = with_agent or settings.storage_backend == "sqlite"
    with (
        only_one(Path(settings.storage_path)) if needs_folder else nullcontext(),
        only_agent() if with_agent else nullcontext(),
    ):
        listeners = _Listeners()
        wants_watch = with_agent and settings.agent_watch_rules == "on"
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(open_store(settings))
            ours = await deployment.of_store(opened.store, adopts)
            watch = stack.enter_context(_watching_rules(listeners)) if wants_watch else None
            opening = open_backend(settings, ours, watch) if with_agent else open_northbound(settings, ours)
            backend = await stack.enter_async_context(opening)
            if settings.server_agents_listen_addr and with_agent:
                raise _no_fleet_here()
            spans = await stack.enter_async_context(_spans(settings))
            running = _running(settings, opened, listeners, backend, spans, ours.id, with_agent=with_agent)
            await stack.enter_async_context(running)
            await _told_to_stop()


@asynccontextmanager
async def _running(
    settings: Settings,
    opened: OpenedStore,
    listeners: _Listeners,
    backend: Backend | None,
    spans: Spans,
    ours: str,
    *,
    with_agent: bool,
) -> AsyncIterator[None]:
    following = Following(spans=spans)
    store: Store = NotingStore(opened.store, following)
    view = IntentView()
    await view.start(store)
    fence = Fence()
    clock = SystemClock()
    chosen = network_settings(settings, with_agent=with_agent)
    machines = (this_machine(),) if with_agent else ()
    network = Network(store, view, clock, replace(chosen, bus=on_bus(settings, ours), machines=machines))
    metrics = Metrics()
    hosted = _host(settings, backend, view, listeners, fence, metrics, following) if backend else None
    fleet = await open_fleet(settings, network) if network.settings.has_fleet else None
    if fleet is not None:
        board: ConditionBoard = FleetBoard(view, fleet.controller, clock)
        insight: ControllerInsight = FleetInsight(store, view, network.reach, fleet.controller)
        fleet.controller.start()
    else:
        board = ConditionBoard(view, hosted.publisher if hosted else None, clock)
        insight = ControllerInsight(store, view, network.reach, hosted)
    listeners.board, listeners.insight = board, insight
    injector = backend.injector if backend else None
    tracer = ControllerTracer(view.intent, injector) if injector else None
    flows = FlowBoard(view) if fleet or (backend and backend.flow_source) else None
    usage = UsageFigures(view, backend.usage) if backend and backend.usage else None
    figures = DeploymentFigures(view, insight, network.settings, usage)
    bundler = NodeBundler(
        settings, store, view, insight, board, figures.figures, metrics, fleet.links if fleet else None
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(view.close)
        entrance = await stack.enter_async_context(open_entrance(settings, network))
        vms = await stack.enter_async_context(open_vms(settings, network, clock, fence, with_agent=hosted is not None))
        board.vms = vms.board
        server = await serve(
            network=network,
            conditions=board,
            insight=insight,
            addresses=_addresses(settings),
            tracer=tracer,
            metrics=metrics,
            spans=spans,
            flows=flows,
            capturer=PacketCapturer() if with_agent else None,
            bundler=bundler,
            entrance=entrance,
            fleet=fleet.controller if fleet else None,
            vms=vms.board,
        )
        stack.push_async_callback(server.stop)
        tls = entrance.tls.files if entrance.tls else None
        rest = await serve_rest(server.calls, _rest_addresses(settings), figures, tls)
        async with rest, asyncio.TaskGroup() as tasks:
            # A server without an agent never leads, and its line of what it lets go is everybody's.
            kept = Kept(settings.storage_history_days, settings.storage_audit_days)
            retention = Retention(store, clock, kept, leads=fence.is_open if hosted else always)
            loops = [tasks.create_task(board.run()), tasks.create_task(_forgetting(store, clock))]
            loops.append(tasks.create_task(retention.run()))
            loops += [tasks.create_task(loop()) for loop in (board.follow_vms, *vms.loops)]
            is_ours = fence.is_open if hosted is not None else (lambda: True)
            confirming = Confirming(network, is_ours=is_ours, targets=insight, tracer=tracer)
            loops.append(tasks.create_task(confirming.run()))
            if backend is not None and hosted is not None:
                assert isinstance(hosted.agent, LocalAgent)
                loops.append(tasks.create_task(_kept(backend)))
                if flows is not None and backend.flow_source is not None:
                    loops.append(tasks.create_task(_logging(flows, backend.flow_source)))
                loops.append(tasks.create_task(lead(opened.leadership, fence, _led(hosted, vms), hosted.agent)))
            if fleet is not None:
                await stack.enter_async_context(fleet.serving(settings, network, ours))
                loops.append(tasks.create_task(fleet.controller.follow()))
                assert flows is not None
                loops.append(tasks.create_task(_logging(flows, partial(FleetFlowSource, view, fleet.controller))))
                loops.append(tasks.create_task(lead(opened.leadership, fence, fleet.controller, Idle())))
            _keep_what_is_there()
            try:
                yield
            finally:
                for loop in loops:
                    loop.cancel()


@asynccontextmanager
async def _spans(settings: Settings) -> AsyncIterator[Spans]:
    """What waits is sent in the end, as far as somebody takes it."""
    endpoint = settings.telemetry_otlp_endpoint
    if not endpoint:
        yield NoSpans()
        return
    spans = open_spans(endpoint, share=settings.telemetry_trace_percent / 100)
    log.info("traces go to %s", endpoint)
    try:
        yield spans
    finally:
        await asyncio.to_thread(spans.close)


async def _logging(flows: FlowBoard, source: Callable[[TakeSeen], FlowSource]) -> None:
    listening = source(flows.take)
    try:
        await flows.run(listening)
    finally:
        listening.close()


async def _forgetting(store: Store, clock: SystemClock) -> None:
    """Answers that were kept for requests that might come again, once they are old. Until cancelled."""
    while True:
        try:
            await forget_old(store, clock)
        except Failure as error:
            log.warning("old answers to requests are still kept: %s", error)
        await asyncio.sleep(FORGET_EVERY_S)


def _keep_what_is_there() -> None:
    """The program and the intent stay: do not look for garbage in them, neither now nor again and again."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.enable()


@contextmanager
def _watching_rules(listeners: _Listeners) -> Iterator[RulesWatch | None]:
    """Without it, what somebody does to our rules is found by the audit."""
    try:
        watch = RulesWatch(listeners.suspect)
    except OSError as error:
        log.warning("cannot hear of changes of rules, the audit will find them: %s", error)
        yield None
        return
    try:
        yield watch
    finally:
        watch.close()


def _host(
    settings: Settings,
    backend: Backend,
    view: IntentView,
    listeners: _Listeners,
    fence: Fence,
    metrics: Metrics,
    following: Following,
) -> Hosted:
    spans = following.spans
    parts = [replace(part, driver=TimedDriver(part.name, part.driver, metrics, spans)) for part in backend.parts]
    driver = FencedDriver(CompositeDriver(parts), fence)
    agent = LocalAgent(socket.gethostname(), driver, listeners.take, Pace(audit_s=settings.agent_audit_s), following)
    listeners.agent = agent
    publisher = Publisher(view, backend.compile_slice, agent, backend.judge, following)
    return Hosted(agent, publisher, {part.name: part.kinds for part in backend.parts}, backend.others)


def _led(hosted: Hosted, vms: OpenedVms) -> Publishing:
    return Together((hosted.publisher, vms.host)) if vms.host else hosted.publisher


async def _kept(backend: Backend) -> None:
    await backend.look_after()


def network_settings(settings: Settings, *, with_agent: bool = True) -> NetworkSettings:
    return NetworkSettings(
        cidr_pool=settings.network_cidr_pool,
        default_subnet_prefix=settings.network_default_subnet_size,
        reserved=tuple(ReservedRange(cidr, "reserved for the underlay") for cidr in settings.network_reserved),
        external=settings.network_external_cidrs,
        external_gateway=settings.external_gateway,
        mtu_bytes=guest_mtu_bytes(settings),
        quotas={**DEFAULTS, **dict(settings.quotas_default)},
        device_netns=device_netns(settings),
        plugs_in=with_agent or not writes_northbound(settings),
        carries=carries(settings),
        has_fleet=bool(settings.server_agents_listen_addr) and not with_agent,
    )


def _no_fleet_here() -> Refusal:
    return Refusal(
        Kind.INVALID,
        "INVALID_SETTING",
        "server.agents_listen_addr: `weft up` is the server and the agent of one machine",
        hint="Start `weft server` with it, and `weft agent` on each host.",
    )


def _addresses(settings: Settings) -> list[str]:
    unix = [f"unix:{settings.server_socket}"] if settings.server_socket else []
    return [*unix, *([settings.server_listen_addr] if settings.server_listen_addr else [])]


def _rest_addresses(settings: Settings) -> list[str]:
    unix = [f"unix:{settings.server_rest_socket}"] if settings.server_rest_socket else []
    return [*unix, *([settings.server_rest_listen_addr] if settings.server_rest_listen_addr else [])]


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    await stop.wait()


@contextmanager
def only_one(store: Path) -> Iterator[None]:
    """Two nodes over one store would fight for the host. The lock file holds the owner's process id."""
    folder = store.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure("STORE_UNAVAILABLE", f"{folder}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                Kind.CONFLICT,
                "ALREADY_RUNNING",
                f"a weft server is already running over {folder}",
                hint="Use it, stop it, or give this one another storage.path.",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def only_agent() -> Iterator[None]:
    """Two agents on one machine, each with a store of its own, would take each other's networks for strays."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sign:
        try:
            sign.bind(AGENT)
        except OSError:
            raise Refusal(
                Kind.CONFLICT,
                "ALREADY_RUNNING",
                f"another weft up looks after this machine{_agent_process()}",
                hint="Stop it first: each would remove the other's networks.",
            ) from None
        sign.listen(64)
        yield


def _agent_process() -> str:
    """Who holds the sign, as far as it can be known."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as question:
        question.setblocking(False)
        try:
            question.connect(AGENT)
            pid, _, _ = struct.unpack("3i", question.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return ""
    return f" (process {pid})" if pid else ""


def start(settings: Settings, *, with_agent: bool, adopts: Sequence[str] = ()) -> int:
    """Run a node as this process; its exit code."""
    start_logging(settings.telemetry_log_format, settings.telemetry_log_level)
    return run_process(run_node(settings, with_agent=with_agent, adopts=adopts))


def run_process(main: Coroutine[Any, Any, None]) -> int:
    """Run it as this process; its exit code, after what went wrong was told."""
    code = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except* (Refusal, Failure) as errors:
        code = 1
        for error in errors.exceptions:
            tell(error)
    except* KeyboardInterrupt:
        code = 130
    return code


def tell(error: BaseException) -> None:
    """An error in the words the CLI uses, on standard error."""
    print(f"error: {error}", file=sys.stderr)
    hint = error.hint if isinstance(error, Refusal) else _hint(error)
    if hint:
        print(f"next: {hint}", file=sys.stderr)


def _hint(error: BaseException) -> str:
    code = codes.ALL.get(error.code) if isinstance(error, Failure) else None
    return code.what_to_do if code else ""
