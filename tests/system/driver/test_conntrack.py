"""Forgetting the flows of an address, among many of others."""

import errno
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from weftwork.drivers.linux import conntrack
from weftwork.drivers.linux.netlink import (
    CREATE,
    NETFILTER,
    Answer,
    NetlinkError,
    Request,
    Socket,
    attribute,
    attributes,
    nested,
    u8,
)
from weftwork.testing.inside import inside

SCOPE = "weft-flows"
GONE, STAYS, SERVER = IPv4Address("10.9.0.7"), IPv4Address("10.9.0.8"), IPv4Address("10.9.1.1")
OUTSIDE, FORWARDED = IPv4Address("198.51.100.7"), IPv4Address("198.51.100.8")
OF_OTHERS = 20_000
_NEW = 1 << 8
_TCP, _ESTABLISHED = 6, 3


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    subprocess.run(["ip", "netns", "add", SCOPE], check=True)
    yield
    subprocess.run(["ip", "netns", "delete", SCOPE], check=True)


def _tuple(side: int, source: IPv4Address, destination: IPv4Address, ports: tuple[int, int]) -> bytes:
    addresses = nested(1, attribute(1, source.packed), attribute(2, destination.packed))
    numbers = (attribute(2 + place, struct.pack(">H", port)) for place, port in enumerate(ports))
    return nested(side, addresses, nested(2, attribute(1, u8(_TCP)), *numbers))


def _flow(source: IPv4Address, destination: IPv4Address, number: int, answers: tuple[IPv4Address, ...] = ()) -> Request:
    """A connection that the kernel believes to be established; `answers` go from and to, where NAT says so."""
    ports = 1024 + number % 60_000, 1 + number // 60_000
    back_from, back_to = answers or (destination, source)
    state = nested(4, nested(1, attribute(1, u8(_ESTABLISHED))))
    there, back = _tuple(1, source, destination, ports), _tuple(2, back_from, back_to, ports[::-1])
    body = struct.pack("=BBH", 2, 0, 0) + there + back + attribute(7, struct.pack(">I", 600)) + state
    return Request(_NEW, CREATE, body)


def _begin(*flows: Request) -> None:
    def run() -> None:
        with Socket(NETFILTER) as netlink:
            errors = [answer.error for answer in netlink.exchange(flows) if answer.error]
        assert not errors, errors[0]

    inside(SCOPE, run)


def _known() -> int:
    return int(inside(SCOPE, Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text))


def _forget(*addresses: IPv4Address) -> None:
    inside(SCOPE, lambda: conntrack.forget(addresses))


@pytest.fixture(params=[0, errno.EOPNOTSUPP, errno.EINVAL], ids=["this kernel", "Linux before 6.10", "Debian's 6.1"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        return
    exchange = Socket.exchange

    def refused(self: Socket, requests: list[Request]) -> list[Answer]:
        by_filter = [bool(attributes(one.body, 4).keys() & {25}) for one in requests]
        answers = iter(exchange(self, [one for one, is_so in zip(requests, by_filter, strict=True) if not is_so]))
        refusal = NetlinkError(request.param, "not by a filter")
        return [Answer(refusal, []) if is_so else next(answers) for is_so in by_filter]

    monkeypatch.setattr(Socket, "exchange", refused)


@pytest.mark.stock
@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("bystanders", [0, 20], ids=["one address", "many addresses"])
def test_a_flow_is_forgotten_in_whichever_place_the_address_stands_and_no_other_is(bystanders: int) -> None:
    _begin(
        _flow(GONE, SERVER, 1),
        _flow(SERVER, GONE, 2),
        _flow(SERVER, FORWARDED, 3, (GONE, SERVER)),
        _flow(SERVER, STAYS, 4, (STAYS, GONE)),
        _flow(STAYS, SERVER, 5),
        _flow(SERVER, OUTSIDE, 6, (STAYS, SERVER)),
    )

    _forget(GONE, *(IPv4Address("10.9.2.0") + number for number in range(bystanders)))

    assert _known() == 2


def test_what_is_read_and_written_to_forget_a_port_does_not_grow_with_the_flows_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _begin(*(_flow(STAYS, SERVER, number) for number in range(OF_OTHERS)))
    _begin(*(_flow(GONE, SERVER, number) for number in range(10)))
    messages: list[int] = []
    exchange, dump = Socket.exchange, Socket.dump

    def counted_dump(self: Socket, type_: int, body: bytes) -> list[bytes]:
        replies = dump(self, type_, body)
        messages.append(len(replies))
        return replies

    def counted_exchange(self: Socket, requests: list[Request]) -> list[Answer]:
        messages.append(len(requests))
        return exchange(self, requests)

    monkeypatch.setattr(Socket, "dump", counted_dump)
    monkeypatch.setattr(Socket, "exchange", counted_exchange)
    _forget(GONE)
    monkeypatch.undo()

    assert 0 < sum(messages) <= 4 * (1 + 2 * 10)
    assert _known() == OF_OTHERS
