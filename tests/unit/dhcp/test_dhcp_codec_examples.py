"""Corners of the DHCP wire format, written out by hand from RFC 2131, 2132 and 3396."""

import pytest

from weftwork.drivers.dhcp.codec import decode_frame, decode_message, encode_frame, encode_option

HEAD = (
    b"\x01\x01\x06\x00"  # request, Ethernet, 6 bytes of address, no hops
    b"\xde\xad\xbe\xef\x00\x07\x80\x00"  # xid, 7 s, broadcast flag
    + bytes(16)
    + b"\x02\x57\x00\x00\x00\x01"
    + bytes(10)
)
COOKIE = b"\x63\x82\x53\x63"


def body(options: bytes, *, sname: bytes = b"", file: bytes = b"", head: bytes = HEAD, cookie: bytes = COOKIE) -> bytes:
    return head + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + cookie + options


def frame(payload: bytes, *, ip: bytes = b"") -> bytes:
    """By hand, with checksums that are wrong, as a guest's kernel leaves them to its hardware."""
    udp = b"\x00\x44\x00\x43" + (8 + len(payload)).to_bytes(2, "big") + b"\xba\xad" + payload
    header = b"\x00" + (20 + len(ip) + len(udp)).to_bytes(2, "big") + bytes(4) + b"\x40\x11\xba\xad" + bytes(4)
    version = bytes((0x45 + len(ip) // 4,))
    return b"\xff" * 6 + b"\x02\x57\x00\x00\x00\x01\x08\x00" + version + header + b"\xff" * 4 + ip + udp


DISCOVER = body(b"\x35\x01\x01\xff")


def test_a_discover_is_read_field_by_field() -> None:
    decoded = decode_frame(frame(DISCOVER))
    assert decoded is not None
    assert decoded.source_mac == decoded.message.chaddr == bytes.fromhex("025700000001")
    assert (decoded.source_port, decoded.destination_port) == (68, 67)
    assert str(decoded.destination) == "255.255.255.255"
    message = decoded.message
    assert (message.op, message.xid, message.secs, message.broadcast) == (1, 0xDEADBEEF, 7, True)
    assert message.options == ((53, b"\x01"),)


def test_ipv4_options_are_stepped_over() -> None:
    decoded = decode_frame(frame(DISCOVER, ip=b"\x94\x04\x00\x00"))
    assert decoded is not None
    assert decoded.message.xid == 0xDEADBEEF


def test_padding_behind_the_datagram_is_not_part_of_it() -> None:
    assert decode_frame(frame(DISCOVER) + b"\x35\x01\x07") == decode_frame(frame(DISCOVER))


def test_an_encoded_frame_is_never_shorter_than_bootp() -> None:
    decoded = decode_frame(frame(DISCOVER))
    assert decoded is not None
    assert len(encode_frame(decoded)) == 14 + 20 + 8 + 300


def test_a_missing_end_mark_is_forgiven() -> None:
    decoded = decode_message(body(b"\x35\x01\x01"))
    assert decoded is not None
    assert decoded.option(53) == b"\x01"


def test_parts_of_a_long_option_are_joined_in_order() -> None:
    decoded = decode_message(body(b"\x0f\x03abc\x35\x01\x01\x0f\x03def\xff"))
    assert decoded is not None
    assert decoded.options == ((15, b"abcdef"), (53, b"\x01"))
    assert encode_option(6, bytes(300)) == b"\x06\xff" + bytes(255) + b"\x06\x2d" + bytes(45)


def test_an_option_may_go_on_in_the_file_field_and_then_in_sname() -> None:
    overloaded = body(b"\x34\x01\x03\x0f\x01a\xff", file=b"\x0f\x01b\xff", sname=b"\x0f\x01c\x35\x01\x03\xff")
    decoded = decode_message(overloaded)
    assert decoded is not None
    assert decoded.options == ((15, b"abc"), (53, b"\x03"))


def test_fields_that_are_not_lent_are_not_read() -> None:
    decoded = decode_message(body(b"\x35\x01\x01\xff", file=b"\x35\x01\x03\xff"))
    assert decoded is not None
    assert decoded.option(53) == b"\x01"


@pytest.mark.parametrize(
    "broken",
    [
        body(b"\x35\x01\x01\xff", cookie=b"\x63\x82\x53\x64"),
        body(b"\x35\x01\x01\xff", head=b"\x01\x06" + HEAD[2:]),
        body(b"\x35\x01\x01\xff", head=b"\x01\x01\x10" + HEAD[3:]),
        body(b"\x35"),
        body(b"\x35\x02\x01"),
        body(b"\x34\x01\x04\x35\x01\x01\xff"),
        body(b"\x34\x00\x35\x01\x01\xff"),
        body(b"\x34\x01\x01\x35\x01\x01\xff", file=b"\x0f" + b"\x80" * 127),
        body(b"")[:-1],
        b"",
    ],
    ids=[
        "cookie",
        "hardware type",
        "hardware address length",
        "no length",
        "value cut off",
        "overload value",
        "overload without value",
        "overloaded field cut off",
        "no room for a cookie",
        "empty",
    ],
)
def test_a_broken_message_is_nothing(broken: bytes) -> None:
    assert decode_message(broken) is None
    assert decode_frame(frame(broken)) is None


@pytest.mark.parametrize(
    ("at", "value"),
    [(12, 0x86), (14, 0x65), (14, 0x44), (20, 0x20), (21, 0x01), (23, 6), (16, 0xFF), (38, 0xFF), (39, 0x10)],
    ids=[
        "not IPv4 by EtherType",
        "not IPv4 by version",
        "header too short",
        "more fragments",
        "fragment offset",
        "TCP",
        "datagram longer than the frame",
        "UDP longer than the datagram",
        "UDP shorter than BOOTP",
    ],
)
def test_a_frame_that_is_something_else_is_nothing(at: int, value: int) -> None:
    changed = bytearray(frame(DISCOVER))
    changed[at] = value
    assert decode_frame(bytes(changed)) is None
