"""nftables sets and maps as values: elements parsed once, by the types of the set."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from weftwork.program.linux import NftSet

Value = int | str
Values = tuple[Value, ...]


class NotUnderstood(Exception):
    """A program says what the verifier does not know: we do not guess."""


class Elements:
    """A set, or a map where there is data. Of a set with intervals, the elements are networks."""

    def __init__(self, declared: NftSet, elements: "Elements | None" = None) -> None:
        self.types = tuple(declared.type.split(" . "))
        self.data_types = tuple(declared.data.split(" . ")) if declared.data else ()
        self.dynamic = "dynamic" in declared.flags
        self.interval = "interval" in declared.flags
        unknown = {*self.types, *self.data_types} - _TYPES - {"verdict"}
        if unknown or set(declared.flags) - {"dynamic", "timeout", "interval"}:
            raise NotUnderstood(f"set {declared.name}: {declared.type} : {declared.data} {declared.flags}")
        if self.interval and self.types != ("ipv4_addr",):
            raise NotUnderstood(f"set {declared.name}: intervals of {declared.type}")
        self._values: dict[Values, Values] = {}
        self._lengths: Counter[int] = Counter()
        self._keys: defaultdict[Values, dict[Values, None]] = defaultdict(dict)
        if elements is not None and len(elements):
            if (elements.types, elements.data_types, elements.interval) != (self.types, self.data_types, self.interval):
                raise NotUnderstood(f"set {declared.name}: its elements are of {elements.types}")
            self._values, self._lengths, self._keys = elements._values, elements._lengths, elements._keys

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[tuple[Values, Values]]:
        """Keys and data; a network is its first address and its prefix length."""
        return iter(self._values.items())

    def put(self, element: str, value: str) -> None:
        key = self.key_of(element)
        if self.interval and key not in self._values:
            self._lengths[_number(key[1])] += 1
        if self.data_types:
            self._forget(key)
            data = _parse(value, self.data_types)
            self._values[key] = data
            self._keys[data][key] = None
        else:
            self._values[key] = ()

    def drop(self, element: str) -> None:
        key = self.key_of(element)
        self._forget(key)
        if self._values.pop(key, None) is not None and self.interval:
            self._lengths[_number(key[1])] -= 1

    def keys_with(self, data: Values) -> Iterable[Values]:
        """The keys of a map for which it has this data."""
        return self._keys.get(data, ())

    def _forget(self, key: Values) -> None:
        old = self._values.get(key)
        if old:
            self._keys[old].pop(key, None)
            if not self._keys[old]:
                del self._keys[old]

    @contextmanager
    def holding(self, elements: Iterable[str]) -> Iterator[None]:
        """These and no others, for a while."""
        values, lengths = self._values, self._lengths
        self._values, self._lengths = {}, Counter()
        try:
            for element in elements:
                self.put(element, "")
            yield
        finally:
            self._values, self._lengths = values, lengths

    def key_of(self, element: str) -> Values:
        if not self.interval:
            return _parse(element, self.types)
        network = _network(element)
        return int(network.network_address), network.prefixlen

    def get(self, key: Values) -> Values | None:
        """The data of an element (empty in a set), None where there is none."""
        if not self.interval:
            return self._values.get(key)
        address = _number(key[0])
        for length, held in self._lengths.items():
            if held:
                shift = 32 - length
                found = self._values.get((address >> shift << shift, length))
                if found is not None:
                    return found
        return None


_TYPES = frozenset(("ifname", "ether_addr", "ipv4_addr", "inet_proto", "inet_service", "mark", "classid", "nf_proto"))


@lru_cache(maxsize=16384)
def parse_value(type_: str, text: str) -> Value:
    """One value as nft prints it, numerically."""
    try:
        match type_:
            case "ifname":
                return text.strip('"')
            case "ipv4_addr":
                return int(IPv4Address(text))
            case "mark":
                return int(text, 0)
            case "inet_proto" | "inet_service" | "nf_proto":
                return int(text)
            case "ether_addr" | "classid":
                return text
    except ValueError as error:
        raise NotUnderstood(f"{text} as {type_}") from error
    raise NotUnderstood(f"type {type_}")


def _parse(text: str, types: tuple[str, ...]) -> Values:
    if types == ("verdict",):
        kind, _, chain = text.partition(" ")
        if kind not in ("goto", "jump", "accept", "drop"):
            raise NotUnderstood(f"verdict {text}")
        return kind, chain
    parts = text.split(" . ")
    if len(parts) != len(types):
        raise NotUnderstood(f"element {text} of {types}")
    return tuple(parse_value(type_, part) for type_, part in zip(types, parts, strict=True))


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise NotUnderstood(f"network {text}") from error


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
