"""Flow logs: every call about them, and how flows are told."""

from collections.abc import AsyncIterator

from weftwork.actions import flow_logs
from weftwork.actions.find import port_of, vpc_of
from weftwork.actions.network import Network, Stored
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.vpc import FlowLog, Vpc
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import flow_pb2 as pb
from weftwork.seams.flows import Flow

SERVICE = "/weftwork.v1.FlowService/"
WATCH = SERVICE + "WatchFlows"
LISTED, LISTED_MAX = 100, 2000
VERDICTS = ("", "allowed", "dropped")


async def get_flow_log(doors: Doors, request: pb.GetFlowLogRequest) -> pb.FlowLog:
    return _told_log(flow_logs.get_flow_log(doors.network, decode.owner(request)))


async def set_flow_log(network: Network, request: pb.SetFlowLogRequest) -> Stored[Vpc]:
    flow_log = FlowLog(request.sample or 1, request.allowed) if request.enabled else None
    return await flow_logs.set_flow_log(network, decode.owner(request), flow_log)


def told_log(doors: Doors, stored: Stored[Vpc]) -> pb.FlowLog:
    return _told_log(stored)


async def list_flows(doors: Doors, request: pb.ListFlowsRequest) -> pb.ListFlowsResponse:
    owner, port = _about(doors, request)
    limit = min(request.limit or LISTED, LISTED_MAX)
    if doors.flows is None:
        return pb.ListFlowsResponse()
    found = doors.flows.recent(owner, port=port, verdict=request.verdict, since_ms=request.since, limit=limit)
    return pb.ListFlowsResponse(flows=map(_told, found))


async def watch_flows(doors: Doors, request: pb.WatchFlowsRequest) -> AsyncIterator[pb.FlowEvent]:
    owner, port = _about(doors, request)
    if doors.flows is None:
        raise codes.BACKEND_UNSUPPORTED.refusal(
            "this server has no agent that logs packets", hint="Ask the server whose agent has the ports."
        )
    async for seen in doors.flows.watch(owner, port=port, verdict=request.verdict, since_ms=request.since):
        yield pb.FlowEvent(flows=map(_told, seen.flows), missed=seen.missed)


def _about(doors: Doors, request: pb.ListFlowsRequest | pb.WatchFlowsRequest) -> tuple[ProjectKey, str]:
    """The project and the port's id. Refusals VPC_NOT_FOUND, PORT_NOT_FOUND, INVALID_ARGUMENT."""
    owner = decode.owner(request)
    here, _ = vpc_of(doors.network, owner)
    if request.verdict not in VERDICTS:
        message = f"{decode.quoted(request.verdict)} is neither allowed nor dropped"
        raise decode.refusal(codes.INVALID_ARGUMENT, "verdict", message)
    if not request.port_id:
        return owner, ""
    return owner, port_of(here, owner, decode.reference(request.port_id, "port_id")).id


def _told_log(stored: Stored[Vpc]) -> pb.FlowLog:
    vpc, flow_log = stored.value, stored.value.flow_log
    return pb.FlowLog(
        org_id=vpc.owner.org,
        project_id=vpc.owner.project,
        enabled=flow_log is not None,
        sample=flow_log.sample if flow_log else 0,
        allowed=flow_log is not None and flow_log.allowed,
        revision=stored.revision,
    )


def _told(flow: Flow) -> pb.Flow:
    return pb.Flow(
        number=flow.number,
        at_ms=flow.at_ms,
        port_id=flow.port,
        port_name=flow.port_name,
        direction=flow.direction,
        verdict=flow.verdict,
        reason=flow.reason,
        policy=flow.policy,
        protocol=flow.protocol,
        source=flow.source,
        destination=flow.destination,
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        bytes=flow.length,
        sample=flow.sample,
    )
