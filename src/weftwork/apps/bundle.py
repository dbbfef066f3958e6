"""The debug bundle: everything that whoever helps asks for first, and no secret.

Settings are shown by a list of those that may be; what others print goes through the net for secrets. Each file has a
bound in time and in length, and what cannot be had says why.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import fields

from weftwork.actions.view import IntentView
from weftwork.apps.machine_files import Planned, lines, made, of_machine, of_namespaces, run
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.remote_link import RemoteLink
from weftwork.model import keys
from weftwork.seams.bundle import BundleFile
from weftwork.seams.insight import Insight
from weftwork.seams.store import Store
from weftwork.telemetry.metrics import Figure, Metrics
from weftwork.telemetry.redaction import without_secrets

HOST_S = 30.0
"""For all that a host of the fleet tells."""
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
        "network_routing",
        "network_bgp_asn",
        "network_bgp_peers",
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
        hosts: Callable[[], Mapping[str, RemoteLink]] | None = None,
    ) -> None:
        """`hosts` are the fleet's."""
        self._hosts = hosts
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
            text = await made(make)
            listed.append(f"{name}: {what}, {len(text)} characters")
            yield BundleFile(name, text)
        for host in sorted(self._hosts() if self._hosts else ()):
            async for file in self._of_host(host):
                yield file
            listed.append(f"hosts/{host}/: what this host tells of itself")
        yield BundleFile("contents.txt", "\n".join((*_SAID, *listed)) + "\n")

    async def _of_host(self, host: str) -> AsyncIterator[BundleFile]:
        """What it told until it was silent, and why it is."""
        assert self._hosts is not None
        try:
            async with asyncio.timeout(HOST_S), aclosing(self._hosts()[host].files()) as files:
                async for file in files:
                    yield BundleFile(f"hosts/{host}/{file.name}", await asyncio.to_thread(without_secrets, file.text))
        except (Failure, TimeoutError) as error:
            yield BundleFile(f"hosts/{host}/failed.txt", f"the rest could not be had: {error or 'it takes too long'}\n")

    def _plan(self) -> list[Planned]:
        plan: list[Planned] = [
            *of_machine(),
            ("settings.json", "the settings in force that may be shown", self._shown_settings),
            ("store.json", "the store's size, by kind of thing", self._statistics),
            ("targets.json", "how far the hosts are", self._targets),
            ("targets.txt", "what the hosts should hold, and the plan between", self._states),
            ("conditions.json", "what is not as it should be", self._conditions),
            ("leaks.json", "what nobody owns", self._leaks),
            ("metrics.txt", "the metrics", self._scraped),
            ("log.jsonl", "the last lines of the log", lines),
        ]
        plan += of_namespaces(self._scopes())
        plan += [(f"ovn/{name}.txt", "OVN's view", lambda at=at: run(at)) for name, at in self._of_ovn().items()]  # type: ignore[misc]
        return plan

    def _scopes(self) -> Sequence[str]:
        vpcs = sorted(vpc.netns for project in self._view.intent.values() if (vpc := project.vpc))
        carries_ports = self._settings.network_backend == "linux" and self._hosts is None
        return ("", *vpcs) if carries_ports else ("",)

    def _of_ovn(self) -> Mapping[str, Sequence[str]]:
        if self._settings.network_backend != "ovn":
            return {}
        from weftwork.apps.ovn_backends import private_ovn

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


_SAID = (
    "What this is: the state of a Weftwork server, made by `weft debug bundle`.",
    "What is in it: names, addresses and rules of all tenants. What is not: secrets, tokens, keys, packets.",
    "",
)


def _shown(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    if name in SHOWN:
        return value if isinstance(value, int | float | str) else str(value)
    return HIDDEN if value else "(not set)"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
