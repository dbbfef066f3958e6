"""Ports as JSON, without a message between the port and its text: that costs three times as much.

Law: they are told as `messages.written` tells what `rpc/encode.py` makes of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import Message
from msgspec import UNSET, UnsetType

from weftwork.actions.network import Stored
from weftwork.api.doors import Doors
from weftwork.api.mutations import Mutation
from weftwork.api.operations import OPERATIONS, Operation
from weftwork.api.reads import GET_PORT, LIST_PORTS, page_of_ports, port_asked_for
from weftwork.model.keys import ThingKey
from weftwork.model.port import AttachmentKind, Port
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.seams.conditions import Status


class Text(NamedTuple):
    """An answer that is JSON already; `revision` is the thing's, if it is one."""

    content: bytes
    revision: str = ""


class _Condition(msgspec.Struct, gc=False):
    type: str
    status: str
    reason: str
    message: str
    observed_revision: str
    last_transition: str


class _Attachment(msgspec.Struct, gc=False):
    kind: str
    netns: str
    interface: str
    host: str


class _Port(msgspec.Struct, gc=False):
    id: str
    org_id: str
    project_id: str
    subnet_id: str
    mac_address: str
    security_group_ids: list[str]
    created_at: str
    name: str
    device: str
    device_netns: str
    mtu_bytes: int
    revision: str
    conditions: list[_Condition]
    ovn_port_uuid: str = ""
    vm_id: str | UnsetType = UNSET
    ip_address: str | UnsetType = UNSET
    attachment: _Attachment | UnsetType = UNSET


class _Ports(msgspec.Struct, gc=False):
    ports: list[_Port]
    next_page_token: str


_STATUSES = {
    status: pb.Condition.Status.Name(number)
    for status, number in (
        (Status.TRUE, pb.Condition.STATUS_TRUE),
        (Status.FALSE, pb.Condition.STATUS_FALSE),
        (Status.UNKNOWN, pb.Condition.STATUS_UNKNOWN),
    )
}
_KINDS = {
    AttachmentKind.TAP: pb.Attachment.Kind.Name(pb.Attachment.KIND_TAP),
    AttachmentKind.NETNS: pb.Attachment.Kind.Name(pb.Attachment.KIND_NETNS),
}
_encode = msgspec.json.Encoder().encode


async def get_port(doors: Doors, request: pb.GetPortRequest) -> Any:
    return port_told(doors, await port_asked_for(doors, request))


async def list_ports(doors: Doors, request: pb.ListPortsRequest) -> Any:
    page = await page_of_ports(doors, request)
    return Text(ports_text(doors, page.items, page.next_page_token))


def ports_text(doors: Doors, items: Iterable[Stored[Port]], next_page_token: str) -> bytes:
    """A ListPortsResponse."""
    return _encode(_Ports([_told(doors, one.value, one.revision) for one in items], next_page_token))


def port_told(doors: Doors, stored: Stored[Port]) -> Text:
    return Text(_encode(_told(doors, stored.value, stored.revision)), str(stored.revision))


def _changing(operation: Operation, mutation: Mutation) -> Operation:
    async def run(doors: Doors, request: Message) -> Any:
        return port_told(doors, await mutation.act(doors.network, request))

    return replace(operation, run=run)


def _told(doors: Doors, port: Port, revision: int) -> _Port:
    org, project = port.owner
    at = port.attachment
    return _Port(
        id=port.id,
        org_id=org,
        project_id=project,
        subnet_id=f"{port.home}/{port.subnet}",
        mac_address=port.mac,
        security_group_ids=[f"{org}/{project}/{group}" for group in port.groups],
        created_at=str(port.created_at),
        name=port.name,
        device=port.device if at else "",
        device_netns=doors.netns_of(port) if at else "",
        mtu_bytes=doors.network.settings.mtu_bytes,
        revision=str(revision),
        conditions=[
            _Condition(type_, _STATUSES[status], reason, message, str(seen), str(since_s))
            for type_, status, reason, message, seen, since_s in doors.conditions.of(
                ThingKey("port", port.owner, port.id), revision
            )
        ],
        vm_id=port.vm or UNSET,
        ip_address=str(port.addresses[0]) if port.addresses else UNSET,
        attachment=_Attachment(_KINDS[at.kind], at.netns, at.interface, at.host) if at else UNSET,
    )


DIRECT: Mapping[str, Operation] = {
    GET_PORT: replace(OPERATIONS[GET_PORT], run=get_port),
    LIST_PORTS: replace(OPERATIONS[LIST_PORTS], run=list_ports),
    **{
        one.method: _changing(one, one.mutation)
        for one in OPERATIONS.values()
        if one.mutation is not None and one.mutation.told is Doors.port
    },
}
"""By method: what this door answers in its own way."""
