"""What a shot and the answer to it look like on the wire."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.testing.equivalence import frames
from weftwork.testing.equivalence.frames import Arrival
from weftwork.testing.equivalence.shots import Form, Shot
from weftwork.verifier.packet import ICMP, TCP, UDP, Phase, Probe, Seen, Verdict

_SEQUENCE, _ACKNOWLEDGED = 1000, 5000
_PAYLOAD_BYTES = 64


@dataclass(slots=True)
class Flow:
    """A flow that was delivered: how it arrived, and how far its TCP has come."""

    shot: Shot
    verdict: Verdict
    arrival: Arrival
    turn: int = 0


def packets_of(shot: Shot, source: IPv4Address, number: int, turn: int) -> tuple[bytes, ...]:
    probe = shot.probe
    seen = Seen(source, probe.source_port, probe.destination, probe.destination_port)
    data = frames.payload(number)
    match probe.protocol, shot.form:
        case _, Form.UNREACHABLE:
            quoted = frames.ipv4(seen.reversed, UDP, frames.udp(seen.reversed, data))
            return (frames.ipv4(seen, ICMP, frames.port_unreachable(number, quoted)),)
        case 1, Form.ECHO_REPLY:
            return (frames.ipv4(seen, ICMP, frames.echo(frames.ECHO_REPLY, probe.source_port, data)),)
        case 1, _:
            return (frames.ipv4(seen, ICMP, frames.echo(frames.ECHO, probe.source_port, data)),)
        case 6, form:
            flags, sequence, acknowledged = _tcp_turn(probe, form, turn)
            return (frames.ipv4(seen, TCP, frames.tcp(seen, flags, sequence, acknowledged, data)),)
        case 17, Form.FRAGMENTS | Form.FIRST_FRAGMENT | Form.LAST_FRAGMENT:
            whole = frames.udp(seen, frames.payload(number, frames.FRAGMENTED_BYTES))
            first, last = frames.fragments(seen, UDP, whole, number)
            match shot.form:
                case Form.FIRST_FRAGMENT:
                    return (first,)
                case Form.LAST_FRAGMENT:
                    return (last,)
            return (first, last)
        case 17, _:
            return (frames.ipv4(seen, UDP, frames.udp(seen, data)),)
    return (frames.ipv4(seen, probe.protocol, data),)


def _tcp_turn(probe: Probe, form: Form, turn: int) -> tuple[int, int, int]:
    """Flags, sequence and acknowledgement. Turn 0 is the first segment; later ones follow a reply."""
    match form:
        case Form.SYN_ACK:
            return frames.SYN | frames.ACK, _SEQUENCE, _ACKNOWLEDGED
        case Form.RESET:
            return frames.RST, _SEQUENCE, 0
        case Form.FINAL:
            return frames.FIN | frames.ACK, _SEQUENCE, _ACKNOWLEDGED
    middle = probe.phase is Phase.MIDDLE
    if turn == 0:
        return (frames.ACK, _SEQUENCE, _ACKNOWLEDGED) if middle else (frames.SYN, _SEQUENCE, 0)
    begun = _SEQUENCE + (0 if middle else 1)
    return frames.ACK, begun + _PAYLOAD_BYTES, _ACKNOWLEDGED + _PAYLOAD_BYTES + (0 if middle else 1)


def answer_frame(flow: Flow, phase: Phase, number: int, own_mac: bytes) -> bytes:
    """From where the flow arrived, to where it came from, in the words in which it arrived."""
    seen = flow.verdict.seen
    assert seen is not None
    back, probe, data = seen.reversed, flow.shot.probe, frames.payload(number)
    if phase is Phase.ERROR:
        came = packets_of(flow.shot, seen.source, flow.arrival.number, 0)[0][20:]
        head = came[:20]
        ports = (seen.source_port, seen.destination_port)
        if probe.protocol in (TCP, UDP):
            head = b"".join(port.to_bytes(2, "big") for port in ports) + came[4:20]
        quoted = frames.ipv4(seen, probe.protocol, head + bytes(8))
        packet = frames.ipv4(back, ICMP, frames.port_unreachable(number, quoted))
    elif probe.protocol == TCP:
        middle = probe.phase is Phase.MIDDLE
        flags = frames.ACK if middle or flow.turn else frames.SYN | frames.ACK
        begun = _SEQUENCE + _PAYLOAD_BYTES + (0 if middle else 1)
        sequence = _ACKNOWLEDGED
        if flow.turn:
            sequence += _PAYLOAD_BYTES + (0 if middle else 1)
            begun += _PAYLOAD_BYTES
        packet = frames.ipv4(back, TCP, frames.tcp(back, flags, sequence, begun, data))
    elif probe.protocol == UDP:
        packet = frames.ipv4(back, UDP, frames.udp(back, data))
    elif probe.protocol == ICMP:
        packet = frames.ipv4(back, ICMP, frames.echo(frames.ECHO_REPLY, seen.source_port, data))
    else:
        packet = frames.ipv4(back, probe.protocol, data)
    return frames.ethernet(own_mac, flow.arrival.source_mac, frames.ETHERTYPE_IPV4, packet)
