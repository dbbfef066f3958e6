"""Reach tests: every call about them, and how they are told."""

from functools import partial

from weftwork.actions import reach_tests, reads
from weftwork.actions.network import Network, Stored
from weftwork.actions.reach_guard import end_told
from weftwork.actions.reach_tests import AppliedTests, Wanted
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.base import codes
from weftwork.model.intent import ProjectIntent
from weftwork.model.reach_test import FORMS, End, Must, ReachTest, parse_end, parse_service, service_text
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2 as pb

SERVICE = "/weftwork.v1.ReachTestService/"

_MUSTS = {pb.MUST_REACH: Must.REACH, pb.MUST_NOT_REACH: Must.NOT_REACH}
_NUMBERS = {must: number for number, must in _MUSTS.items()}


async def create(network: Network, request: pb.CreateReachTestRequest) -> Stored[ReachTest]:
    return await reach_tests.create_reach_test(
        network, owner=decode.owner(request), wanted=_wanted(request.test, "test")
    )


async def delete(network: Network, request: pb.DeleteReachTestRequest) -> None:
    await reach_tests.delete_reach_test(
        network, owner=decode.owner(request), test=decode.reference(request.reach_test_id, "reach_test_id")
    )


async def apply(network: Network, request: pb.ApplyReachTestsRequest) -> Stored[AppliedTests]:
    return await reach_tests.apply_reach_tests(
        network,
        owner=decode.owner(request),
        wanted=decode.each(_wanted, request.tests, "tests"),
        prune=request.prune,
    )


async def get(doors: Doors, request: pb.GetReachTestRequest) -> pb.ReachTest:
    test = decode.reference(request.reach_test_id, "reach_test_id")
    return told(doors, await reads.get_reach_test(doors.network, owner=decode.owner(request), test=test))


async def list_tests(doors: Doors, request: pb.ListReachTestsRequest) -> pb.ListReachTestsResponse:
    asked = paging(request, pb.ReachTest, partial(told, doors))
    page = await reads.list_reach_tests(doors.network, owner=decode.owner(request), **asked)
    return pb.ListReachTestsResponse(
        reach_tests=[told(doors, one) for one in page.items], next_page_token=page.next_page_token
    )


async def run(doors: Doors, request: pb.RunReachTestsRequest) -> pb.RunReachTestsResponse:
    owner = decode.owner(request)
    tests = decode.references(request.reach_test_ids, "reach_test_ids")
    results = await reach_tests.run_reach_tests(doors.network, owner=owner, tests=tests)
    revision_of = doors.network.view.revision_of
    return pb.RunReachTestsResponse(
        results=[
            pb.ReachTestResult(
                test=told(doors, Stored(test, revision_of(key_of(test)))),
                holds=broken is None,
                why=broken.why if broken else "",
            )
            for test, broken in results
        ]
    )


def _wanted(spec: pb.ReachTestSpec, field: str) -> Wanted:
    must = _MUSTS.get(spec.must)
    if must is None:
        raise decode.refusal(codes.INVALID_REACH_TEST, f"{field}.must", "it says neither REACH nor NOT_REACH")
    try:
        protocol, ports = parse_service(decode.required(spec.service, f"{field}.service"))
    except ValueError:
        said = f"{decode.quoted(spec.service)} is no service such as tcp/443, udp/53, icmp or all"
        raise decode.refusal(codes.INVALID_REACH_TEST, f"{field}.service", said) from None
    return Wanted(
        name=decode.name(spec.name, f"{field}.name"),
        must=must,
        source=_end(spec.source, f"{field}.source"),
        destination=_end(spec.destination, f"{field}.destination"),
        protocol=protocol,
        ports=ports,
    )


def _end(text: str, field: str) -> End:
    kind, colon, name = decode.required(text, field).partition(":")
    try:
        end = parse_end(text)
    except ValueError:
        said = f"{decode.quoted(text)} is none of {FORMS}"
        raise decode.refusal(codes.INVALID_REACH_TEST, field, said) from None
    if colon:
        decode.reference(name, field)
    elif not hasattr(end, "prefixlen") and kind:
        decode.reference(kind, field)
    return end


def told(doors: Doors, stored: Stored[ReachTest]) -> pb.ReachTest:
    test = stored.value
    project = doors.network.view.intent.get(test.owner, ProjectIntent())
    return pb.ReachTest(
        id=test.id,
        org_id=test.owner.org,
        project_id=test.owner.project,
        name=test.name,
        must=_NUMBERS[test.must],
        source=end_told(test.source, project),
        destination=end_told(test.destination, project),
        service=service_text(test.protocol, test.ports),
        created_at=test.created_at,
        revision=stored.revision,
        conditions=map(telling.condition, doors.conditions.of(key_of(test), stored.revision)),
    )


def told_applied(doors: Doors, stored: Stored[AppliedTests]) -> pb.ApplyReachTestsResponse:
    applied = stored.value
    return pb.ApplyReachTestsResponse(
        created=applied.created, changed=applied.changed, deleted=applied.deleted, unchanged=applied.unchanged
    )
