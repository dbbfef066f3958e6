"""Flow logs and the bundle without a data plane: who is told what, how much is remembered, and what is left out."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from api_world import OURS, THEIRS, NoHostInsight, WallClock, World, world

from weftwork.actions.flow_logs import set_flow_log
from weftwork.apps.bundle import SHOWN, NodeBundler
from weftwork.apps.settings import Settings
from weftwork.base.tenancy import ProjectKey
from weftwork.client import ApiError
from weftwork.compiler.capabilities import OVN_ELSEWHERE
from weftwork.controller.conditions import ConditionBoard
from weftwork.controller.flows import REMEMBERED, FlowBoard
from weftwork.model.vpc import FlowLog
from weftwork.rpc.generated.weftwork.v1 import flow_pb2, weftwork_pb2, weftwork_pb2_grpc
from weftwork.seams.flows import Seen
from weftwork.telemetry.logs import start_logging
from weftwork.telemetry.metrics import Figure, Metrics

ACME, RIVAL = ProjectKey(*OURS.split("/")), ProjectKey(*THEIRS.split("/"))


@pytest_asyncio.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as one:
        yield one


class HandSource:
    followed_kinds = frozenset({"vpc"})

    def __init__(self) -> None:
        self.scopes: frozenset[str] = frozenset()

    def follow(self, scopes: frozenset[str]) -> None:
        self.scopes = scopes

    def close(self) -> None:
        return None


@pytest_asyncio.fixture
async def board(here: World) -> AsyncIterator[tuple[FlowBoard, HandSource]]:
    board, source = FlowBoard(here.network.view), HandSource()
    running = asyncio.create_task(board.run(source))
    await asyncio.sleep(0)
    yield board, source
    running.cancel()


def seen(here: World, owner: ProjectKey = ACME, **said: object) -> Seen:
    vpc = here.network.view.intent[owner].vpc
    assert vpc is not None
    plain = Seen(vpc.netns, time.time_ns(), "in", "denied_in", "", "", "tcp", "10.20.9.9", "10.20.0.3", 4000, 80, 60)
    return replace(plain, **said)  # type: ignore[arg-type]


async def logged(here: World, *owners: ProjectKey, allowed: bool = False) -> None:
    for owner in owners:
        await set_flow_log(here.network, owner, FlowLog(1, allowed))
    await asyncio.sleep(0.01)


async def test_only_where_it_is_wanted_somebody_listens(here: World, board: tuple[FlowBoard, HandSource]) -> None:
    _, source = board
    assert source.scopes == frozenset()
    await logged(here, ACME)
    vpc = here.network.view.intent[ACME].vpc
    assert vpc is not None and source.scopes == {vpc.netns}
    await set_flow_log(here.network, ACME, None)
    await asyncio.sleep(0.01)
    assert source.scopes == frozenset()


async def test_who_has_the_port_is_told_and_nobody_else(here: World, board: tuple[FlowBoard, HandSource]) -> None:
    flows, _ = board
    await logged(here, ACME, RIVAL)
    flows.take([seen(here, RIVAL)])
    (one,) = flows.recent(RIVAL, port="", verdict="", since_ms=0, limit=10)
    assert (one.port, one.direction, one.verdict) == (here.foreign_port_id, "ingress", "dropped")
    assert flows.recent(ACME, port="", verdict="", since_ms=0, limit=10) == ()


async def test_a_guest_of_another_project_is_logged_for_that_project_only(
    here: World, board: tuple[FlowBoard, HandSource]
) -> None:
    flows, _ = board
    await here.client.share_subnet(OURS, "data", THEIRS)
    lodger = await here.client.create_port(THEIRS, name="guest", subnet=f"{OURS}/data", ip="10.20.1.77", vm="v")
    await logged(here, ACME)
    said = seen(here, destination="10.20.1.77")
    flows.take([said])
    assert flows.recent(ACME, port="", verdict="", since_ms=0, limit=10) == ()
    assert flows.recent(RIVAL, port="", verdict="", since_ms=0, limit=10) == ()
    await logged(here, RIVAL)
    flows.take([said])
    assert [one.port for one in flows.recent(RIVAL, port="", verdict="", since_ms=0, limit=10)] == [lodger.id]


async def test_so_much_is_remembered_and_no_more(
    here: World, board: tuple[FlowBoard, HandSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    flows, _ = board
    await logged(here, ACME)
    flows.take([seen(here)] * 10_000)
    burst = len(flows.recent(ACME, port="", verdict="", since_ms=0, limit=100_000))
    assert 300 < burst < 600
    monkeypatch.setattr("weftwork.controller.flows.PER_S", 1e9)
    flows.take([seen(here)])
    await asyncio.sleep(0.01)
    flows.take([seen(here)] * 10_000)
    assert len(flows.recent(ACME, port="", verdict="", since_ms=0, limit=100_000)) == REMEMBERED


async def test_who_reads_slowly_is_told_how_many_are_missing(here: World, board: tuple[FlowBoard, HandSource]) -> None:
    flows, _ = board
    await logged(here, ACME)
    watching = flows.watch(ACME, port="", verdict="", since_ms=0)
    first = asyncio.ensure_future(anext(watching))
    await asyncio.sleep(0.01)
    flows.take([seen(here)])
    assert len((await first).flows) == 1
    flows._logs[ACME].tokens = 1e9
    flows.take([seen(here)] * 10)
    flows._logs[ACME].flows.popleft()
    flows._logs[ACME].flows.popleft()
    flows._logs[ACME].flows.popleft()
    event = await anext(watching)
    assert (len(event.flows), event.missed) == (8, 2)


async def test_a_data_plane_that_logs_nothing_says_so(here: World) -> None:
    here.network.settings = replace(here.network.settings, carries=OVN_ELSEWHERE)
    with pytest.raises(ApiError, match="BACKEND_UNSUPPORTED"):
        await here.client.packets.set_flow_log(OURS, enabled=True)
    assert not (await here.client.packets.set_flow_log(OURS, enabled=False)).enabled


async def test_the_setting_is_kept_and_told_and_has_a_line_in_the_journal(here: World) -> None:
    made = await here.client.packets.set_flow_log(OURS, enabled=True, sample=10)
    assert (made.enabled, made.sample, made.allowed) == (True, 10, False)
    assert await here.client.packets.get_flow_log(OURS) == made
    assert await here.client.packets.set_flow_log(OURS, enabled=True, sample=10) == made
    entries = here.client.access.audit_entries(org=ACME.org, project=ACME.project)
    newest = await anext(aiter(entries))
    assert newest.call.endswith("SetFlowLog") and '"flow_sample":10' in newest.changes[0].after
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        await here.client.packets.set_flow_log(OURS, enabled=True, sample=70_000)


async def test_it_is_planned_without_being_set_and_set_in_a_batch(here: World) -> None:
    plan = await here.client.packets.set_flow_log(OURS, enabled=True, sample=10).plan()
    assert any("vpc" in line for line in plan.objects), plan
    assert not (await here.client.packets.get_flow_log(OURS)).enabled
    org, project = OURS.split("/")
    wanted = flow_pb2.SetFlowLogRequest(org_id=org, project_id=project, enabled=True, allowed=True)
    batch = weftwork_pb2.BatchRequest(mutations=[weftwork_pb2.PlanRequest(set_flow_log=wanted)])
    done = await weftwork_pb2_grpc.BatchServiceStub(here.channel).Batch(batch)
    assert done.results[0].flow_log.allowed
    assert (await here.client.packets.get_flow_log(OURS)).allowed


PLANTED = "ThisIsASecret"
SECRETS = {
    "storage_postgres_dsn": f"postgresql://weft:{PLANTED}@db/weft",
    "storage_password_file": f"/etc/{PLANTED}",
    "network_ovn_private_key": f"/{PLANTED}",
    "telemetry_otlp_endpoint": f"http://u:{PLANTED}@collector:4317",
    "access_roles": (f"{PLANTED}=admin@acme",),
}


async def test_a_bundle_says_much_and_no_secret(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def figures() -> tuple[Figure, ...]:
        return (Figure("weft_x", "password=" + PLANTED, 1.0),)

    root = logging.getLogger()
    handlers = root.handlers[:]
    try:
        start_logging("json", "info")
        token = (await here.client.access.create_token("ci", role="viewer", org="acme")).secret
        logging.getLogger("weftwork").warning("refused: Bearer %s; password=%s", token, PLANTED)
        network = here.network
        board = ConditionBoard(network.view, None, WallClock())
        monkeypatch.setenv("WEFT_PLANTED", PLANTED)
        settings = replace(Settings(), **SECRETS)  # type: ignore[arg-type]
        bundler = NodeBundler(settings, here.store, network.view, NoHostInsight(), board, figures, Metrics())
        files = {one.name: one.text async for one in bundler.files()}
    finally:
        root.handlers[:] = handlers
    everything = "\n".join(files.values())
    assert PLANTED not in everything
    assert token.split("_", 2)[2] not in everything
    shown = json.loads(files["settings.json"])
    assert shown["storage.postgres_dsn"] == "(set, not shown)" and shown["network.backend"] == "linux"
    assert json.loads(files["store.json"])["records"]["port"] == 4
    assert "python" in files["versions.txt"] and "refused" in files["log.jsonl"]
    assert all(name in files["contents.txt"] for name in files if name != "contents.txt")


def test_what_is_shown_of_settings_is_named_one_by_one() -> None:
    names = set(Settings.__slots__)
    assert names >= SHOWN
    hidden = names - SHOWN
    assert not [one for one in SHOWN if any(word in one for word in ("password", "key", "dsn", "endpoint", "token"))]
    assert {"storage_password_file", "server_tls_key", "telemetry_otlp_endpoint"} <= hidden
