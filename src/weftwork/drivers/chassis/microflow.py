"""A frame in the words in which ovn-trace(8) is asked about one."""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address


def microflow(inport: str, frame: bytes) -> str:
    """An IPv4 frame as ovn-sb(5) writes what a packet is."""
    packet = frame[14:]
    place = int.from_bytes(packet[6:8], "big")
    words = [
        f'inport == "{inport}"',
        f"eth.src == {frame[6:12].hex(':')} && eth.dst == {frame[:6].hex(':')}",
        f"ip4.src == {IPv4Address(packet[12:16])} && ip4.dst == {IPv4Address(packet[16:20])}",
        f"ip.ttl == {packet[8]} && ip.proto == {packet[9]}",
    ]
    if place & 0x3FFF:
        words.append(f"ip.frag == {3 if place & 0x1FFF else 1}")
    if not place & 0x1FFF:
        words += _transport(packet[9], packet[20:])
    return " && ".join(words)


def _transport(protocol: int, data: bytes) -> Iterator[str]:
    match protocol:
        case 1:
            yield f"icmp4.type == {data[0]} && icmp4.code == {data[1]}"
        case 6:
            source, destination = struct.unpack_from("!HH", data)
            yield f"tcp.src == {source} && tcp.dst == {destination} && tcp.flags == {data[13]}"
        case 17:
            source, destination = struct.unpack_from("!HH", data)
            yield f"udp.src == {source} && udp.dst == {destination}"
