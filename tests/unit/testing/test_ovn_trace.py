"""What is asked of ovn-trace, and what is read from its summaries."""

from ipaddress import IPv4Address

from weftwork.drivers.chassis.microflow import microflow
from weftwork.testing.equivalence import frames
from weftwork.testing.equivalence.opinion import Foretold
from weftwork.testing.equivalence.ovn_trace import outcomes
from weftwork.verifier.packet import UDP, Seen

A, B, OUTER = map(IPv4Address, ("10.0.1.64", "10.0.2.2", "198.51.100.10"))
SENT = Seen(A, 3000, OUTER, 80)
FORWARDED = """# udp
ingress(dp="red", inport="a") {
    ct_lb_mark(backends=10.0.2.2:8080);
    ct_lb_mark {
        ip.ttl--;
        ct_snat_in_czone(198.51.100.10);
        ct_snatin_czone(ip4.src=198.51.100.10) {
            output;
            /* output to "way", type "patch" */;
            /* output to "b", type "" */;
        };
        /* output to "c", type "localnet" */;
    };
};
"""
REFUSED = """# udp
ingress(dp="red", inport="a") {
    icmp4 {
        ip4.dst <-> ip4.src;
        /* output to "a", type "" */;
    };
};
"""
PINGED = """# icmp
ingress(dp="red", inport="a") {
    ip4.dst <-> ip4.src;
    icmp4.type = 0;
    next;
    ct_lb_mark {
        /* output to "a", type "" */;
    };
};
"""


def test_what_comes_out_is_what_the_packet_was_made_on_its_way_and_not_beside_it() -> None:
    assert list(outcomes(FORWARDED, SENT)) == [
        Foretold("b", Seen(OUTER, 3000, B, 8080)),
        Foretold("c", Seen(A, 3000, B, 8080)),
    ]


def test_what_a_router_says_by_itself_is_not_the_packet() -> None:
    assert list(outcomes(REFUSED, SENT)) == []


def test_a_router_that_answers_a_ping_is_told() -> None:
    assert list(outcomes(PINGED, SENT)) == [Foretold("", SENT.reversed)]


def test_a_datagram_is_asked_about_as_it_is_in_the_frame() -> None:
    packet = frames.ipv4(SENT, UDP, frames.udp(SENT, b"x"))
    asked = microflow("a", frames.ethernet(b"\2\0\0\0\0\1", b"\2\0\0\0\0\2", frames.ETHERTYPE_IPV4, packet))

    assert asked == (
        'inport == "a" && eth.src == 02:00:00:00:00:01 && eth.dst == 02:00:00:00:00:02'
        " && ip4.src == 10.0.1.64 && ip4.dst == 198.51.100.10 && ip.ttl == 64 && ip.proto == 17"
        " && udp.src == 3000 && udp.dst == 80"
    )


def test_only_the_first_part_of_a_datagram_has_ports() -> None:
    whole = frames.udp(SENT, frames.payload(1, frames.FRAGMENTED_BYTES))
    first, last = (microflow("a", bytes(14) + part) for part in frames.fragments(SENT, UDP, whole, 1))

    assert "ip.frag == 1 && udp.src == 3000" in first
    assert last.endswith("ip.frag == 3")
