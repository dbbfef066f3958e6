"""Every call there is, whichever door it comes through."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from weftwork.api import captures, debug, flows, tunnels, vms, watching
from weftwork.api.access import ACCESS
from weftwork.api.conditions import WAIT, WATCH, wait_for_condition, watch_conditions
from weftwork.api.doors import Doors
from weftwork.api.hosts import HOSTS
from weftwork.api.mutations import MUTATIONS, Mutation
from weftwork.api.reads import READS
from weftwork.rpc.generated.weftwork.v1 import capture_pb2, debug_pb2, flow_pb2, vm_pb2, watch_pb2
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft


def answer_class(method: str) -> type[Message]:
    """Of the call's answer, or of each of a stream's."""
    service, name = method.strip("/").split("/")
    found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    return message_factory.GetMessageClass(found.output_type)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, one answer. `method` is gRPC's path: `/package.Service/Method`."""

    method: str
    request: type[Message]
    run: Callable[[Doors, Any], Awaitable[Message]]
    mutation: Mutation | None = None
    """What it changes; None when it only looks."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One request, answers until the caller goes."""

    method: str
    request: type[Message]
    run: Callable[[Doors, Any], AsyncIterator[Message]]


OPERATIONS: Mapping[str, Operation] = {
    operation.method: operation
    for operation in (
        *(Operation(one.method, one.request, one.run, one) for one in MUTATIONS.values()),
        *(Operation(one.method, one.request, one.run) for one in READS.values()),
        *(Operation(one.method, one.request, one.run) for one in ACCESS.values()),
        Operation(flows.SERVICE + "GetFlowLog", flow_pb2.GetFlowLogRequest, flows.get_flow_log),
        Operation(flows.SERVICE + "ListFlows", flow_pb2.ListFlowsRequest, flows.list_flows),
        *(Operation(one.method, one.request, one.run) for one in HOSTS),
        Operation(WAIT, weft.WaitForConditionRequest, wait_for_condition),
    )
}
"""By method."""

WATCHES: Mapping[str, Watch] = {
    debug.COLLECT: Watch(debug.COLLECT, debug_pb2.CollectBundleRequest, debug.collect_bundle),
    flows.WATCH: Watch(flows.WATCH, flow_pb2.WatchFlowsRequest, flows.watch_flows),
    captures.CAPTURE: Watch(captures.CAPTURE, capture_pb2.CapturePacketsRequest, captures.capture_packets),
    WATCH: Watch(WATCH, weft.WatchConditionsRequest, watch_conditions),
    vms.WATCH: Watch(vms.WATCH, vm_pb2.WatchVmsRequest, vms.watch),
    vms.CONSOLE: Watch(vms.CONSOLE, vm_pb2.ReadConsoleRequest, vms.read_console),
    watching.WATCH: Watch(watching.WATCH, watch_pb2.WatchRequest, watching.watch),
}
"""By method."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Bytes both ways. `target` is what the first message says, and `run` goes on with those behind it."""

    method: str
    target: Callable[[bytes], Message]
    run: Callable[[Doors, Any, AsyncIterator[bytes]], AsyncIterator[bytes]]


TUNNELS: Mapping[str, Tunnel] = {
    tunnels.CONNECT: Tunnel(tunnels.CONNECT, tunnels.target_of, tunnels.connect),
}
"""By method. REST has none."""
