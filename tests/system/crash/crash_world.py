"""A node that dies at chosen points, a probe pair that must never notice, and everything that must be true after."""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from weftwork.actions.integrity import orphans
from weftwork.client.client import Client
from weftwork.client.errors import ApiError
from weftwork.compiler.linux.names import PEERINGS_SCOPE
from weftwork.model.keys import ROOT
from weftwork.seams.store import Record
from weftwork.testing.cloud import Cloud, NotProgrammedError, allow
from weftwork.testing.crashing_node import CrashingNode
from weftwork.testing.guests import Guest, run
from weftwork.testing.internet import Internet
from weftwork.testing.patience import patient

PROBE = "crash/probe"
LAYOUT = os.environ.get("WEFT_CRASH_LAYOUT", "")
"""bridges or vlan; empty: the default."""
BACKEND = os.environ.get("WEFT_CRASH_BACKEND", "linux")
IS_LINUX = BACKEND == "linux"
REST_S = patient(30.0)
SILENCE_S = 0.15
"""How long a probe waits for what must not come."""


class World:
    """One node, one VPC with a probe pair `a` → `b`, and namespaces to plug in: `c` there, `d` in a peer's VPC."""

    def __init__(self, folder: Path) -> None:
        assert not [name for name in _namespaces() if name.startswith("weft-")], (
            "another node uses this network: run through tools/private_network.py"
        )
        self.folder = folder
        self.node = CrashingNode(folder, external=(Internet.CIDR, Internet.GATEWAY), layout=LAYOUT, backend=BACKEND)
        self.deaths: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._stack.callback(self._take_down)
        self.node.start()
        # What an OVN of ours brings along has no mark: the namespace has.
        self._ground = frozenset() if IS_LINUX else frozenset(_links("weft-ovn"))
        self.cloud = Cloud(self.node.address)
        self._stack.callback(self.cloud.close)
        self.internet = self._stack.enter_context(Internet("wc-internet"))
        self.internet.serve(tcp=[80])
        self._make_probe_pair()

    def _take_down(self) -> None:
        self.node.points.disarm()
        self.node.down()
        self.node.points.close()

    def _make_probe_pair(self) -> None:
        cloud = self.cloud
        cloud.vpc(PROBE, "10.30.0.0/16")
        cloud.group(PROBE, "web", ingress=[allow("tcp", 80, "0.0.0.0/0")], egress=[allow("all", None, "0.0.0.0/0")])
        self.a, self.b = (self._boot(name) for name in "ab")
        self.c = self._stack.enter_context(Guest.boot("wc-c"))
        self.d = self._stack.enter_context(Guest.boot("wc-d"))
        for guest in (self.c, self.d):
            guest.serve(tcp=[80, 81])
        self.b.serve(tcp=[80, 81, 8080])
        self._flow = self.a.connect(self.b.address, 80)
        self._stack.callback(lambda: self._flow.close())

    def _boot(self, name: str) -> Guest:
        guest = self._stack.enter_context(Guest.boot(f"wc-{name}"))
        self.cloud.port(PROBE, name, groups=["web"])
        self.cloud.plug(PROBE, name, guest.name)
        assert guest.dhcp() is not None
        return guest

    # One trial

    def trial(self, case: "Case", fatal: int, again: int = 0) -> None:
        """Kill the node before step `fatal` of the call, and before step `again` of the recovery if that is given;
        start it again, and look at everything."""
        case.prepare(self)
        self.node.points.arm(fatal)
        acknowledged = self._call(case)
        steps = self.node.points.names
        died = not self.node.is_alive
        if died:
            self.deaths.append(steps[-1])
            self.restart(fatal=again)
        self.node.points.disarm()
        try:
            done = case.is_done(self)
            assert done or not acknowledged, "an acknowledged call is lost"
            self.check()
            case.see(self, done)
        except (AssertionError, ApiError) as error:
            where = f"killed before step {fatal}, {steps[-1]!r}, and {again} of the recovery" if died else "not killed"
            raise AssertionError(f"{case.name}, {where}: {error}") from error

    def steps(self, case: "Case") -> list[str]:
        """What the call takes when nothing happens to it."""
        case.prepare(self)
        self.node.points.arm(0)
        assert self._call(case)
        self.node.points.disarm()
        return self.node.points.names

    def _call(self, case: "Case") -> bool:
        """Until everything came to rest, or the node died; whether the call was acknowledged."""
        acknowledged = False

        async def carry_out() -> None:
            nonlocal acknowledged
            await case.do(self.cloud.client)
            acknowledged = True
            await self.cloud.settled()

        self._wait_for_rest(self.cloud.begin(carry_out()))
        return acknowledged

    def _wait_for_rest(self, rest: Future[None]) -> None:
        """Until that is done or the node is dead."""
        deadline = time.monotonic() + REST_S
        while self.node.is_alive and not (rest.done() and rest.exception() is None) and time.monotonic() < deadline:
            time.sleep(0.002)
        rest.cancel()
        if self.node.is_alive:
            rest.result(0)

    def recovery_steps(self, case: "Case", fatal: int) -> list[str]:
        """What a restart takes after the node was killed before step `fatal` of the call."""
        case.prepare(self)
        self.node.points.arm(fatal)
        self._call(case)
        assert not self.node.is_alive
        self.node.points.arm(0)
        self._start_again()
        self.cloud.settle()
        self.node.points.disarm()
        return self.node.points.names

    def restart(self, fatal: int = 0) -> None:
        """After a kill. With `fatal`, it is killed once more, before that step of the recovery."""
        if fatal:
            self.node.points.arm(fatal)
            with contextlib.suppress(RuntimeError, ApiError):  # it may die before it answers
                self._start_again()
                self._wait_for_rest(self.cloud.begin(self.cloud.settled()))
            if not self.node.is_alive:
                self.deaths.append(self.node.points.names[-1])
        self.node.points.disarm()
        self._start_again()

    def _start_again(self) -> None:
        self.node.kill()
        self.node.start()
        self.cloud.reconnect()

    def rewire(self) -> None:
        """After `weft down` and `weft up`: the guests have new interfaces and ask for their addresses again."""
        for guest in (self.a, self.b):
            assert guest.dhcp() is not None
        self._flow.close()
        self._flow = self.a.connect(self.b.address, 80)

    # What must always be true

    def converge(self) -> None:
        """Until everything was tried and nothing fails: what is in the way of something else goes in a later round."""
        deadline = time.monotonic() + REST_S
        while True:
            try:
                self.cloud.settle()
            except NotProgrammedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def check(self) -> None:
        self.converge()
        state = self.cloud.target()
        missing, surplus = set(state.desired) - set(state.observed), set(state.observed) - set(state.desired)
        assert not missing and not surplus, f"the host is not as it should be: missing {missing}, surplus {surplus}"
        assert not state.steps
        assert self.cloud.leaks() == []
        assert orphans(self._records()) == ()
        assert _strays(self._namespaces_wanted(), self._ground) == []
        assert self._flow.echo(), "an established flow was cut"
        assert self.a.tcp(self.b.address, 80), "the probe pair cannot talk"
        assert self.a.tcp(self.b.address, 81, timeout_s=SILENCE_S) is None, "the probe pair can talk too much"

    def _namespaces_wanted(self) -> set[str]:
        if not IS_LINUX:
            return {"weft-ext", "weft-ovn"}
        vpcs = self.cloud.collect(self.cloud.client.list_vpcs())
        peerings = self.cloud.collect(self.cloud.client.list_peerings(PROBE))
        active = {PEERINGS_SCOPE for one in peerings if one.state == one.STATE_ACTIVE}
        return {"weft-ext", *active, *(f"weft-{vpc.vni}" for vpc in vpcs)}

    def _records(self) -> list[Record]:
        """What is in the store, not asking the node."""
        with closing(sqlite3.connect(f"file:{self.folder}/store.db?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT key, value, revision FROM latest WHERE key >= ? ORDER BY key", (ROOT,))
            return [Record(*row) for row in rows if row[0].startswith(ROOT)]


@dataclass(frozen=True)
class Case:
    """One call. `prepare` makes the state before it, whatever was left; `is_done` tells the states before and after
    apart, and raises for anything between; `see` sends packets."""

    name: str
    prepare: Callable[[World], None]
    do: Callable[[Client], Awaitable[object]]
    is_done: Callable[[World], bool]
    see: Callable[[World, bool], None] = lambda world, done: None


def _namespaces() -> list[str]:
    folder = Path("/run/netns")
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def _strays(wanted: set[str], ground: frozenset[str]) -> list[str]:
    """Namespaces nobody wants, and links and tables without a mark: what our own observation could not see."""
    there = {name for name in _namespaces() if name.startswith("weft-")}
    strays = [f"namespace {name}" for name in there - wanted]
    for scope in sorted(there & wanted):
        strays += [f"link {name} in {scope}" for name, link in _links(scope).items() if not _is_ours(link, ground)]
        tables = run("ip", "netns", "exec", scope, "nft", "list", "tables").splitlines()
        strays += [f"{line} in {scope}" for line in tables if not line.endswith(" weftwork")]
    return strays


def _links(scope: str) -> dict[str, dict[str, str]]:
    return {link["ifname"]: link for link in json.loads(run("ip", "-n", scope, "-j", "link", "show"))}


def _is_ours(link: dict[str, str], ground: frozenset[str]) -> bool:
    return link["ifname"] in {"lo", "inet0", *ground} or link.get("ifalias", "").startswith("weftwork")
