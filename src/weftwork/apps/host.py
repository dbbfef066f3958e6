"""A host of a fleet as a process: joins if it has not, then follows what its server says."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from weftwork.agent.host_loop import LoneAgent
from weftwork.agent.joining import join, join_file
from weftwork.agent.remote import Facts, RemoteAgent
from weftwork.agent.state import Identity, StateFolder
from weftwork.apps.backends import open_host
from weftwork.apps.host_interface import Interface, serving_interface
from weftwork.apps.machine_files import HostBundler
from weftwork.apps.node import only_agent, run_process
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.drivers.capture.capturer import PacketCapturer
from weftwork.drivers.frr.driver import FrrDriver
from weftwork.drivers.linux.flow_log import LinuxFlowSource
from weftwork.drivers.linux.learned_watch import LearnedWatch
from weftwork.drivers.linux.probe import HostCapabilities, probe
from weftwork.drivers.linux.rules_watch import RulesWatch
from weftwork.reconciler.reconciler import Pace
from weftwork.seams.driver import Driver
from weftwork.seams.flows import FlowSource, TakeSeen
from weftwork.telemetry.logs import start_logging


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`interface` is None when nobody is to ask for networks at the host itself."""

    state: Path
    server: str = ""
    token_file: Path | None = None
    audit_s: float = 10.0
    is_alone: bool = False
    interface: Interface | None = None


def start(how: HostSettings) -> int:
    """Run it as this process; its exit code."""
    start_logging()
    return run_process(_run(how))


async def _run(how: HostSettings) -> None:
    """Until SIGTERM or SIGINT. What was programmed stays."""
    folder = StateFolder(how.state)
    folder.prepare()
    with only_agent(), ExitStack() as stack:
        identity = None if how.is_alone else await _identity(folder, how.server, how.token_file)
        deployment = identity.deployment if identity else folder.own_deployment()
        capabilities = await asyncio.to_thread(probe)
        suspected = _Suspected()
        watch = RulesWatch(suspected.take)
        stack.callback(watch.close)
        routing = FrrDriver(how.state / "frr")
        routing.died = lambda: suspected.take(frozenset({""}))
        learned = LearnedWatch(suspected.take, watch.scope_of)
        stack.callback(learned.close)
        async with (
            open_host(deployment, watch, capabilities, routing, how.state) as driver,
            AsyncExitStack() as serving,
        ):
            facts, pace = _facts(capabilities), Pace(audit_s=how.audit_s)
            agent = _remote(identity, folder, driver, facts, pace, routing) if identity else LoneAgent(driver, pace)
            suspected.agent = agent
            if how.interface is not None:
                opening = serving_interface(
                    how.interface, how.state, folder, agent.loop, capabilities, has_ipv6=facts.has_ipv6
                )
                await serving.enter_async_context(opening)
            working = asyncio.create_task(agent.run(), name="agent")
            for one in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(one, working.cancel)
            await asyncio.wait((working,))
            if not working.cancelled() and (error := working.exception()):
                raise error


def _remote(
    identity: Identity, folder: StateFolder, driver: Driver, facts: Facts, pace: Pace, routing: FrrDriver
) -> RemoteAgent:
    offers = HostOffers()
    agent = RemoteAgent(identity, folder, driver, facts, pace, offers, routing)
    offers.bundler = HostBundler(agent.scopes)
    return agent


class HostOffers:
    """Implements `agent.asked.Offers`."""

    def __init__(self) -> None:
        self.capturer = PacketCapturer()
        self.bundler = HostBundler(lambda: ())

    def flows(self, take: TakeSeen) -> FlowSource:
        return LinuxFlowSource(take)


class _Suspected:
    """Who is to look when somebody else changes rules: the agent, as soon as there is one."""

    agent: RemoteAgent | LoneAgent | None = None

    def take(self, scopes: frozenset[str]) -> None:
        if self.agent is not None:
            self.agent.suspect(scopes)


def _facts(capabilities: HostCapabilities) -> Facts:
    return Facts(
        os.uname().release,
        tuple(capabilities.filter_modes),
        capabilities.has("br_netfilter"),
        Path("/proc/sys/net/ipv6").exists(),
        tuple(capabilities.layouts),
    )


async def _identity(folder: StateFolder, server: str, token_file: Path | None) -> Identity:
    """The host's from its disk, or by joining now. The file of a token goes with it: it is good once.

    Refusals NOT_JOINED, JOIN_REFUSED.
    """
    token = _text_of(token_file)
    if not token:
        known = folder.identity()
        if known is None:
            raise Refusal(
                Kind.INVALID,
                "NOT_JOINED",
                "this host has not joined a fleet",
                hint="Give --server, and the --token-file that `weft host add` wrote.",
            )
        return known
    if not server:
        raise Refusal(Kind.INVALID, "NOT_JOINED", "where to join is not said", hint="Give --server HOST:PORT.")
    joined = await join(server, join_file(token))
    folder.keep_identity(joined)
    _used(token_file)
    return joined


def _used(token_file: Path | None) -> None:
    if token_file is not None:
        token_file.unlink(missing_ok=True)


def _text_of(path: Path | None) -> str:
    """Empty when there is none, or none any more."""
    try:
        return path.read_text() if path else ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failure("STATE_UNREADABLE", f"{path}: {error.strerror}") from None
