"""The intent as one host of the fleet sees it: its own ports, and the others as ports behind a VTEP.

Whatever compiles or judges the intent of one machine does the same with this.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.compiler.linux.names import vtep_of
from weftwork.model.intent import Thing
from weftwork.model.peering import Peering
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.subnet import Subnet


def seen_from(host: str, thing: Thing, subnet: Subnet | None, underlays: Mapping[str, IPv4Address]) -> Thing | None:
    """None for what hosts of a fleet do not carry. `subnet` is a port's; `underlays` are the hosts' addresses."""
    match thing:
        case Port():
            return replace(thing, attachment=_attachment(host, thing.attachment, subnet, underlays))
        case Peering():
            return None
    return thing


def _attachment(
    host: str, at: Attachment | None, subnet: Subnet | None, underlays: Mapping[str, IPv4Address]
) -> Attachment | None:
    if at is None or not at.host or subnet is None:
        return None
    if at.host == host:
        return at
    there = underlays.get(at.host)
    return Attachment(AttachmentKind.REMOTE, "", vtep_of(subnet), at.host, there) if there and subnet.vni else None
