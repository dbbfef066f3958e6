"""DHCPv4 messages in Ethernet frames (RFC 2131, 2132, 3396), both ways, without side effects.

A guest chooses every byte we decode. What cannot be understood is None, never an exception.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

ANY = IPv4Address(0)
EVERYONE = IPv4Address(0xFFFFFFFF)

SERVER_PORT = 67
CLIENT_PORT = 68

BOOT_REQUEST = 1
BOOT_REPLY = 2

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
"""Values of MESSAGE_TYPE (RFC 2132 §9.6)."""

SUBNET_MASK = 1
ROUTER = 3
DNS_SERVERS = 6
HOSTNAME = 12
DOMAIN_NAME = 15
INTERFACE_MTU = 26
BROADCAST_ADDRESS = 28
NTP_SERVERS = 42
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
MESSAGE_TYPE = 53
SERVER_ID = 54
PARAMETER_REQUEST_LIST = 55
MESSAGE = 56
MAX_MESSAGE_SIZE = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
CLIENT_ID = 61
CLASSLESS_ROUTES = 121

HEADERS_BYTES = 28
"""IPv4 and UDP: what RFC 2132 §9.10 counts in a client's MAX_MESSAGE_SIZE beside the message itself."""

_PAD, _OVERLOAD, _END = 0, 52, 255
_COOKIE = b"\x63\x82\x53\x63"
_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_BROADCAST_FLAG = 0x8000
_BOOTP_BYTES_MIN = 300
"""Old relays and clients throw away anything shorter than a BOOTP message (RFC 951; RFC 1542 §2.1)."""
_FRAME_BYTES_MIN = 60

Options = tuple[tuple[int, bytes], ...]
"""(code 1 to 254, value) in the order of the wire; a code occurs once, its parts joined (RFC 3396)."""


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of RFC 2131 §2 that matter on Ethernet, under their names there. `chaddr` has 6 bytes."""

    op: int
    xid: int
    chaddr: bytes
    options: Options
    secs: int = 0
    broadcast: bool = False
    ciaddr: IPv4Address = ANY
    yiaddr: IPv4Address = ANY
    siaddr: IPv4Address = ANY
    giaddr: IPv4Address = ANY

    def option(self, code: int) -> bytes | None:
        return next((value for present, value in self.options if present == code), None)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message with its envelopes; MACs have 6 bytes."""

    source_mac: bytes
    destination_mac: bytes
    source: IPv4Address
    destination: IPv4Address
    source_port: int
    destination_port: int
    message: Message


def decode_frame(frame: bytes) -> Frame | None:
    """None for anything but one whole DHCPv4 message in an untagged, unfragmented IPv4/UDP frame.

    Checksums are not looked at: a guest's kernel leaves them to hardware that a bridge does not have.
    """
    if len(frame) < _ETHERNET.size + _IPV4.size:
        return None
    destination_mac, source_mac, ethertype = _ETHERNET.unpack_from(frame)
    version_and_length, _, total_bytes, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(
        frame, _ETHERNET.size
    )
    header_bytes = (version_and_length & 0x0F) * 4
    udp_at = _ETHERNET.size + header_bytes
    end = _ETHERNET.size + total_bytes
    if (
        ethertype != 0x0800
        or version_and_length >> 4 != 4
        or header_bytes < _IPV4.size
        or fragment & 0x3FFF
        or protocol != 17
        or not udp_at + _UDP.size <= end <= len(frame)
    ):
        return None
    source_port, destination_port, udp_bytes, _ = _UDP.unpack_from(frame, udp_at)
    if not _UDP.size <= udp_bytes <= end - udp_at:
        return None
    message = decode_message(frame[udp_at + _UDP.size : udp_at + udp_bytes])
    if message is None:
        return None
    return Frame(
        source_mac=source_mac,
        destination_mac=destination_mac,
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        source_port=source_port,
        destination_port=destination_port,
        message=message,
    )


def encode_frame(frame: Frame) -> bytes:
    """A frame ready for the wire, checksums included, padded to what Ethernet asks for."""
    body = encode_message(frame.message)
    source, destination = frame.source.packed, frame.destination.packed
    udp_bytes = _UDP.size + len(body)
    pseudo_header = source + destination + struct.pack("!HH", 17, udp_bytes)
    udp = _UDP.pack(frame.source_port, frame.destination_port, udp_bytes, 0)
    # Zero on the wire means "no checksum" (RFC 768), so a sum of zero is sent as its other form.
    udp_sum = _checksum(pseudo_header + udp + body) or 0xFFFF
    total_bytes = _IPV4.size + udp_bytes
    header = _IPV4.pack(0x45, 0xC0, total_bytes, 0, 0x4000, 64, 17, 0, source, destination)
    whole = b"".join(
        (
            _ETHERNET.pack(frame.destination_mac, frame.source_mac, 0x0800),
            header[:10],
            _checksum(header).to_bytes(2, "big"),
            header[12:],
            udp[:6],
            udp_sum.to_bytes(2, "big"),
            body,
        )
    )
    return whole.ljust(_FRAME_BYTES_MIN, b"\0")


def decode_message(body: bytes) -> Message | None:
    """None for BOOTP without DHCP's cookie, for other hardware than Ethernet, and for broken options."""
    if len(body) < _BOOTP.size:
        return None
    op, htype, hlen, _, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie = (
        _BOOTP.unpack_from(body)
    )
    if cookie != _COOKIE or (htype, hlen) != (1, 6):
        return None
    options = _decode_options(body[_BOOTP.size :], file, sname)
    if options is None:
        return None
    return Message(
        op=op,
        xid=xid,
        chaddr=chaddr[:6],
        options=options,
        secs=secs,
        broadcast=bool(flags & _BROADCAST_FLAG),
        ciaddr=IPv4Address(ciaddr),
        yiaddr=IPv4Address(yiaddr),
        siaddr=IPv4Address(siaddr),
        giaddr=IPv4Address(giaddr),
    )


def encode_message(message: Message) -> bytes:
    """At least 300 bytes; options never overflow into other fields."""
    head = _BOOTP.pack(
        message.op,
        1,
        6,
        0,
        message.xid,
        message.secs,
        _BROADCAST_FLAG if message.broadcast else 0,
        message.ciaddr.packed,
        message.yiaddr.packed,
        message.siaddr.packed,
        message.giaddr.packed,
        message.chaddr,
        b"",
        b"",
        _COOKIE,
    )
    options = b"".join(encode_option(code, value) for code, value in message.options)
    return (head + options + bytes((_END,))).ljust(_BOOTP_BYTES_MIN, b"\0")


def encode_option(code: int, value: bytes) -> bytes:
    """One option; a value longer than 255 bytes goes in several parts (RFC 3396)."""
    parts = (value[start : start + 255] for start in range(0, max(len(value), 1), 255))
    return b"".join(bytes((code, len(part))) + part for part in parts)


def bare_message_bytes() -> int:
    """What a message without options occupies, its end mark included."""
    return _BOOTP.size + 1


def _decode_options(field: bytes, file: bytes, sname: bytes) -> Options | None:
    """All options, also those in the fields that OVERLOAD lends to them; the order is RFC 3396's."""
    parts: dict[int, bytes] = {}
    if not _collect(field, parts):
        return None
    overload = parts.pop(_OVERLOAD, None)
    lent = {None: (), b"\x01": (file,), b"\x02": (sname,), b"\x03": (file, sname)}.get(overload)
    if lent is None or not all(_collect(extra, parts) for extra in lent):
        return None
    parts.pop(_OVERLOAD, None)
    return tuple(parts.items())


def _collect(field: bytes, parts: dict[int, bytes]) -> bool:
    """Add a field's options to `parts`; False when one is cut off. A missing end mark is forgiven."""
    at, end = 0, len(field)
    while at < end:
        code = field[at]
        at += 1
        if code == _END:
            return True
        if code == _PAD:
            continue
        if at == end or at + 1 + field[at] > end:
            return False
        length = field[at]
        parts[code] = parts.get(code, b"") + field[at + 1 : at + 1 + length]
        at += 1 + length
    return True


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); a number modulo 0xFFFF is the folded sum of its 16-bit words."""
    total = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    folded = total % 0xFFFF or (0xFFFF if total else 0)
    return 0xFFFF - folded
