"""Sets of packets as unions of boxes: source addresses × destination addresses × protocols × destination ports.

Spans hold both their ends. Packets of protocols without ports have port 0.
"""

from collections.abc import Iterable
from typing import NamedTuple

Span = tuple[int, int]

ADDRESSES: Span = (0, (1 << 32) - 1)
PROTOCOLS: Span = (0, 255)
TRANSPORT_PORTS: Span = (0, 65535)


class Box(NamedTuple):
    source: Span = ADDRESSES
    destination: Span = ADDRESSES
    protocol: Span = PROTOCOLS
    port: Span = TRANSPORT_PORTS


class Point(NamedTuple):
    """One packet, as numbers."""

    source: int
    destination: int
    protocol: int
    port: int


Boxes = tuple[Box, ...]

EVERYTHING: Boxes = (Box(),)
NOTHING: Boxes = ()


def apart(a: Box, b: Box) -> bool:
    """Have they nothing in common? Ports and protocols first: there most boxes differ."""
    a_source, a_destination, a_protocol, a_port = a
    b_source, b_destination, b_protocol, b_port = b
    return (
        a_port[0] > b_port[1]
        or b_port[0] > a_port[1]
        or a_protocol[0] > b_protocol[1]
        or b_protocol[0] > a_protocol[1]
        or a_source[0] > b_source[1]
        or b_source[0] > a_source[1]
        or a_destination[0] > b_destination[1]
        or b_destination[0] > a_destination[1]
    )


def meet(a: Box, b: Box) -> Box | None:
    """What both hold."""
    if apart(a, b):
        return None
    return Box._make(
        (one[0] if one[0] > other[0] else other[0], one[1] if one[1] < other[1] else other[1])
        for one, other in zip(a, b, strict=True)
    )


def intersect(a: Boxes, b: Boxes) -> Boxes:
    """Disjoint when `a` and `b` are."""
    return tuple(both for one in a for other in b if (both := meet(one, other)) is not None)


def subtract(a: Boxes, b: Boxes) -> Boxes:
    """What `a` holds and `b` does not; disjoint when `a` is."""
    left = list(a)
    for other in b:
        if not all(apart(one, other) for one in left):
            left = [piece for one in left for piece in _without(one, other)]
    return tuple(left)


def union(boxes: Iterable[Box]) -> Boxes:
    """The same set in disjoint boxes; the same boxes in any order give the same answer."""
    result: list[Box] = []
    for box in sorted(set(boxes), key=_largest_first):
        result += subtract((box,), tuple(result))
    return tuple(result)


def contains(boxes: Boxes, point: Point) -> bool:
    return any(
        s_low <= point.source <= s_high
        and d_low <= point.destination <= d_high
        and p_low <= point.protocol <= p_high
        and t_low <= point.port <= t_high
        for (s_low, s_high), (d_low, d_high), (p_low, p_high), (t_low, t_high) in boxes
    )


def same(a: Boxes, b: Boxes) -> bool:
    """Do they hold the same packets?"""
    return a == b or not (subtract(a, b) or subtract(b, a))


def _largest_first(box: Box) -> tuple[int, Box]:
    size = 1
    for low, high in box:
        size *= high - low + 1
    return (-size, box)


def _without(box: Box, hole: Box) -> list[Box]:
    """`box` cut along the sides of `hole`, dimension by dimension, less the middle."""
    if apart(box, hole):
        return [box]
    pieces, spans = [], list(box)
    for axis, ((low, high), (hole_low, hole_high)) in enumerate(zip(box, hole, strict=True)):
        if low < hole_low:
            pieces.append(_with(spans, axis, (low, hole_low - 1)))
        if high > hole_high:
            pieces.append(_with(spans, axis, (hole_high + 1, high)))
        spans[axis] = (max(low, hole_low), min(high, hole_high))
    return pieces


def _with(spans: list[Span], axis: int, span: Span) -> Box:
    return Box._make((*spans[:axis], span, *spans[axis + 1 :]))
