"""Rule texts into rules: nft's words as our programs use them. What is not known is refused, never guessed."""

import re
from functools import lru_cache

from weftwork.verifier.linux.frame import ETHER_8021AD, ETHER_8021Q, ETHER_ARP, ETHER_IP, ETHER_IP6
from weftwork.verifier.linux.rules import (
    FIELDS,
    MASKED_MAC,
    STATUS,
    Assign,
    Compare,
    Count,
    Decide,
    Dispatch,
    Field,
    Limit,
    Log,
    Member,
    Remember,
    Rule,
    Sometimes,
    Step,
    Translate,
    Verdict,
)
from weftwork.verifier.linux.sets import NotUnderstood, Value, parse_value

_WORD = re.compile(r'"[^"]*"|[{},]|!=|==|<=|&|[^\s{},"]+')
_RATE = re.compile(r"\d+/(second|minute)")
_ETHER_TYPES = {"ip": ETHER_IP, "arp": ETHER_ARP, "ip6": ETHER_IP6, "8021q": ETHER_8021Q, "8021ad": ETHER_8021AD}
_ARP_OPERATIONS = {"request": 1, "reply": 2}
_ICMP_TYPES = {"echo-reply": 0, "echo-request": 8}
_LONGEST_FIELD = 4
_TARGETS = {"meta mark": "mark", "meta priority": "classid", "ct mark": "mark"}


@lru_cache(maxsize=65536)
def parse_rule(text: str) -> Rule:
    words = _Words(text)
    steps: list[Step] = []
    while words:
        if steps and isinstance(steps[-1], Decide | Dispatch | Translate):
            raise words.trouble("nothing follows a verdict")
        steps.append(_step(words))
    return tuple(steps)


class _Words:
    """The words of a rule that are not read yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = _WORD.findall(text)
        self._next = 0

    def __bool__(self) -> bool:
        return self._next < len(self._words)

    def peek(self, count: int = 1) -> str:
        return " ".join(self._words[self._next : self._next + count])

    def skip(self, *wanted: str) -> bool:
        """Reads the words if they come next."""
        if tuple(self._words[self._next : self._next + len(wanted)]) != wanted:
            return False
        self._next += len(wanted)
        return True

    def take(self) -> str:
        if not self:
            raise self.trouble("more words")
        self._next += 1
        word: str = self._words[self._next - 1]
        return word

    def expect(self, *wanted: str) -> None:
        if not self.skip(*wanted):
            raise self.trouble(" ".join(wanted))

    def trouble(self, wanted: str) -> NotUnderstood:
        return NotUnderstood(f"rule {self._text!r}: {wanted} expected at {self.peek(3)!r}")


def _step(words: _Words) -> Step:
    match words.peek():
        case "accept" | "drop" | "return":
            return Decide(Verdict(words.take()))
        case "goto" | "jump":
            return Decide(Verdict(words.take(), words.take()))
        case "counter":
            words.expect("counter", "name")
            return Count(words.take().strip('"'))
        case "update":
            return _remember(words)
        case "log":
            return _log(words)
        case "numgen":
            words.expect("numgen", "random", "mod")
            return Sometimes(_number(words, words.take(), words.take()))
        case "limit":
            words.expect("limit", "rate")
            _rate(words)
            return Limit()
        case "dnat" | "snat" | "masquerade":
            return _translate(words)
    for target, type_ in _TARGETS.items():
        if words.skip(*target.split(), "set"):
            return _assign(words, target, type_)
    if words.skip("ct", "status"):
        return _status(words)
    if words.skip("ether", "daddr", "&"):
        mask = _mac(words.take())
        words.expect("==")
        wanted = _mac(words.take())
        return Compare(MASKED_MAC, ((wanted, wanted),), mask=mask)
    return _match(words)


def _match(words: _Words) -> Step:
    fields = _read_fields(words)
    if words.skip("vmap"):
        return Dispatch(fields, _set_name(words))
    negated = words.skip("!=")
    if words.peek().startswith("@"):
        return Member(fields, _set_name(words), negated)
    if len(fields) != 1:
        raise words.trouble("a set")
    if words.skip("<="):
        return Compare(fields[0], ((0, _constant(words, fields[0])),))
    return Compare(fields[0], _constants(words, fields[0]), negated)


def _read_fields(words: _Words) -> tuple[Field, ...]:
    fields = [_field(words)]
    while words.skip("."):
        fields.append(_field(words))
    return tuple(fields)


def _field(words: _Words) -> Field:
    for length in range(_LONGEST_FIELD, 0, -1):
        found = FIELDS.get(words.peek(length))
        if found:
            words.skip(*found.words.split())
            return found
    raise words.trouble("a field")


def _constants(words: _Words, field: Field) -> tuple[tuple[Value, Value], ...]:
    if not words.skip("{"):
        return (_span(words, field),)
    spans = [_span(words, field)]
    while words.skip(","):
        spans.append(_span(words, field))
    words.expect("}")
    return tuple(spans)


def _span(words: _Words, field: Field) -> tuple[Value, Value]:
    word = words.peek()
    if field.type == "ipv4_addr" and "/" in word:
        first, _, length = words.take().partition("/")
        low = parse_value("ipv4_addr", first)
        if not length.isdecimal() or not 0 <= int(length) <= 32:
            raise words.trouble("a prefix length")
        assert isinstance(low, int)
        return low, low + (1 << (32 - int(length))) - 1
    if field.type == "inet_service" and "-" in word:
        first, _, last = words.take().partition("-")
        return parse_value("inet_service", first), parse_value("inet_service", last)
    value = _constant(words, field)
    return value, value


def _constant(words: _Words, field: Field) -> Value:
    word = words.take()
    named: dict[str, dict[str, int]] = {
        "ether_type": _ETHER_TYPES,
        "arp_op": _ARP_OPERATIONS,
        "icmp_type": _ICMP_TYPES,
    }
    match field.type:
        case "ether_type":
            if word in _ETHER_TYPES:
                return _ETHER_TYPES[word]
        case "arp_op" | "icmp_type" | "number":
            known = named.get(field.type, {})
            if word in known or word.isdecimal():
                return known[word] if word in known else int(word)
        case "pkt_type":
            if word in ("broadcast", "multicast"):
                return word
        case "ct_state":
            if word in ("new", "established", "related", "invalid"):
                return word
        case _:
            return parse_value(field.type, word)
    raise words.trouble(f"{field.type} instead of {word}")


def _assign(words: _Words, target: str, type_: str) -> Step:
    if any(words.peek(length) in FIELDS for length in range(1, _LONGEST_FIELD + 1)):
        fields = _read_fields(words)
        if words.skip("map"):
            return Assign(target, source=fields, map=_set_name(words))
        if tuple(one.type for one in fields) != (type_,):
            raise words.trouble(f"a {type_}")
        return Assign(target, source=fields)
    return Assign(target, parse_value(type_, words.take()))


def _status(words: _Words) -> Step:
    negated = words.skip("!")
    bit = words.take()
    if bit not in STATUS:
        raise words.trouble("dnat or confirmed")
    return Compare(STATUS[bit], ((1, 1),), negated)


def _remember(words: _Words) -> Step:
    words.expect("update")
    name = _set_name(words)
    words.expect("{")
    fields = _read_fields(words)
    if words.skip("timeout"):
        words.take()
    over = words.skip("limit", "rate", "over")
    if over:
        _rate(words)
    words.skip("counter")
    words.expect("}")
    return Remember(name, fields, over)


def _log(words: _Words) -> Step:
    """To a group of listeners, never to the kernel's own log."""
    words.expect("log", "prefix")
    prefix = words.take()
    words.expect("group")
    words.take()
    words.expect("snaplen")
    words.take()
    return Log(prefix.strip('"'))


def _number(words: _Words, of: str, is_: str) -> int:
    if not of.isdecimal() or int(of) < 1 or is_ != "0":
        raise words.trouble("mod NUMBER 0")
    return int(of)


def _rate(words: _Words) -> None:
    if not _RATE.fullmatch(words.take()):
        raise words.trouble("a rate")
    if words.skip("burst"):
        words.take()
        words.expect("packets")


def _translate(words: _Words) -> Step:
    kind = words.take()
    if kind == "masquerade":
        return Translate(kind)
    words.expect("ip", "to")
    if any(words.peek(length) in FIELDS for length in range(1, _LONGEST_FIELD + 1)):
        fields = _read_fields(words)
        words.expect("map")
        return Translate(kind, fields, _set_name(words))
    address = parse_value("ipv4_addr", words.take())
    assert isinstance(address, int)
    return Translate(kind, address=address)


def _set_name(words: _Words) -> str:
    word = words.take()
    if not word.startswith("@"):
        raise words.trouble("a set")
    return word[1:]


def _mac(text: str) -> int:
    try:
        return int(text.replace(":", ""), 16)
    except ValueError as error:
        raise NotUnderstood(f"MAC {text}") from error
