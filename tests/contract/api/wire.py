"""Requests as bytes, so that tests can say what a well-behaved client cannot: see protobuf.dev, 'Encoding'."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from weftwork.rpc.generated.overlay_network.v1 import network_pb2
from weftwork.rpc.generated.weftwork.v1 import explain_pb2, network_policy_pb2, watch_pb2, weftwork_pb2

VARINT, FIXED64, LENGTH = 0, 1, 2
_DEPTH_MAX = 4


@dataclass(frozen=True, slots=True)
class FieldPath:
    """From the request's field down to a leaf, or to a message to be filled with anything."""

    fields: tuple[FieldDescriptor, ...]

    @property
    def leaf(self) -> FieldDescriptor:
        return self.fields[-1]

    def __str__(self) -> str:
        return ".".join(field.name for field in self.fields)


def services() -> tuple[ServiceDescriptor, ...]:
    return tuple(
        service
        for file in (network_pb2, weftwork_pb2, explain_pb2, network_policy_pb2, watch_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    )


def methods() -> tuple[MethodDescriptor, ...]:
    return tuple(method for service in services() for method in service.methods)


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def field_paths(message: Descriptor, above: tuple[FieldDescriptor, ...] = ()) -> Iterator[FieldPath]:
    """Every field of a message and of the messages in it."""
    for field in message.fields:
        path = (*above, field)
        yield FieldPath(path)
        if field.message_type is not None and len(path) < _DEPTH_MAX:
            yield from field_paths(field.message_type, path)


def varint(number: int) -> bytes:
    """Negative numbers as protobuf writes them: as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def tagged(field: FieldDescriptor, kind: int, value: bytes) -> bytes:
    head = varint(field.number << 3 | kind)
    return head + (varint(len(value)) + value if kind == LENGTH else value)


def placed(path: FieldPath, kind: int, value: bytes, good: Callable[[Descriptor], bytes] = lambda _: b"") -> bytes:
    """The value at the end of the path; appended to a request it overrides a single field and extends a list.

    The messages on the way hold what `good` says, and then the value.
    """
    out = tagged(path.leaf, kind, value)
    for field in reversed(path.fields[:-1]):
        out = tagged(field, LENGTH, good(field.message_type) + out)
    return out
