"""What a client hears from the responder, state by state of RFC 2131."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from weftwork.base.addresses import Mac
from weftwork.drivers.dhcp import codec
from weftwork.drivers.dhcp.codec import Frame, Message
from weftwork.drivers.dhcp.responder import Answer, Outcome, answer
from weftwork.drivers.dhcp.token_bucket import Limits, TokenBucket
from weftwork.program.dhcp import DhcpBinding, DhcpServer

CLIENT = bytes.fromhex("025700000001")
GATEWAY_MAC = bytes.fromhex("024700000001")
GATEWAY, MINE, OTHER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.7"), IPv4Address("10.0.0.8")
SERVER = DhcpServer(
    scope="weft-1",
    interface="br1",
    server=GATEWAY,
    prefix_length=24,
    dns_servers=(IPv4Address("10.0.0.53"), IPv4Address("10.0.0.54")),
    domain_name="blue.example",
    ntp_servers=(IPv4Address("10.0.0.123"),),
    lease_time_s=3600,
    mtu_bytes=1442,
)
BINDING = DhcpBinding("weft-1", "br1", Mac("02:57:00:00:00:01"), MINE, "web")
BINDINGS = {BINDING.mac: BINDING}


def request(kind: int, *options: tuple[int, bytes], **changes: Any) -> Frame:
    """Broadcast by the known client; `changes` go to the field of that name, in the frame or the message."""
    message = Message(
        op=codec.BOOT_REQUEST,
        xid=0x1234,
        chaddr=CLIENT,
        options=((codec.MESSAGE_TYPE, bytes((kind,))), *options),
    )
    frame = Frame(
        source_mac=CLIENT,
        destination_mac=b"\xff" * 6,
        source=codec.ANY,
        destination=codec.EVERYONE,
        source_port=68,
        destination_port=67,
        message=message,
    )
    in_frame = {name: value for name, value in changes.items() if hasattr(frame, name)}
    in_message = {name: value for name, value in changes.items() if name not in in_frame}
    return replace(frame, **{"message": replace(message, **in_message), **in_frame})


def ask(frame: Frame, server: DhcpServer = SERVER) -> Answer:
    return answer(frame, server=server, bindings=BINDINGS, server_mac=GATEWAY_MAC)


def reply_to(frame: Frame, server: DhcpServer = SERVER) -> Frame:
    reply = ask(frame, server).reply
    assert reply is not None
    assert codec.decode_frame(codec.encode_frame(reply)) == reply
    return reply


def kind_of(frame: Frame) -> int:
    kind = frame.message.option(codec.MESSAGE_TYPE)
    assert kind is not None
    return kind[0]


def requested(address: IPv4Address) -> tuple[int, bytes]:
    return codec.REQUESTED_ADDRESS, address.packed


def server_id(address: IPv4Address) -> tuple[int, bytes]:
    return codec.SERVER_ID, address.packed


def test_a_discover_is_offered_the_address_of_its_port() -> None:
    reply = reply_to(request(codec.DISCOVER, requested(OTHER)))

    assert kind_of(reply) == codec.OFFER
    assert (reply.message.op, reply.message.xid, reply.message.chaddr) == (codec.BOOT_REPLY, 0x1234, CLIENT)
    assert (reply.message.yiaddr, reply.message.ciaddr) == (MINE, codec.ANY)
    assert (reply.source_mac, reply.destination_mac) == (GATEWAY_MAC, CLIENT)
    assert (reply.source, reply.destination) == (GATEWAY, MINE)
    assert (reply.source_port, reply.destination_port) == (67, 68)


def test_all_options_of_the_subnet_are_told() -> None:
    options = dict(reply_to(request(codec.DISCOVER)).message.options)

    assert options == {
        codec.MESSAGE_TYPE: b"\x02",
        codec.SERVER_ID: GATEWAY.packed,
        codec.LEASE_TIME: (3600).to_bytes(4, "big"),
        codec.RENEWAL_TIME: (1800).to_bytes(4, "big"),
        codec.REBINDING_TIME: (3150).to_bytes(4, "big"),
        codec.SUBNET_MASK: b"\xff\xff\xff\x00",
        codec.ROUTER: GATEWAY.packed,
        codec.INTERFACE_MTU: (1442).to_bytes(2, "big"),
        codec.BROADCAST_ADDRESS: bytes((10, 0, 0, 255)),
        codec.DNS_SERVERS: bytes((10, 0, 0, 53, 10, 0, 0, 54)),
        codec.DOMAIN_NAME: b"blue.example",
        codec.NTP_SERVERS: bytes((10, 0, 0, 123)),
        codec.HOSTNAME: b"web",
    }


def test_a_client_that_cannot_take_unicast_yet_is_told_by_ip_broadcast_to_its_mac_only() -> None:
    reply = reply_to(request(codec.DISCOVER, broadcast=True))

    assert reply.destination == codec.EVERYONE
    assert reply.destination_mac == CLIENT
    assert reply.message.broadcast


@pytest.mark.parametrize(
    ("state", "frame"),
    [
        ("selecting", request(codec.REQUEST, server_id(GATEWAY), requested(MINE))),
        ("init-reboot", request(codec.REQUEST, requested(MINE))),
        ("renewing", request(codec.REQUEST, ciaddr=MINE, source=MINE, destination=GATEWAY)),
        ("rebinding", request(codec.REQUEST, ciaddr=MINE, source=MINE)),
    ],
)
def test_a_request_for_its_own_address_is_acknowledged(state: str, frame: Frame) -> None:
    reply = reply_to(frame)

    assert kind_of(reply) == codec.ACK, state
    assert (reply.message.yiaddr, reply.message.ciaddr) == (MINE, frame.message.ciaddr)
    assert reply.destination == MINE
    assert reply.message.option(codec.LEASE_TIME) == (3600).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("state", "frame"),
    [
        ("selecting", request(codec.REQUEST, server_id(GATEWAY), requested(OTHER))),
        ("init-reboot", request(codec.REQUEST, requested(IPv4Address("192.168.1.7")))),
        ("renewing", request(codec.REQUEST, ciaddr=OTHER, source=OTHER, destination=GATEWAY)),
        ("rebinding", request(codec.REQUEST, ciaddr=OTHER, source=OTHER)),
    ],
)
def test_a_request_for_another_address_is_refused(state: str, frame: Frame) -> None:
    reply = reply_to(frame)

    assert kind_of(reply) == codec.NAK, state
    assert (reply.message.yiaddr, reply.message.ciaddr) == (codec.ANY, codec.ANY)
    assert reply.destination == codec.EVERYONE
    assert reply.destination_mac == CLIENT
    assert {code for code, _ in reply.message.options} == {53, 54, 56}


def test_an_inform_gets_options_without_address_or_lease() -> None:
    reply = reply_to(request(codec.INFORM, ciaddr=MINE, source=MINE))

    assert kind_of(reply) == codec.ACK
    assert (reply.message.yiaddr, reply.message.ciaddr, reply.destination) == (codec.ANY, MINE, MINE)
    present = {code for code, _ in reply.message.options}
    assert codec.DNS_SERVERS in present
    assert not present & {codec.LEASE_TIME, codec.RENEWAL_TIME, codec.REBINDING_TIME}


SILENCES = {
    "another MAC as sender": (Outcome.SPOOFED, request(codec.DISCOVER, source_mac=GATEWAY_MAC)),
    "another MAC in the message": (Outcome.SPOOFED, request(codec.DISCOVER, chaddr=GATEWAY_MAC)),
    "an unknown MAC": (
        Outcome.UNKNOWN_CLIENT,
        request(codec.DISCOVER, source_mac=GATEWAY_MAC, chaddr=GATEWAY_MAC),
    ),
    "a relay": (Outcome.RELAYED, request(codec.DISCOVER, giaddr=OTHER)),
    "a reply": (Outcome.NOT_FOR_SERVERS, request(codec.OFFER, op=codec.BOOT_REPLY)),
    "a request to a client": (Outcome.NOT_FOR_SERVERS, request(codec.DISCOVER, destination_port=68)),
    "an offer as request": (Outcome.NOT_FOR_SERVERS, request(codec.OFFER)),
    "a lease query": (Outcome.NOT_FOR_SERVERS, request(10)),
    "another server chosen": (
        Outcome.OTHER_SERVER,
        request(codec.REQUEST, server_id(OTHER), requested(MINE)),
    ),
    "another server addressed": (
        Outcome.OTHER_SERVER,
        request(codec.REQUEST, ciaddr=MINE, destination=IPv4Address("192.0.2.1")),
    ),
    "release": (
        Outcome.RELEASED,
        request(codec.RELEASE, server_id(GATEWAY), ciaddr=MINE, destination=GATEWAY),
    ),
    "decline": (Outcome.DECLINED, request(codec.DECLINE, server_id(GATEWAY), requested(MINE))),
    "a request for nothing": (Outcome.MALFORMED, request(codec.REQUEST, server_id(GATEWAY))),
    "an address of 3 bytes": (
        Outcome.MALFORMED,
        request(codec.REQUEST, (codec.REQUESTED_ADDRESS, b"\x0a\0\0")),
    ),
    "a server of 5 bytes": (Outcome.MALFORMED, request(codec.REQUEST, (codec.SERVER_ID, bytes(5)))),
    "a size of 1 byte": (Outcome.MALFORMED, request(codec.DISCOVER, (codec.MAX_MESSAGE_SIZE, b"\xff"))),
    "an endless client id": (Outcome.MALFORMED, request(codec.DISCOVER, (codec.CLIENT_ID, bytes(256)))),
    "no type": (Outcome.MALFORMED, request(codec.DISCOVER, options=())),
    "a type of two bytes": (Outcome.MALFORMED, request(codec.DISCOVER, options=((53, b"\x01\x01"),))),
    "inform from elsewhere": (Outcome.MALFORMED, request(codec.INFORM, ciaddr=IPv4Address("192.0.2.1"))),
}


@pytest.mark.parametrize(("outcome", "frame"), SILENCES.values(), ids=SILENCES.keys())
def test_silence(outcome: Outcome, frame: Frame) -> None:
    assert ask(frame) == Answer(outcome)


@pytest.mark.parametrize(
    "frame",
    [
        request(codec.DISCOVER, (codec.CLIENT_ID, b"\x01" + CLIENT)),
        request(codec.REQUEST, (codec.CLIENT_ID, b"\x01" + CLIENT), requested(OTHER)),
        request(codec.INFORM, (codec.CLIENT_ID, b"\x01" + CLIENT), ciaddr=MINE),
    ],
)
def test_the_client_identifier_is_echoed_in_every_reply(frame: Frame) -> None:
    assert reply_to(frame).message.option(codec.CLIENT_ID) == b"\x01" + CLIENT


def test_what_was_asked_for_comes_in_the_order_asked_and_essentials_come_unasked() -> None:
    asked = bytes((codec.NTP_SERVERS, codec.DOMAIN_NAME, 252, codec.DOMAIN_NAME))
    reply = reply_to(request(codec.DISCOVER, (codec.PARAMETER_REQUEST_LIST, asked)))

    present = [code for code, _ in reply.message.options]
    assert present[-2:] == [codec.NTP_SERVERS, codec.DOMAIN_NAME]
    assert {codec.SUBNET_MASK, codec.ROUTER, codec.INTERFACE_MTU} < set(present)
    assert codec.DNS_SERVERS not in present


def test_who_asks_for_classless_routes_gets_the_default_route_that_way_too() -> None:
    asked = bytes((codec.CLASSLESS_ROUTES,))
    reply = reply_to(request(codec.DISCOVER, (codec.PARAMETER_REQUEST_LIST, asked)))

    assert reply.message.option(codec.CLASSLESS_ROUTES) == b"\x00" + GATEWAY.packed


@pytest.mark.parametrize(("said", "datagram_bytes"), [(None, 576), (300, 576), (800, 800), (65535, 1442)])
def test_a_datagram_is_never_longer_than_the_client_and_the_link_take(said: int | None, datagram_bytes: int) -> None:
    talkative = replace(SERVER, dns_servers=(GATEWAY,) * 50, ntp_servers=(GATEWAY,) * 300)
    sizes = () if said is None else ((codec.MAX_MESSAGE_SIZE, said.to_bytes(2, "big")),)
    asked = (codec.PARAMETER_REQUEST_LIST, bytes((codec.NTP_SERVERS, codec.DNS_SERVERS, codec.DOMAIN_NAME)))
    client_id = (codec.CLIENT_ID, bytes(255))
    reply = reply_to(request(codec.DISCOVER, asked, client_id, *sizes), talkative)

    assert len(codec.encode_frame(reply)) - 14 <= datagram_bytes
    present = {code for code, _ in reply.message.options}
    assert {codec.SUBNET_MASK, codec.ROUTER, codec.INTERFACE_MTU, codec.LEASE_TIME} < present
    assert (codec.DNS_SERVERS in present) == (datagram_bytes >= 800)
    assert codec.NTP_SERVERS not in present


def test_an_infinite_lease_is_infinite() -> None:
    forever = reply_to(request(codec.DISCOVER), replace(SERVER, lease_time_s=0xFFFFFFFF)).message
    assert forever.option(codec.LEASE_TIME) == b"\xff\xff\xff\xff"


def test_what_the_program_leaves_empty_is_not_mentioned() -> None:
    bare = replace(SERVER, dns_servers=(), ntp_servers=(), domain_name="")
    present = {code for code, _ in reply_to(request(codec.DISCOVER), bare).message.options}
    assert not present & {codec.DNS_SERVERS, codec.NTP_SERVERS, codec.DOMAIN_NAME}


def test_a_bucket_gives_its_reserve_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(Limits(requests_per_s=10, reserve=3), now_s=100.0)

    assert bucket.available(100.0) == 3
    for _ in range(3):
        bucket.spend()
    assert bucket.available(100.0) == 0
    assert bucket.available(100.25) == 2
    assert bucket.available(1000.0) == 3
