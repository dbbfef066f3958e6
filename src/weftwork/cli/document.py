"""The one form that all output is made of: what `-o json` prints. Its fields are those of the API's messages.

Values are as people write them: `tcp` and not PROTOCOL_TCP, `True` and not STATUS_TRUE, numbers as numbers, null for
what is not set.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.message import Message

API_VERSION = "weftwork/v1"

Document = dict[str, Any]

_KINDS = {"SnatConfig": "Snat", "DnatConfig": "Dnat"}


def document(message: "Message") -> Document:
    """One message, with what it is."""
    name = message.DESCRIPTOR.name
    return {"apiVersion": API_VERSION, "kind": _KINDS.get(name, name), **fields_of(message)}


def list_document(kind: str, items: Iterable[Document]) -> Document:
    return {"apiVersion": API_VERSION, "kind": f"{kind}List", "items": list(items)}


def fields_of(message: "Message") -> Document:
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: "Message", field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_single(one, field) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return fields_of(value)
    if field.enum_type is not None:
        return _enum_text(field.enum_type, value)
    return value


def _enum_text(enum: "EnumDescriptor", number: int) -> str:
    """The value's name without what all values of the enum begin with; empty when unspecified."""
    known = enum.values_by_number.get(number)
    if known is None:
        return str(number)
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    text = known.name.removeprefix(prefix)
    if text == "UNSPECIFIED":
        return ""
    return text.capitalize() if enum.name == "Status" else text.lower().replace("_", "-")
