"""The debug bundle: everything that whoever helps asks for first, and no secret.

Settings are shown by a list of those that may be; what others print goes through the net for secrets. Each file has a
bound in time and in length, and what cannot be had says why.
"""

import asyncio
import json
import platform
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version

from weftwork.actions.view import IntentView
from weftwork.apps.backends import private_ovn
from weftwork.apps.settings import Settings
from weftwork.controller.conditions import ConditionBoard
from weftwork.model import keys
from weftwork.seams.bundle import BundleFile
from weftwork.seams.insight import Insight
from weftwork.seams.store import Store
from weftwork.telemetry.logs import last_lines
from weftwork.telemetry.metrics import Figure, Metrics
from weftwork.telemetry.redaction import without_secrets

COMMAND_S = 10.0
FILE_CHARACTERS_MAX = 4 << 20
SCOPES_MAX = 200
"""Network namespaces of VPCs that are shown."""
THINGS_MAX = 5000
HIDDEN = "(set, not shown)"
SHOWN = frozenset(
    (
        "server_listen_addr",
        "server_socket",
        "server_rest_listen_addr",
        "server_rest_socket",
        "access_login",
        "access_oidc_issuer",
        "access_oidc_audience",
        "access_oidc_clients",
        "access_oidc_algorithms",
        "access_oidc_claims",
        "access_calls_per_s",
        "access_calls_in_flight",
        "quotas_default",
        "storage_path",
        "storage_backend",
        "storage_etcd_prefix",
        "storage_postgres_schema",
        "storage_lease_s",
        "storage_history_days",
        "storage_audit_days",
        "network_cidr_pool",
        "network_default_subnet_size",
        "network_reserved",
        "network_external_cidrs",
        "network_external_gateway",
        "network_external_bridge",
        "network_underlay_mtu",
        "network_backend",
        "network_layout",
        "network_filter_mode",
        "network_ovn_gateway_chassis",
        "network_ovn_physical_network",
        "telemetry_log_format",
        "telemetry_log_level",
        "telemetry_trace_percent",
        "agent_audit_s",
        "agent_watch_rules",
    )
)
"""Settings that are no secret and lead to none. One that is new is not shown until it is named here."""
_VERSIONS = (
    ("uname", "-a"),
    ("nft", "--version"),
    ("ip", "-V"),
    ("tcpdump", "--version"),
    ("ovs-vswitchd", "--version"),
)
_STATE = (("addr", "-d", "address"), ("routes", "route", "show", "table", "all"), ("neighbours", "neighbour"))


class NodeBundler:
    """Implements `seams.bundle.Bundler`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        view: IntentView,
        insight: Insight,
        board: ConditionBoard,
        figures: Callable[[], Awaitable[tuple[Figure, ...]]],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._store = store
        self._view = view
        self._insight = insight
        self._board = board
        self._figures = figures
        self._metrics = metrics

    async def files(self) -> AsyncIterator[BundleFile]:
        listed: list[str] = []
        for name, what, make in self._plan():
            text = await _made(make)
            listed.append(f"{name}: {what}, {len(text)} characters")
            yield BundleFile(name, text)
        yield BundleFile("contents.txt", "\n".join((*_SAID, *listed)) + "\n")

    def _plan(self) -> list[tuple[str, str, Callable[[], Awaitable[str]]]]:
        plan: list[tuple[str, str, Callable[[], Awaitable[str]]]] = [
            ("versions.txt", "what runs here", _versions),
            ("doctor.txt", "what this machine offers", lambda: _run((sys.executable, "-m", *_DOCTOR))),
            ("settings.json", "the settings in force that may be shown", self._shown_settings),
            ("store.json", "the store's size, by kind of thing", self._statistics),
            ("targets.json", "how far the hosts are", self._targets),
            ("targets.txt", "what the hosts should hold, and the plan between", self._states),
            ("conditions.json", "what is not as it should be", self._conditions),
            ("leaks.json", "what nobody owns", self._leaks),
            ("metrics.txt", "the metrics", self._scraped),
            ("log.jsonl", "the last lines of the log", self._lines),
        ]
        for scope in self._scopes():
            for name, *command in _STATE:
                at = ("ip", "-n", scope, *command) if scope else ("ip", *command)
                plan.append((f"net/{scope or 'host'}/{name}.txt", "ip's view", lambda at=at: _run(at)))  # type: ignore[misc]
            inside = ("ip", "netns", "exec", scope, *_RULES) if scope else _RULES
            plan.append((f"net/{scope or 'host'}/nft.txt", "our rules", lambda at=inside: _run(at)))  # type: ignore[misc]
        plan += [(f"ovn/{name}.txt", "OVN's view", lambda at=at: _run(at)) for name, at in self._of_ovn().items()]  # type: ignore[misc]
        return plan

    def _scopes(self) -> Sequence[str]:
        vpcs = sorted(vpc.netns for project in self._view.intent.values() if (vpc := project.vpc))
        return ("", *vpcs[:SCOPES_MAX]) if self._settings.network_backend == "linux" else ("",)

    def _of_ovn(self) -> Mapping[str, Sequence[str]]:
        if self._settings.network_backend != "ovn":
            return {}
        north = self._settings.network_ovn_northbound_endpoint or str(private_ovn(self._settings).northbound)
        south = self._settings.network_ovn_southbound_endpoint
        south = south or (
            "" if self._settings.network_ovn_northbound_endpoint else str(private_ovn(self._settings).southbound)
        )
        found = {"northbound": ("ovn-nbctl", f"--db={north}", "--timeout=5", "show")}
        if south:
            found["southbound"] = ("ovn-sbctl", f"--db={south}", "--timeout=5", "show")
        return found

    async def _shown_settings(self) -> str:
        return _json({one.name.replace("_", ".", 1): _shown(self._settings, one.name) for one in fields(Settings)})

    async def _statistics(self) -> str:
        counts: dict[str, int] = {kind: await self._count(keys.things(kind)) for kind in keys.KINDS}
        others = {"journal": keys.JOURNAL, "audit": keys.audit(), "requests": keys.REQUESTS}
        counts |= {name: await self._count(prefix) for name, prefix in others.items()}
        return _json({"revision": self._view.revision, "records": counts})

    async def _count(self, prefix: str) -> int:
        count, after = 0, ""
        while True:
            found = await self._store.range(prefix, after=after, limit=1000)
            count += len(found.records)
            if not found.more:
                return count
            after = found.records[-1].key

    async def _targets(self) -> str:
        return _json(
            [{name: str(getattr(one, name)) for name in one.__slots__} for one in await self._insight.targets()]
        )

    async def _states(self) -> str:
        lines: list[str] = []
        for target in await self._insight.targets():
            state = await self._insight.target(target.host, target.driver, "")
            desired, observed = set(state.desired), set(state.observed)
            lines.append(f"{target.host}/{target.driver}: desired {len(desired)}, observed {len(observed)}")
            lines += [f"  {'missing' if one in desired else 'extra'}: {one}" for one in sorted(desired ^ observed)]
        return "\n".join(lines) + "\n"

    async def _conditions(self) -> str:
        found: list[dict[str, str]] = []
        for project in self._view.intent.values():
            for thing in project.ports.values():
                key = keys.ThingKey("port", thing.owner, thing.id)
                for one in self._board.of(key, self._view.revision_of(key)):
                    if one.reason and len(found) < THINGS_MAX:
                        found.append(
                            {"thing": str(key), "type": one.type, "reason": one.reason, "message": one.message}
                        )
        return _json(found)

    async def _leaks(self) -> str:
        return _json([{name: str(getattr(one, name)) for name in one.__slots__} for one in await self._insight.leaks()])

    async def _scraped(self) -> str:
        return self._metrics.text(await self._figures()).decode()

    async def _lines(self) -> str:
        return "\n".join(last_lines()) + "\n"


_DOCTOR = ("weftwork.apps.weft", "doctor")
_RULES = ("nft", "list", "ruleset")
_SAID = (
    "What this is: the state of a Weftwork server, made by `weft debug bundle`.",
    "What is in it: names, addresses and rules of all tenants. What is not: secrets, tokens, keys, packets.",
    "",
)


async def _made(make: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(2 * COMMAND_S):
            text = await make()
    except Exception as error:
        text = f"could not be had: {type(error).__name__}: {error}\n"
    if len(text) > FILE_CHARACTERS_MAX:
        text = f"{text[:FILE_CHARACTERS_MAX]}\n(cut off here, of {len(text)} characters)\n"
    return await asyncio.to_thread(without_secrets, text)


async def _versions() -> str:
    packages = ("weftwork", "grpcio", "protobuf", "uvloop", "starlette", "uvicorn", "msgspec")
    lines = [f"python {platform.python_version()}"]
    for package in packages:
        with suppress(PackageNotFoundError):
            lines.append(f"{package} {version(package)}")
    lines += [(await _run(command)).partition("\n")[0] for command in _VERSIONS]
    return "\n".join(lines) + "\n"


async def _run(command: Sequence[str]) -> str:
    """What it says, or why it could not be asked."""
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    except OSError as error:
        return f"{command[0]}: {error.strerror}\n"
    try:
        async with asyncio.timeout(COMMAND_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{command[0]}: no answer in {COMMAND_S:g} s\n"
    return out.decode(errors="replace")


def _shown(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    if name in SHOWN:
        return value if isinstance(value, int | float | str) else str(value)
    return HIDDEN if value else "(not set)"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
