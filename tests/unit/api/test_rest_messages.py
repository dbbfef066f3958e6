"""JSON of messages: narrower than protobuf's own mapping, and never different from it."""

import random

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from weftwork.api.operations import OPERATIONS
from weftwork.api.rest.messages import filled, parsed_text, to_text, written
from weftwork.base.errors import Refusal
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb

REQUESTS = sorted(OPERATIONS.values(), key=lambda one: one.method)


def anything(message: Message, chance: random.Random, depth: int = 0) -> Message:
    """Some fields of it, with some values."""
    for field in _chosen(message.DESCRIPTOR, chance):
        _set(message, field, chance, depth)
    return message


def _chosen(descriptor: Descriptor, chance: random.Random) -> list[FieldDescriptor]:
    """A mask of fields is an object here, and a text with other names in protobuf's mapping."""
    return [one for one in descriptor.fields if chance.random() < 0.7 and one.name != "update_mask"]


def _set(message: Message, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if depth < 4:
            inner = getattr(message, field.name)
            anything(inner.add() if field.is_repeated else inner, chance, depth + 1)
            if not field.is_repeated:
                inner.SetInParent()
        return
    value = _value(field, chance)
    if field.is_repeated:
        getattr(message, field.name).extend([value, value])
    else:
        setattr(message, field.name, value)


def _value(field: FieldDescriptor, chance: random.Random) -> object:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return chance.choice(["", "web", "ünïcödé \U0001f310", '"\\\n'])
        case FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.TYPE_UINT32:
            return chance.choice([0, 1, 2**32 - 1])
        case FieldDescriptor.TYPE_UINT64:
            return chance.choice([0, 1, 2**53 + 1, 2**63])
        case FieldDescriptor.TYPE_DOUBLE:
            return chance.choice([0.0, 0.5, 3600.0])
    assert field.enum_type is not None
    return chance.choice(field.enum_type.values).number


@given(st.sampled_from(REQUESTS), st.integers(0, 2**32))
def test_what_is_written_is_what_protobuf_writes_and_is_read_as_the_same(operation: object, seed: int) -> None:
    message = anything(operation.request(), random.Random(seed))  # type: ignore[attr-defined]
    document = written(message)

    assert document == json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert filled(type(message)(), parsed_text(to_text(document))) == message


@pytest.mark.parametrize(
    "text",
    [b'{"orgId": "a"}', b'{"org_id": null}', b'{"page_size": "5"}', b'{"page_size": 1.5}', b'{"page_size": true}'],
)
def test_what_protobuf_lets_pass_and_a_schema_does_not_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal):
        filled(pb.ListPortsRequest(), parsed_text(text))


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert filled(pb.ListPortsRequest(), {"page_size": 5.0}) == pb.ListPortsRequest(page_size=5)
