"""Sets of packets as people say them: `tcp 80`, `udp`, `all`."""

from collections.abc import Iterable

from weftwork.verifier.boxes import PROTOCOLS, TRANSPORT_PORTS, Box, Boxes, Span, union
from weftwork.verifier.packet import ICMP, TCP, UDP

TOLD_MAX = 4
_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp"}


def services(packets: Boxes) -> str:
    """Protocols and destination ports, whatever the addresses; the first few."""
    flat = union(Box(protocol=box.protocol, port=box.port) for box in packets)
    told = list(dict.fromkeys(_told(box) for box in _by_protocol(flat)))
    return ", ".join(told[:TOLD_MAX]) + (f" and {len(told) - TOLD_MAX} more" if len(told) > TOLD_MAX else "")


def service(protocol: int, port: int) -> str:
    """One packet's."""
    name = _NAMES.get(protocol, f"protocol {protocol}")
    return f"{name} {port}" if protocol in (TCP, UDP) else name


def _by_protocol(boxes: Iterable[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: (box.protocol, box.port))


def _told(box: Box) -> str:
    if (box.protocol, box.port) == (PROTOCOLS, TRANSPORT_PORTS):
        return "all"
    protocol = _NAMES.get(box.protocol[0], "") if box.protocol[0] == box.protocol[1] else ""
    protocol = protocol or f"protocol {_span(box.protocol)}"
    return protocol if box.port == TRANSPORT_PORTS else f"{protocol} {_span(box.port)}"


def _span(span: Span) -> str:
    low, high = span
    return str(low) if low == high else f"{low}-{high}"
