"""From a path, a query, headers and a body to the request of an operation."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from msgspec import Struct

from weftwork.access.caller import Credentials
from weftwork.api.rest.messages import enum_of, filled, parsed_text, read_scalar, unknown_field
from weftwork.api.rest.routes import Route
from weftwork.base import codes
from weftwork.rpc import decode

PARAMETERS_MAX = 64
_WHOLE = frozenset(
    (
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
    )
)


class Asked(Struct, frozen=True):
    """One call as it came over the wire; `words` are those of the path, `query` has each parameter's values."""

    route: Route
    words: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    body: bytes
    credentials: Credentials

    def once(self, parameter: str) -> str:
        """The value of a parameter that can be given once; empty without one. Refusal INVALID_ARGUMENT."""
        values = self.query.get(parameter, ())
        if len(values) > 1:
            raise _wrong(parameter, "is given more than once")
        return values[0] if values else ""


def query_of(text: bytes) -> Mapping[str, tuple[str, ...]]:
    """Refusal MALFORMED_MESSAGE."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except ValueError as error:
        raise codes.MALFORMED_MESSAGE.refusal(f"the query is no list of parameters: {error}") from None
    query: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        query[name] = (*query.get(name, ()), value)
    return query


def request_of(asked: Asked, besides: frozenset[str]) -> Message:
    """The request; `besides` are parameters that are not the request's. Refusals of `messages.filled`."""
    route = asked.route
    known = route.watch or route.operation
    request = known.request()
    inner = getattr(request, route.flattened) if route.flattened else None
    for name in asked.query:
        if name not in route.query and name not in besides:
            raise unknown_field(name, {**route.query, **dict.fromkeys(besides)})
    if route.has_body:
        _fill_from_body(request, asked)
    for name, value in _words_of(asked).items():
        _set(_holder(request, inner, name), route.fields[name], _from_path(route.fields[name], value))
    for name, values in asked.query.items():
        if name in route.query:
            _set_parameter(_holder(request, inner, name), route.query[name], values, asked)
    return request


def _holder(request: Message, inner: Message | None, name: str) -> Message:
    return request if inner is None or name not in inner.DESCRIPTOR.fields_by_name else inner


def _fill_from_body(request: Any, asked: Asked) -> None:
    route = asked.route
    body = parsed_text(asked.body) if asked.body else {}
    for name in body if isinstance(body, dict) else ():
        if name not in route.body:
            raise unknown_field(name, route.body)
    target = getattr(request, route.whole_body) if route.whole_body else request
    filled(target, body)
    if "update_mask" in route.request.fields_by_name:
        if not body:
            raise decode.refusal(codes.MISSING_FIELD, "body", "it names nothing to change")
        request.update_mask.paths.extend(body)


def _words_of(asked: Asked) -> Mapping[str, str]:
    words = dict(asked.words)
    for joined in asked.route.joined:
        parts = [words.pop(word) for word in joined.words]
        if any("/" in part for part in parts):
            raise _wrong(joined.field, "has too many slashes")
        words[joined.field] = "/".join(parts)
    return words


def _from_path(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        number = short_names(field).get(text)
        if number is None:
            raise _wrong(field.name, f"is none of {', '.join(short_names(field))}")
        return number
    return _from_text(field, text)


def short_names(field: FieldDescriptor) -> Mapping[str, int]:
    """As a path says them: `tcp` for PROTOCOL_TCP."""
    values = enum_of(field).values
    stem = values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(stem).lower(): value.number for value in values if value.number}


def _set_parameter(holder: Message, field: FieldDescriptor, values: tuple[str, ...], asked: Asked) -> None:
    if field.is_repeated:
        getattr(holder, field.name).extend(_from_text(field, value) for value in values)
    else:
        _set(holder, field, _from_text(field, asked.once(field.name)))


def _set(holder: Message, field: FieldDescriptor, value: Any) -> None:
    setattr(holder, field.name, value)


def _from_text(field: FieldDescriptor, text: str) -> Any:
    return _reader(field)(text)


@cache
def _reader(field: FieldDescriptor) -> Callable[[str], Any]:
    typed, read, name = _typed(field), read_scalar(field), field.name
    return lambda text: read(typed(text), name)


def _typed(field: FieldDescriptor) -> Callable[[str], Any]:
    """What stays a text is refused as such."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda text: {"true": True, "false": False}.get(text, text)
    if field.type in _WHOLE:
        return lambda text: int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else ()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _number
    return str


def _number(text: str) -> float | str:
    try:
        return float(text) if text.isascii() and "_" not in text and text == text.strip() else text
    except ValueError:
        return text


def _wrong(field: str, what: str) -> Exception:
    return decode.refusal(codes.INVALID_ARGUMENT, field, f"it {what}")
