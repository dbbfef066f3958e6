"""Every call, as every role, on one's own and on another tenant's project: generated from the registry of calls."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from api_world import OURS, THEIRS, World, world
from google.protobuf.message import Message
from test_bad_input import fill

from weftwork.access.caller import Credentials, Principal, Transport
from weftwork.access.limits import Limits
from weftwork.access.roles import Grant, Role
from weftwork.access.table import TABLE, Where
from weftwork.api.calls import Call, Calls, Gate
from weftwork.api.errors import answer_to
from weftwork.api.guard import Guard, Throttle, rule_of
from weftwork.api.mutations import MUTATIONS
from weftwork.api.operations import OPERATIONS, TUNNELS, WATCHES
from weftwork.base import codes
from weftwork.base.errors import Kind, Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.rpc.generated.weftwork.v1.vm_pb2 import TunnelTarget

METHODS = sorted((*OPERATIONS, *WATCHES, *TUNNELS))
PROJECTS = {"own": OURS, "another's": THEIRS, "missing": "acme/none", "another's missing": "rival/none"}
HOLDERS: dict[str, tuple[Grant, ...]] = {
    "nothing": (),
    **{role.word: (Grant(role, "acme", "web"),) for role in Role if role is not Role.FLEET_ADMIN},
    "admin of the organisation": (Grant(Role.ADMIN, "acme"),),
    "fleet-admin": (Grant(Role.FLEET_ADMIN),),
}
PLANS = tuple(one for one in MUTATIONS if one != "batch")
CELLS = [(method, holder, where) for method in METHODS for holder in HOLDERS for where in PROJECTS]


class Known:
    """Whoever names a holder is one."""

    async def principal(self, bearer: str) -> Principal:
        if bearer not in HOLDERS:
            raise codes.NOT_AUTHENTICATED.refusal("nobody")
        return Principal(bearer, HOLDERS[bearer])

    def is_valid(self, principal: Principal) -> bool:
        return True


class Bench:
    """One world on one loop, called as a door calls."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._entered = world(folder)
        self.world: World = self.runner.run(self._entered.__aenter__())
        patient = Throttle(Limits(1e6, 1_000_000, 1000))
        guard = Guard(Known(), throttle=patient, failures=patient)
        self.calls = Calls(self.world.doors, Gate(is_ready=True), guard)

    def close(self) -> None:
        self.runner.run(self._entered.__aexit__(None, None, None))
        self.runner.close()

    def refusal(self, method: str, request: Message, holder: str) -> Refusal | None:
        return self.runner.run(self._refusal(method, request, holder))

    async def _refusal(self, method: str, request: Message, holder: str) -> Refusal | None:
        call = Call(0, Credentials(Transport.TLS, "192.0.2.7:1", holder))
        try:
            if method in WATCHES:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        async for _ in self.calls.watch(WATCHES[method], call, lambda: request):
                            break
            elif method in TUNNELS:
                async for _ in self.calls.tunnel(TUNNELS[method], call, lambda: request, _nothing()):
                    break
            else:
                await self.calls.answer(OPERATIONS[method], call, lambda: request)
        except Refusal as refusal:
            return refusal
        finally:
            await self.world.restore()
        return None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("world"))
    yield bench
    bench.close()


def asked(method: str, project: str) -> Message:
    """A request about the project that would succeed, or would but for its state."""
    if method in TUNNELS:
        request: Message = TunnelTarget()
    else:
        request = (OPERATIONS.get(method) or WATCHES[method]).request()
    _about(request, project)
    return request


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _about(request: Any, project: str) -> None:
    inner = request
    if "create_vpc" in request.DESCRIPTOR.fields_by_name:
        inner = request.create_subnet
    elif "mutations" in request.DESCRIPTOR.fields_by_name:
        inner = request.mutations.add().create_subnet
    fill(inner)
    for one in (inner, getattr(inner, "resource", None)):
        if one is not None and hasattr(one, "org_id"):
            if one is not inner:
                fill(one)
            one.org_id, one.project_id = project.split("/")
    if hasattr(inner, "vpc_id"):
        inner.vpc_id = ""
    if hasattr(inner, "timeout_s"):
        inner.timeout_s = 0.01


def expected(method: str, holder: str, where: str) -> set[str | None]:
    """The codes that access may answer with; None when it lets the call through."""
    rule = rule_of(method)
    principal = Principal(holder, HOLDERS[holder])
    if rule.where in (Where.ANYBODY, Where.CALLER, Where.FILTERED):
        return {None}
    if rule.where is Where.FLEET:
        return {None} if holder == "fleet-admin" else {codes.ROLE_TOO_LOW.name}
    org, project = PROJECTS[where].split("/")
    held = max((one.role for one in principal.grants if one.covers_scope(org, project)), default=None)
    within = rule_of(MUTATIONS["create_subnet"].method)
    least = within.least if rule.where in (Where.PLANNED, Where.BATCH) else rule.least
    if held is None:
        return {codes.VPC_NOT_FOUND.name}
    return {None} if held >= least else {codes.ROLE_TOO_LOW.name}


def test_every_call_has_its_entry_and_every_entry_its_call() -> None:
    assert set(TABLE) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_role_may_what_the_table_says_and_nothing_else(bench: Bench, method: str) -> None:
    for holder in HOLDERS:
        for where, project in PROJECTS.items():
            refusal = bench.refusal(method, asked(method, project), holder)
            denied = None if refusal is None or _by_state(refusal, where, holder) else refusal.code

            assert denied in expected(method, holder, where), f"{holder}, {where}: {refusal}"


def _by_state(refusal: Refusal, where: str, holder: str) -> bool:
    """What is refused to who may: something is not there, is there already, or is in use."""
    if refusal.kind in (Kind.FORBIDDEN, Kind.UNAUTHENTICATED):
        return False
    org, project = PROJECTS[where].split("/")
    return any(grant.covers_scope(org, project) for grant in HOLDERS[holder])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("holder", [one for one in HOLDERS if one != "fleet-admin"])
def test_another_tenants_project_is_a_missing_one_to_the_byte(bench: Bench, method: str, holder: str) -> None:
    answers = []
    for project in (THEIRS, "rival/non"):
        refusal = bench.refusal(method, asked(method, project), holder)
        answers.append(None if refusal is None else answer_to(refusal, method).details.replace(project.encode(), b"X"))

    # The names are equally long, so that lengths inside the bytes are the same, too.
    assert answers[0] == answers[1]


def test_the_answer_to_strangers_is_what_everybody_gets_of_a_project_that_is_missing(bench: Bench) -> None:
    method = "/overlay_network.v1.NetworkService/GetVpc"
    hidden = bench.refusal(method, asked(method, THEIRS), "nothing")
    missing = bench.refusal(method, asked(method, "rival/non"), "fleet-admin")

    assert hidden is not None and missing is not None
    told = [answer_to(one, method).details for one in (hidden, missing)]
    assert _without(told[0], THEIRS) == _without(told[1], "rival/non")


NAMED = {"rival/lab/data": "rival/lab/date", "rival/lab/web": "rival/lab/wet", "rival/lab": "rival/lib"}
"""Things of another tenant's, and the like of them that are not there."""


@pytest.mark.parametrize("method", METHODS)
def test_naming_another_tenants_thing_is_naming_one_that_is_missing(bench: Bench, method: str) -> None:
    port = bench.world.foreign_port_id
    pairs = {**NAMED, port: port[:-1] + ("0" if port[-1] != "0" else "1")}
    fields = [field for field in asked(method, OURS).DESCRIPTOR.fields if field.type == field.TYPE_STRING]
    for field in (one for one in fields if one.name not in ("org_id", "project_id", "vpc_id")):
        for there, missing in pairs.items():
            answers = []
            for named in (there, missing):
                request = asked(method, OURS)
                if field.is_repeated:
                    getattr(request, field.name)[:] = [named]
                else:
                    setattr(request, field.name, named)
                refusal = bench.refusal(method, request, "admin")
                told = answer_to(refusal, method).details if refusal else b"answered"
                answers.append(_without(told, *there.split("/"), *missing.split("/")))
            # The names of a pair are equally long, so that lengths inside the bytes are the same, too.
            assert answers[0] == answers[1], field.name


def _without(told: bytes, *names: str) -> bytes:
    for name in names:
        told = told.replace(name.encode(), b"X" * len(name))
    return told


@pytest.mark.parametrize("mutation", PLANS)
def test_a_plan_needs_what_its_mutation_needs(bench: Bench, mutation: str) -> None:
    rule = rule_of(MUTATIONS[mutation].method)
    for project in (OURS, THEIRS):
        request: Any = OPERATIONS["/weftwork.v1.PlanService/Plan"].request()
        inner = getattr(request, mutation)
        inner.SetInParent()
        fill(inner)
        inner.org_id, inner.project_id = project.split("/")
        for holder in ("nothing", *(role.word for role in Role)):
            refusal = bench.refusal("/weftwork.v1.PlanService/Plan", request, holder)
            held = Principal(holder, HOLDERS[holder]).role_in(ProjectKey(*project.split("/")))
            denied = refusal is not None and refusal.code == codes.ROLE_TOO_LOW.name
            assert denied == (held is not None and held < rule.least)
            assert held is not None or (refusal is not None and refusal.code == codes.VPC_NOT_FOUND.name)


@pytest.mark.parametrize(
    ("second", "project", "code"),
    [
        ("delete_vpc", OURS, codes.ROLE_TOO_LOW.name),
        ("create_subnet", THEIRS, codes.VPC_NOT_FOUND.name),
        ("create_subnet", "rival/none", codes.VPC_NOT_FOUND.name),
    ],
)
def test_a_batch_needs_what_each_of_its_changes_needs(bench: Bench, second: str, project: str, code: str) -> None:
    batch: Any = OPERATIONS["/weftwork.v1.BatchService/Batch"].request()
    for mutation, where in (("create_subnet", OURS), (second, project)):
        inner = getattr(batch.mutations.add(), mutation)
        fill(inner)
        inner.org_id, inner.project_id = where.split("/")
    plan: Any = OPERATIONS["/weftwork.v1.PlanService/Plan"].request()
    plan.batch.CopyFrom(batch)
    for method, request in (("/weftwork.v1.BatchService/Batch", batch), ("/weftwork.v1.PlanService/Plan", plan)):
        refusal = bench.refusal(method, request, "operator")
        assert refusal is not None and refusal.code == code


def test_who_says_nothing_or_something_wrong_gets_nowhere(bench: Bench) -> None:
    for method in METHODS:
        for bearer in ("", "somebody"):
            refusal = bench.refusal(method, asked(method, OURS), bearer)
            assert rule_of(method).where is Where.ANYBODY or (
                refusal is not None and refusal.code == codes.NOT_AUTHENTICATED.name
            )


def test_the_matrix_is_as_large_as_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CELLS) == len(METHODS) * len(HOLDERS) * len(PROJECTS)
    with capsys.disabled():
        print(f"\n{len(METHODS)} calls x {len(HOLDERS)} roles x {len(PROJECTS)} projects = {len(CELLS)} cells")
