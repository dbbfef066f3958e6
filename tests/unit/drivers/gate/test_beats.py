"""Beats that are not of the seats, or are heard a second time, are not believed."""

from ipaddress import IPv4Address

from weftwork.drivers.gate.beats import Signed
from weftwork.drivers.gate.election import Beat

GATE = IPv4Address("192.0.2.100")
BEAT = Beat(1, is_active=True)


def test_what_one_seat_writes_another_reads_once() -> None:
    writer, reader = Signed(GATE, "secret", 1000), Signed(GATE, "secret", 5)
    said = writer.write(BEAT)

    assert reader.read(said) == BEAT
    assert reader.read(said) is None
    assert reader.read(writer.write(Beat(1, is_active=False, leaves=True))) == Beat(1, is_active=False, leaves=True)


def test_nobody_else_is_believed() -> None:
    reader = Signed(GATE, "secret", 5)
    said = Signed(GATE, "secret", 1000).write(BEAT)

    assert reader.read(Signed(GATE, "guess", 1000).write(BEAT)) is None
    assert reader.read(Signed(IPv4Address("192.0.2.99"), "secret", 1000).write(BEAT)) is None
    assert reader.read(said[:-1]) is None
    assert reader.read(b"") is None
    altered = said[:8] + bytes([0]) + said[9:]
    assert reader.read(altered) is None
