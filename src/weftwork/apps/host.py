"""A host of a fleet as a process: joins if it has not, then follows what its server says."""

import asyncio
import os
import signal
from contextlib import ExitStack
from pathlib import Path

from weftwork.agent.joining import join, join_file
from weftwork.agent.remote import Facts, RemoteAgent
from weftwork.agent.state import Identity, StateFolder
from weftwork.apps.backends import open_host
from weftwork.apps.machine_files import HostBundler
from weftwork.apps.node import only_agent, run_process
from weftwork.base.errors import Failure, Kind, Refusal
from weftwork.drivers.capture.capturer import PacketCapturer
from weftwork.drivers.linux.flow_log import LinuxFlowSource
from weftwork.drivers.linux.probe import HostCapabilities, probe
from weftwork.drivers.linux.rules_watch import RulesWatch
from weftwork.reconciler.reconciler import Pace
from weftwork.seams.flows import FlowSource, TakeSeen
from weftwork.telemetry.logs import start_logging


def start(server: str, token_file: Path | None, state: Path, audit_s: float) -> int:
    """Run it as this process; its exit code."""
    start_logging()
    return run_process(_run(server, token_file, state, audit_s))


async def _run(server: str, token_file: Path | None, state: Path, audit_s: float) -> None:
    """Until SIGTERM or SIGINT. What was programmed stays."""
    folder = StateFolder(state)
    folder.prepare()
    with only_agent(), ExitStack() as stack:
        identity = await _identity(folder, server, token_file)
        capabilities = await asyncio.to_thread(probe)
        suspected = _Suspected()
        watch = RulesWatch(suspected.take)
        stack.callback(watch.close)
        async with open_host(identity.deployment, watch, capabilities) as driver:
            offers = HostOffers()
            agent = RemoteAgent(identity, folder, driver, _facts(capabilities), Pace(audit_s=audit_s), offers)
            offers.bundler = HostBundler(agent.scopes)
            suspected.agent = agent
            working = asyncio.create_task(agent.run(), name="agent")
            for one in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(one, working.cancel)
            await asyncio.wait((working,))
            if not working.cancelled() and (error := working.exception()):
                raise error


class HostOffers:
    """Implements `agent.asked.Offers`."""

    def __init__(self) -> None:
        self.capturer = PacketCapturer()
        self.bundler = HostBundler(lambda: ())

    def flows(self, take: TakeSeen) -> FlowSource:
        return LinuxFlowSource(take)


class _Suspected:
    """Who is to look when somebody else changes rules: the agent, as soon as there is one."""

    agent: RemoteAgent | None = None

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
