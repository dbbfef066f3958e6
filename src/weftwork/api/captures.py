"""Captures: whose port, for how long, and a line in the audit log before the first packet."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.find import port_of, vpc_of
from weftwork.actions.network import Network
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.port import Port
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import capture_pb2 as pb
from weftwork.seams.capture import Capturing, Wanted
from weftwork.seams.store import Transaction

CAPTURE = "/weftwork.v1.CaptureService/CapturePackets"
ETHERNET_HEADER = 14


async def capture_packets(doors: Doors, request: pb.CapturePacketsRequest) -> AsyncIterator[pb.CaptureEvent]:
    """Refusals VPC_NOT_FOUND, PORT_NOT_FOUND, INVALID_ARGUMENT, CAPTURE_FILTER_INVALID, CAPTURE_UNAVAILABLE,
    TOO_MANY_CAPTURES.
    """
    owner, network = decode.owner(request), doors.network
    here, _ = vpc_of(network, owner)
    port = port_of(here, owner, decode.reference(request.port_id, "port_id"))
    if port.attachment is None:
        raise codes.CAPTURE_UNAVAILABLE.refusal(f"port {port.name or port.id} is not attached, so it has no device")
    capturer = doors.fleet.capturer(port.attachment.host) if port.attachment.host else doors.capturer
    if capturer is None:
        raise codes.CAPTURE_UNAVAILABLE.refusal("this server has no agent that could listen at a port")
    wanted = Wanted(
        scope=_scope_of(network, port),
        device=port.device,
        expression=request.expression,
        seconds=_within(request.seconds, "seconds", 60, 1, 3600),
        packets=_within(request.packets, "packets", 10_000, 1, 1_000_000),
        data_bytes=_within(request.bytes, "bytes", 64 << 20, 1, 1 << 30),
        snap_length=_within(request.snap_length, "snap_length", 65_535, ETHERNET_HEADER, 65_535),
    )
    async with aclosing(capturer.capture(wanted)) as capturing:  # type: ignore[type-var]
        is_noted = False
        async for some in capturing:
            if not is_noted:
                await _note(network, owner, port, wanted)
                is_noted = True
            yield _told(some)


def _scope_of(network: Network, port: Port) -> str:
    """Where the port's device is."""
    if network.settings.device_netns is not None:
        return network.settings.device_netns
    vpc = network.view.intent[port.home].vpc
    assert vpc is not None, "a port has a VPC"
    return vpc.netns


async def _note(network: Network, owner: ProjectKey, port: Port, wanted: Wanted) -> None:
    """The first of a capture says that it listens: what is refused is noted as such."""
    about = {
        "port": port.id,
        "expression": wanted.expression,
        "seconds": wanted.seconds,
        "packets": wanted.packets,
        "snap_length": wanted.snap_length,
    }
    change = AccessChange(f"capture of port {port.id}", None, about)
    await network.store.commit(Transaction((), (record_of(network, owner.org, owner.project, change),)))


def _within(value: int, field: str, default: int, least: int, most: int) -> int:
    value = value or default
    if not least <= value <= most:
        raise decode.refusal(codes.INVALID_ARGUMENT, field, f"{value} is not from {least} to {most}")
    return value


def _told(some: Capturing) -> pb.CaptureEvent:
    packets = [pb.CapturedPacket(at_ns=one.at_ns, length=one.length, data=one.data) for one in some.packets]
    return pb.CaptureEvent(packets=packets, missed=some.missed, ended=some.ended)
