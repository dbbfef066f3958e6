"""Laws of the DHCP codec: what we encode we decode, and nothing a guest sends raises."""

from ipaddress import IPv4Address

from hypothesis import example, given
from hypothesis import strategies as st

from weftwork.drivers.dhcp import codec
from weftwork.drivers.dhcp.codec import Frame, Message

OVERLOAD = 52

macs = st.binary(min_size=6, max_size=6)
addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
codes = st.integers(1, 254).filter(lambda code: code != OVERLOAD)
options = st.lists(
    st.tuples(codes, st.binary(max_size=40) | st.binary(min_size=250, max_size=600)),
    max_size=8,
    unique_by=lambda option: option[0],
).map(tuple)
messages = st.builds(
    Message,
    op=st.integers(0, 255),
    xid=st.integers(0, 2**32 - 1),
    chaddr=macs,
    options=options,
    secs=st.integers(0, 2**16 - 1),
    broadcast=st.booleans(),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
)
frames = st.builds(
    Frame,
    source_mac=macs,
    destination_mac=macs,
    source=addresses,
    destination=addresses,
    source_port=st.integers(0, 2**16 - 1),
    destination_port=st.integers(0, 2**16 - 1),
    message=messages,
)


def sum_of_words(data: bytes) -> int:
    """RFC 1071 word by word: another way than the codec's."""
    total = 0
    for start in range(0, len(data), 2):
        total += int.from_bytes(data[start : start + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(frames)
def test_what_is_encoded_decodes_to_the_same(frame: Frame) -> None:
    assert codec.decode_frame(codec.encode_frame(frame)) == frame


@given(frames)
def test_a_frame_carries_right_checksums_and_lengths(frame: Frame) -> None:
    wire = codec.encode_frame(frame)
    header, udp = wire[14:34], wire[34:]
    assert sum_of_words(header) == 0xFFFF
    assert sum_of_words(header[12:20] + b"\0\x11" + udp[4:6] + udp) == 0xFFFF
    assert udp[6:8] != b"\0\0", "which would mean: no checksum"
    assert int.from_bytes(header[2:4], "big") == len(wire) - 14
    assert int.from_bytes(udp[4:6], "big") == len(udp) >= 8 + 300


@given(frames, st.data())
def test_changed_bytes_never_raise(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(codec.encode_frame(frame))
    for _ in range(data.draw(st.integers(1, 6))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    decoded = codec.decode_frame(bytes(wire))
    assert decoded is None or len(decoded.message.chaddr) == 6


@given(frames, st.data())
def test_a_frame_that_was_cut_off_is_nothing(frame: Frame, data: st.DataObject) -> None:
    wire = codec.encode_frame(frame)
    assert codec.decode_frame(wire[: data.draw(st.integers(0, len(wire) - 1))]) is None


@given(st.binary(max_size=700))
@example(b"")
def test_random_bytes_never_raise(noise: bytes) -> None:
    assert codec.decode_frame(noise) is None or len(noise) > 280


@given(st.binary(max_size=400), st.binary(min_size=64, max_size=64), st.binary(min_size=128, max_size=128))
def test_random_options_never_raise(field: bytes, sname: bytes, file: bytes) -> None:
    head = b"\x01\x01\x06" + bytes(25) + b"\x02\x57\0\0\0\x01" + bytes(10)
    decoded = codec.decode_message(head + sname + file + b"\x63\x82\x53\x63" + field)
    if decoded is not None:
        assert len({code for code, _ in decoded.options}) == len(decoded.options)
        assert all(0 < code < 255 for code, _ in decoded.options)


@given(options)
def test_options_survive_in_the_fields_that_overload_lends(given_options: codec.Options) -> None:
    """Each option goes where it fits first: to the options field, to `file`, to `sname`."""
    room = {"options": 60, "file": 127, "sname": 63}
    fields = {"options": bytes((OVERLOAD, 1, 3)), "file": b"", "sname": b""}
    placed: dict[str, list[tuple[int, bytes]]] = {name: [] for name in fields}
    for code, value in given_options:
        encoded = bytes((code, len(value) % 256)) + value
        home = next((name for name in fields if len(fields[name]) + len(encoded) <= room[name]), None)
        if home is not None and len(value) < 256:
            fields[home] += encoded
            placed[home].append((code, value))
    head = b"\x01\x01\x06" + bytes(25) + b"\x02\x57\0\0\0\x01" + bytes(10)
    body = (
        head
        + (fields["sname"] + b"\xff").ljust(64, b"\0")
        + (fields["file"] + b"\xff").ljust(128, b"\0")
        + b"\x63\x82\x53\x63"
        + fields["options"]
        + b"\xff"
    )
    decoded = codec.decode_message(body)
    assert decoded is not None
    assert list(decoded.options) == placed["options"] + placed["file"] + placed["sname"]
