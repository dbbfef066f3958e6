"""Messages as JSON: protobuf's own mapping with the fields' own names, and narrower, so that a schema can say it.

Laws: what is written is what `json_format` writes, but for masks of fields, which are objects with `paths` here; and it
is read as the same message.
"""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from weftwork.base import codes
from weftwork.rpc import decode

UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1
DEPTH_MAX = 32

Json = dict[str, Any]
Write = Callable[[Any], Any]
Read = Callable[[Any, str], Any]

_MESSAGE = FieldDescriptor.TYPE_MESSAGE
AS_THEY_ARE = frozenset(
    (
        FieldDescriptor.TYPE_STRING,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_DOUBLE,
    )
)
AS_STRINGS = frozenset((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT64))

to_text = msgspec.json.Encoder().encode


def written(message: Message) -> Json:
    """Every field but those that are not there: unset messages, optional ones, and the others of a choice."""
    return _writer(message.DESCRIPTOR)(message)


def filled(message: Message, value: Any, at: str = "") -> Message:
    """Sets in the message what the JSON says. Refusal INVALID_ARGUMENT, UNKNOWN_FIELD or MALFORMED_MESSAGE."""
    _fill(message, value, at)
    return message


def parsed_text(text: bytes) -> Any:
    """Refusal MALFORMED_MESSAGE."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise codes.MALFORMED_MESSAGE.refusal(f"the body is not JSON: {error}", hint="Send JSON.") from None


def message_of(field: FieldDescriptor) -> Descriptor:
    """Of a field that holds one."""
    assert field.message_type is not None
    return field.message_type


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """Of a field that holds one of its values."""
    assert field.enum_type is not None
    return field.enum_type


# --- writing ------------------------------------------------------------------------------------------------------


@cache
def _writer(descriptor: Descriptor) -> Callable[[Message], Json]:
    """Values are fetched and named in C; only what is not written as it is costs more."""
    always = [one for one in descriptor.fields if not one.has_presence]
    present = [(one.name, _write_of(one)) for one in descriptor.fields if one.has_presence]
    names = tuple(one.name for one in always)
    values = _values_of(names)
    converted = [(one.name, _write_of(one)) for one in always if _write_of(one) is not _same]

    def write(message: Message) -> Json:
        document = dict(zip(names, values(message), strict=True))
        for name, convert in converted:
            document[name] = convert(document[name])
        for name, convert in present:
            if message.HasField(name):
                document[name] = convert(getattr(message, name))
        return document

    return write


def _values_of(names: tuple[str, ...]) -> Callable[[Message], tuple[Any, ...]]:
    """`attrgetter` makes a tuple of two and more only."""
    match names:
        case ():
            return lambda message: ()
        case (name,):
            return lambda message: (getattr(message, name),)
    return attrgetter(*names)


@cache
def _write_of(field: FieldDescriptor) -> Write:
    one = _write_one(field)
    if not field.is_repeated:
        return one
    return list if one is _same else lambda values: [one(value) for value in values]


def _write_one(field: FieldDescriptor) -> Write:
    if field.type == _MESSAGE:
        return _writer_later(message_of(field))
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = {number: value.name for number, value in enum_of(field).values_by_number.items()}
        return names.__getitem__
    if field.type in AS_STRINGS:
        return str
    assert field.type in AS_THEY_ARE, f"{field.full_name}: no JSON form is written for this type yet"
    return _same


def _writer_later(descriptor: Descriptor) -> Write:
    """Messages may hold each other, so that the one inside is made when it is needed."""
    known: list[Write] = []

    def write(message: Message) -> Json:
        if not known:
            known.append(_writer(descriptor))
        return known[0](message)  # type: ignore[no-any-return]

    return write


def _same(value: Any) -> Any:
    return value


# --- reading ------------------------------------------------------------------------------------------------------


def _fill(message: Any, value: Any, at: str) -> None:
    if not isinstance(value, dict):
        raise _wrong(at, "is not an object")
    if at.count(".") > DEPTH_MAX:
        raise _wrong(at, "is nested too deeply")
    known = readers(message.DESCRIPTOR)
    chosen: dict[str, str] = {}
    for name, content in value.items():
        inside = f"{at}.{name}" if at else name
        read = known.get(name)
        if read is None:
            raise unknown_field(inside, known)
        field: FieldDescriptor = message.DESCRIPTOR.fields_by_name[name]
        if field.containing_oneof is not None and field.has_presence:
            other = chosen.setdefault(field.containing_oneof.name, name)
            if other != name:
                raise _wrong(inside, f"cannot stand beside {other}")
        read(message, content, inside)


def unknown_field(at: str, known: Mapping[str, object]) -> Exception:
    hint = f"It has {', '.join(sorted(known))}." if known else "Leave it out: there is nothing to say here."
    return decode.refusal(codes.UNKNOWN_FIELD, _short(at), "there is no such field", hint=hint)


@cache
def readers(descriptor: Descriptor) -> Mapping[str, Callable[[Any, Any, str], None]]:
    return {field.name: _reader(field) for field in descriptor.fields}


def _reader(field: FieldDescriptor) -> Callable[[Any, Any, str], None]:
    name = field.name
    if field.type == _MESSAGE:
        return _read_messages(field) if field.is_repeated else _read_message(field)
    read = read_scalar(field)
    if not field.is_repeated:
        return lambda message, value, at: setattr(message, name, read(value, at))

    def read_list(message: Any, value: Any, at: str) -> None:
        getattr(message, name).extend(read(one, f"{at}[{index}]") for index, one in enumerate(_listed(value, at)))

    return read_list


def _read_message(field: FieldDescriptor) -> Callable[[Any, Any, str], None]:
    name = field.name

    def read(message: Any, value: Any, at: str) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        _fill(inner, value, at)

    return read


def _read_messages(field: FieldDescriptor) -> Callable[[Any, Any, str], None]:
    name = field.name

    def read(message: Any, value: Any, at: str) -> None:
        inner = getattr(message, name)
        for index, one in enumerate(_listed(value, at)):
            _fill(inner.add(), one, f"{at}[{index}]")

    return read


def _listed(value: Any, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(at, "is not an array")
    if len(value) > decode.LIST_MAX:
        said = f"the list has {len(value)} entries, at most {decode.LIST_MAX} are allowed"
        raise decode.refusal(codes.FIELD_TOO_LONG, at, said)
    return value


def read_scalar(field: FieldDescriptor) -> Read:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _text
        case FieldDescriptor.TYPE_BOOL:
            return _boolean
        case FieldDescriptor.TYPE_ENUM:
            return _enum(field)
        case FieldDescriptor.TYPE_UINT32:
            return lambda value, at: _whole(value, at, UINT32_MAX)
        case FieldDescriptor.TYPE_UINT64:
            return _whole_64
        case FieldDescriptor.TYPE_DOUBLE:
            return _number
    raise AssertionError(f"{field.full_name}: no JSON form is read for this type yet")


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise _wrong(at, "is not a string")
    return value


def _boolean(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(at, "is neither true nor false")
    return value


def _whole(value: Any, at: str, most: int) -> int:
    """JSON has no whole numbers of its own: 80.0 is 80."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(at, f"is not a whole number from 0 to {most}")
    return value


def _whole_64(value: Any, at: str) -> int:
    """Also as a string, which is how it is written: JavaScript has no numbers of 64 bits."""
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdecimal():
        return int(value)
    return _whole(value, at, UINT64_MAX)


def _number(value: Any, at: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(at, "is not a number")
    try:
        return float(value)
    except OverflowError:
        raise _wrong(at, "is too large a number") from None


def _enum(field: FieldDescriptor) -> Read:
    numbers = {name: value.number for name, value in enum_of(field).values_by_name.items()}

    def read(value: Any, at: str) -> int:
        number = numbers.get(value) if isinstance(value, str) else None
        if number is None:
            raise _wrong(at, f"is none of {', '.join(numbers)}")
        return number

    return read


def _wrong(at: str, what: str) -> Exception:
    return decode.refusal(codes.INVALID_ARGUMENT, _short(at) or "body", f"it {what}")


def _short(at: str) -> str:
    """Field names come from the caller here."""
    return at if len(at) <= 120 and at.isprintable() else decode.quoted(at)
