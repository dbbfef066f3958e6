"""A guest cannot be somebody else, and what it tries is counted."""

from collections.abc import Callable

import pytest

from weftwork.testing.guests import Guest, arp, ethernet, icmp_echo, ipv4, udp

BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def pair(tenant: Callable) -> tuple[Guest, Guest]:
    mine = tenant()
    return mine.boot("liar"), mine.boot("victim")


def heard(liar: Guest, victim: Guest, frame: bytes, marker: bytes) -> bool:
    """Whether the frame arrives: before, or right behind, an honest one that was sent after it."""
    honest = ipv4(liar.address, victim.address, 1, icmp_echo(data=b"honest" * 4))
    with victim.sniff() as tap:
        liar.send_frame(frame)
        liar.send_frame(ethernet(liar.mac, victim.mac, 0x0800, honest))
        return any(marker in got for got in tap.until(honest[20:]))


def test_an_honest_frame_arrives(pair: tuple[Guest, Guest]) -> None:
    liar, victim = pair
    packet = ipv4(liar.address, victim.address, 1, icmp_echo())
    assert heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0800, packet), icmp_echo())


def test_another_source_mac_is_dropped(pair: tuple[Guest, Guest]) -> None:
    liar, victim = pair
    packet = ipv4(liar.address, victim.address, 1, icmp_echo())
    assert not heard(liar, victim, ethernet("02:57:00:00:0f:0f", victim.mac, 0x0800, packet), icmp_echo())


@pytest.mark.parametrize("source", ["10.20.0.77", "10.20.0.1", "8.8.8.8", "255.255.255.255", "224.0.0.1"])
def test_another_source_address_is_dropped(pair: tuple[Guest, Guest], source: str) -> None:
    liar, victim = pair
    packet = ipv4(source, victim.address, 1, icmp_echo())
    assert not heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0800, packet), icmp_echo())


@pytest.mark.parametrize(
    # OVN answers requests for addresses it knows, and sends them to nobody.
    "operation",
    [pytest.param(1, id="request", marks=pytest.mark.linux), pytest.param(2, id="reply")],
)
def test_another_arp_sender_is_dropped(pair: tuple[Guest, Guest], operation: int) -> None:
    liar, victim = pair
    honest = arp(operation, liar.mac, liar.address, "00:00:00:00:00:00", victim.address)
    assert heard(liar, victim, ethernet(liar.mac, BROADCAST, 0x0806, honest), honest)
    for mac, address in ((liar.mac, "10.20.0.1"), ("02:57:00:00:0f:0f", liar.address), (victim.mac, victim.address)):
        lie = arp(operation, mac, address, "00:00:00:00:00:00", victim.address)
        assert not heard(liar, victim, ethernet(liar.mac, BROADCAST, 0x0806, lie), lie)


def test_a_rogue_dhcp_server_is_not_heard(pair: tuple[Guest, Guest]) -> None:
    liar, victim = pair
    offer = udp(67, 68, b"\x02\x01\x06\x00" + b"rogue offer" * 30)
    packet = ipv4(liar.address, "255.255.255.255", 17, offer)
    assert not heard(liar, victim, ethernet(liar.mac, BROADCAST, 0x0800, packet), b"rogue offer")


def test_a_rogue_router_advertisement_is_not_heard(pair: tuple[Guest, Guest]) -> None:
    liar, victim = pair
    advertisement = b"\x86\x00\x00\x00\x40\x00\x07\x08" + bytes(8)
    header = b"\x60\x00\x00\x00" + len(advertisement).to_bytes(2, "big") + b"\x3a\xff"
    packet = header + bytes.fromhex("fe800000000000000000000000000066") + bytes.fromhex("ff02" + "0" * 27 + "1")
    assert not heard(
        liar, victim, ethernet(liar.mac, "33:33:00:00:00:01", 0x86DD, packet + advertisement), advertisement
    )


@pytest.mark.parametrize("ethertype", [0x8100, 0x88A8], ids=["802.1Q", "802.1ad"])
def test_a_tagged_frame_is_dropped(pair: tuple[Guest, Guest], ethertype: int) -> None:
    liar, victim = pair
    packet = ipv4(liar.address, victim.address, 1, icmp_echo())
    for vlan in (0, 1, 2, 10):
        tagged = vlan.to_bytes(2, "big") + b"\x08\x00" + packet
        assert not heard(liar, victim, ethernet(liar.mac, victim.mac, ethertype, tagged), icmp_echo())


@pytest.mark.parametrize("protocol", [4, 41, 47], ids=["IPIP", "6in4", "GRE"])
def test_a_tunnel_is_dropped(pair: tuple[Guest, Guest], protocol: int) -> None:
    liar, victim = pair
    inner = ipv4("10.20.0.1", victim.address, 1, icmp_echo())
    packet = ipv4(liar.address, victim.address, protocol, inner)
    assert not heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0800, packet), icmp_echo())


@pytest.mark.parametrize("port", [4789, 6081, 8472], ids=["VXLAN", "Geneve", "VXLAN (Linux)"])
def test_an_udp_tunnel_is_dropped(pair: tuple[Guest, Guest], port: int) -> None:
    liar, victim = pair
    packet = ipv4(liar.address, victim.address, 17, udp(5000, port, b"\x08\x00\x00\x00\x00\x00\x01\x00" + icmp_echo()))
    assert not heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0800, packet), icmp_echo())


def test_an_unknown_ethertype_is_dropped(pair: tuple[Guest, Guest]) -> None:
    liar, victim = pair
    assert not heard(liar, victim, ethernet(liar.mac, victim.mac, 0x88B5, b"experimental" * 4), b"experimental")
