"""Lists of ports as JSON, without a message per port between them and their text: that costs three times as much.

Law: they are told as `messages.written` tells what `rpc/encode.py` makes of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from weftwork.actions.network import Stored
from weftwork.api.doors import Doors
from weftwork.api.operations import OPERATIONS, Operation
from weftwork.api.reads import LIST_PORTS, page_of_ports
from weftwork.model.keys import ThingKey
from weftwork.model.port import AttachmentKind, Port
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.seams.conditions import Condition, Status


class Text(NamedTuple):
    """An answer that is JSON already."""

    content: bytes


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


async def list_ports(doors: Doors, request: pb.ListPortsRequest) -> Any:
    page = await page_of_ports(doors, request)
    return Text(ports_text(doors, page.items, page.next_page_token))


def ports_text(doors: Doors, items: Iterable[Stored[Port]], next_page_token: str) -> bytes:
    """A ListPortsResponse."""
    conditions_of, mtu_bytes = doors.conditions.of, doors.network.settings.mtu_bytes
    told = []
    for port, revision in ((one.value, one.revision) for one in items):
        conditions = conditions_of(ThingKey("port", port.owner, port.id), revision)
        told.append(_told(port, revision, conditions, doors.netns_of(port), mtu_bytes))
    return _encode(_Ports(told, next_page_token))


def _told(port: Port, revision: int, conditions: Iterable[Condition], netns: str, mtu_bytes: int) -> _Port:
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
        device_netns=netns if at else "",
        mtu_bytes=mtu_bytes,
        revision=str(revision),
        conditions=[
            _Condition(type_, _STATUSES[status], reason, message, str(seen), str(since_s))
            for type_, status, reason, message, seen, since_s in conditions
        ],
        vm_id=port.vm or UNSET,
        ip_address=str(port.addresses[0]) if port.addresses else UNSET,
        attachment=_Attachment(_KINDS[at.kind], at.netns, at.interface) if at else UNSET,
    )


DIRECT: Mapping[str, Operation] = {LIST_PORTS: replace(OPERATIONS[LIST_PORTS], run=list_ports)}
"""By method: what this door answers in its own way."""
