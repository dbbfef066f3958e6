"""Filters and orders of lists, after AIP-160 and AIP-132: a small language over the fields of the things in a list.

    name = "web*" AND NOT (attachment.kind = KIND_TAP OR created_at < 1700000000) AND security_group_ids : "acme/web/db"

AND and OR are not mixed without parentheses: which of them binds is a thing that people remember differently.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from weftwork.base import codes
from weftwork.rpc import decode

TEXT_MAX = 2000
DEPTH_MAX = 16
PARTS_MAX = 4
STARS_MAX = 4
"""Of one pattern: each more may take as many times longer as the text has characters."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign><=|>=|!=|[=<>:()])|"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<word>[^\s"=<>!:(),]+))"""
)
_WHOLE = frozenset(
    (
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
    )
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}

Test = Callable[[Any], bool]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Part:
    """One word of an order: where the value is, and whether it falls."""

    path: tuple[str, ...]
    falls: bool

    def of(self, message: Message) -> str | int | float:
        value: Any = message
        for name in self.path:
            value = getattr(value, name)
        return value  # type: ignore[no-any-return]


def filter_of(text: str, message: Descriptor) -> Test:
    """Whether a message matches. Refusal INVALID_FILTER."""
    if len(text) > TEXT_MAX:
        raise refusal("filter", f"it has {len(text)} characters, at most {TEXT_MAX} are understood")
    return _Parser(text, message).whole()


def order_of(text: str, message: Descriptor) -> tuple[Part, ...]:
    """Refusal INVALID_FILTER."""
    words = [one.split() for one in text.split(",")]
    if len(words) > PARTS_MAX:
        raise refusal("order_by", f"it has {len(words)} parts, at most {PARTS_MAX} are understood")
    return tuple(_part(one, message) for one in words)


def _part(words: list[str], message: Descriptor) -> Part:
    match words:
        case [name] | [name, "asc"] | [name, "desc"]:
            fields = tuple(_fields(name, message, "order_by"))
        case _:
            raise refusal("order_by", f"{decode.quoted(' '.join(words))} is no field with asc or desc")
    if fields[-1].is_repeated or fields[-1].type == FieldDescriptor.TYPE_MESSAGE:
        raise refusal("order_by", f"{name} has no order")
    return Part(tuple(one.name for one in fields), words[-1] == "desc")


def _fields(path: str, message: Descriptor | None, where: str) -> Iterator[FieldDescriptor]:
    """Of each word of `attachment.kind`."""
    for at, name in enumerate(path.split(".")):
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None:
            known = ", ".join(sorted(one.name for one in message.fields)) if message is not None else "none"
            raise refusal(where, f"there is no field {decode.quoted(path)}", hint=f"There are {known}.")
        if at < path.count(".") and field.is_repeated:
            raise refusal(where, f"{name} is a list, whose fields cannot be named")
        yield field
        message = field.message_type


class _Parser:
    def __init__(self, text: str, message: Descriptor) -> None:
        self._text = text
        self._message = message
        self._at = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._any_of()
        if self._text[self._at :].strip():
            raise self._lost()
        return test

    def _any_of(self) -> Test:
        """Terms with AND, or with OR, between them."""
        terms = [self._term()]
        joint = ""
        while (word := self._word()) in ("AND", "OR"):
            if joint not in ("", word):
                raise refusal("filter", "AND and OR stand side by side: say with parentheses which belong together")
            joint = word
            self._take()
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        together = any if joint == "OR" else all
        return lambda message: together(term(message) for term in terms)

    def _term(self) -> Test:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise refusal("filter", f"it is nested more than {DEPTH_MAX} times")
        try:
            if self._word() == "NOT":
                self._take()
                inner = self._term()
                return lambda message: not inner(message)
            if self._sign() == "(":
                self._take()
                inside = self._any_of()
                if self._sign() != ")":
                    raise self._lost()
                self._take()
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Test:
        path = self._word()
        if not path:
            raise self._lost()
        self._take()
        fields = tuple(_fields(path, self._message, "filter"))
        sign = self._sign()
        if sign not in (*_COMPARE, ":"):
            raise self._lost()
        self._take()
        token = self._next()
        if token is None or token["sign"]:
            raise self._lost()
        self._take()
        quoted = token["quoted"]
        text = token["word"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        return _test(fields, sign, text, path)

    def _next(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._at)

    def _take(self) -> None:
        token = self._next()
        assert token is not None
        self._at = token.end()

    def _word(self) -> str:
        token = self._next()
        return token["word"] or "" if token else ""

    def _sign(self) -> str:
        token = self._next()
        return token["sign"] or "" if token else ""

    def _lost(self) -> Exception:
        rest = self._text[self._at :].strip()
        return refusal("filter", f"{decode.quoted(rest)} is not understood" if rest else "it ends too early")


def _test(fields: tuple[FieldDescriptor, ...], sign: str, text: str, path: str) -> Test:
    last = fields[-1]
    names = [one.name for one in fields]
    if last.type == FieldDescriptor.TYPE_MESSAGE:
        raise refusal("filter", f"{path} has no value of its own", hint="Name one of its fields.")
    holds = _holds(last, sign, text, path)

    def test(message: Any) -> bool:
        for name in names:
            message = getattr(message, name)
        return holds(message)

    return test


def _holds(field: FieldDescriptor, sign: str, text: str, path: str) -> Test:
    if field.is_repeated:
        if sign != ":":
            raise refusal("filter", f"{path} is a list: say with : what it holds")
        same = _equals(field, text, path)
        return lambda values: any(same(value) for value in values)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(sign, text)
    if sign == ":":
        raise refusal("filter", f"{path} is neither a list nor a text: compare it with =")
    value, compare = _value(field, text, path), _COMPARE[sign]
    if field.type in (FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_BOOL) and sign not in ("=", "!="):
        raise refusal("filter", f"{path} is neither more nor less than something")
    return lambda one: compare(one, value)


def _text(sign: str, text: str) -> Test:
    """`=` with `*` for anything, `:` for a part of it."""
    if sign == ":":
        return lambda one: text in one
    if sign in ("=", "!=") and "*" in text:
        pieces = [re.escape(part) for part in text.split("*")]
        if len(pieces) > STARS_MAX + 1:
            raise refusal("filter", f"{decode.quoted(text)} has more than {STARS_MAX} stars")
        pattern = re.compile(".*".join(pieces), re.DOTALL)
        wanted = sign == "="
        return lambda one: (pattern.fullmatch(one) is not None) is wanted
    compare = _COMPARE[sign]
    return lambda one: compare(one, text)


def _equals(field: FieldDescriptor, text: str, path: str) -> Test:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text("=", text)
    value = _value(field, text, path)
    return lambda one: bool(one == value)


def _value(field: FieldDescriptor, text: str, path: str) -> Value:
    if field.type == FieldDescriptor.TYPE_BOOL and text in ("true", "false"):
        return text == "true"
    if field.type in _WHOLE and text.isascii() and text.isdecimal() and len(text) <= 20:
        return int(text)
    if field.enum_type is not None and text in field.enum_type.values_by_name:
        return int(field.enum_type.values_by_name[text].number)
    if field.type == FieldDescriptor.TYPE_DOUBLE and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
        return float(text)
    raise refusal("filter", f"{path} is never {decode.quoted(text)}")


def refusal(field: str, message: str, *, hint: str = "") -> Exception:
    return decode.refusal(codes.INVALID_FILTER, field, message, hint=hint)
