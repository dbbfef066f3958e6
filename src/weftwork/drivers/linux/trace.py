"""A packet sent as a guest would send it, and traced rule by rule. It carries a random number by which alone it is
known, and is dropped where it would arrive: no guest and nobody outside ever sees it.

For that, chains stand in our tables for a moment. They touch only packets with the number; should we be killed, the
next probe replaces them, and the next audit, which wants no such chains, takes them away.
"""

import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from weftwork.drivers.linux import namespaces, nft, nft_decode, probe_packet
from weftwork.drivers.linux.driver import LinuxDriver
from weftwork.drivers.linux.netlink import NETFILTER, Socket, as_text, attributes
from weftwork.model.port import AttachmentKind
from weftwork.program.linux import Family
from weftwork.seams.tracer import Injection, NotTraced, Traced

TABLE = "weftwork"
ENTRY, CATCH = "probe_entry", "probe_catch"
WAIT_S = 1.0
"""For the first word of the packet, and for each next one."""

_TRACE_GROUP = 9
_TRACE_MESSAGE = (10 << 8) | 17
_FAMILIES = {1: Family.INET, 2: Family.INET, 7: Family.BRIDGE}
_VERDICTS = {0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}
_ADD_MEMBERSHIP, _SOL_NETLINK = 1, 270


@dataclass(frozen=True, slots=True)
class _Event:
    family: Family
    table: str
    chain: str
    handle: int
    verdict: str
    target: str


class LinuxInjector:
    """Implements `seams.tracer.Injector`. Alone in the scope, or an audit would take the chains for strays."""

    def __init__(self, driver: LinuxDriver) -> None:
        self._driver = driver

    async def inject(self, injection: Injection) -> Traced | NotTraced:
        if injection.attachment.kind is not AttachmentKind.NETNS:
            return NotTraced(
                "the sender's guest is a VM, and only its own kernel can send from its end of a TAP device"
            )
        try:
            return await self._driver.alone(injection.scope, partial(_inject, injection))
        except (OSError, nft.NftError) as error:
            return NotTraced(f"the host cannot trace it: {error}")


def _inject(injection: Injection) -> Traced | NotTraced:
    number = secrets.randbits(32) | 1
    with namespaces.opened(injection.scope) as scope:
        with namespaces.inside(scope):
            listener, netlink = _listener(), Socket(NETFILTER)
        with listener, netlink, _chains(scope, injection, number):
            rules = nft_decode.rules_by_handle(netlink)
            arrival = nft_decode.first_rule(netlink, Family.INET if injection.leaves else Family.BRIDGE, CATCH)
            port = secrets.choice(probe_packet.SOURCE_PORTS)
            probe_packet.send(injection, probe_packet.frame(injection, number, source_port=port))
            events = [event for event in _events(listener) if event.chain != ENTRY]
    if not events:
        return NotTraced("the packet did not come into the data plane")
    last = events[-1]
    delivered = (last.table, last.chain, last.handle) == (TABLE, CATCH, arrival)
    return Traced(delivered, tuple(_line(event, rules) for event in events))


@contextmanager
def _chains(scope: int, injection: Injection, number: int) -> Iterator[None]:
    try:
        with namespaces.inside(scope):
            nft.run(_script(injection, _match(injection.protocol, number)))
        yield
    finally:
        with namespaces.inside(scope):
            for family, name in (("bridge", ENTRY), ("bridge", CATCH), ("inet", CATCH)):
                with suppress(nft.NftError):
                    nft.run(f"flush chain {family} {TABLE} {name}\ndelete chain {family} {TABLE} {name}")


def _script(injection: Injection, match: str) -> str:
    """The first rule of a catch is where it should arrive; the second lets nobody have it who should not."""
    ways_out = ", ".join(f'"{name}"' for name in injection.ways_out)
    lines = [
        *_chain("bridge", ENTRY, "prerouting priority -400"),
        *_chain("bridge", CATCH, "postrouting priority 1000"),
        *_chain("inet", CATCH, "postrouting priority 1000"),
        f"add rule bridge {TABLE} {ENTRY} {match} limit rate 10/second meta nftrace set 1",
        f'add rule {"inet" if injection.leaves else "bridge"} {TABLE} {CATCH} oifname "{injection.out}" {match} drop',
        f"add rule bridge {TABLE} {CATCH} {match} drop",
        f"add rule inet {TABLE} {CATCH} oifname {{ {ways_out} }} {match} drop",
    ]
    return "\n".join(lines)


def _chain(family: str, name: str, hook: str) -> tuple[str, str]:
    """A new one, or the one that was left, emptied."""
    return (
        f"add chain {family} {TABLE} {name} {{ type filter hook {hook}; policy accept; }}",
        f"flush chain {family} {TABLE} {name}",
    )


def _match(protocol: int, number: int) -> str:
    """The number stands where one may choose freely: TCP's sequence, ICMP's identifier and sequence, the beginning of a
    datagram."""
    at = "@th,64,32" if protocol == probe_packet.UDP else "@th,32,32"
    return f"ether type ip ip protocol {protocol} {at} {number:#x}"


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    listener.bind((0, 0))
    listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _TRACE_GROUP)
    listener.settimeout(WAIT_S)
    return listener


def _events(listener: socket.socket) -> Iterator[_Event]:
    """Until it was caught or dropped, or nothing more is said of it."""
    deadline = time.monotonic() + 3 * WAIT_S
    while time.monotonic() < deadline:
        try:
            data = listener.recv(1 << 16)
        except TimeoutError:
            return
        for event in _decoded(data):
            yield event
            if event.verdict == "drop":
                return


def _decoded(data: bytes) -> Iterator[_Event]:
    start = 0
    while start + 16 <= len(data):
        length, type_ = struct.unpack_from("=IH", data, start)
        body = data[start + 16 : start + length]
        start += (length + 3) & ~3
        family = _FAMILIES.get(body[0]) if type_ == _TRACE_MESSAGE else None
        if family is None:
            continue
        found = attributes(body, 4)
        yield _event(family, found)


def _event(family: Family, found: dict[int, bytes]) -> _Event:
    verdict = attributes(found[5]) if 5 in found else {}
    code = struct.unpack(">i", verdict[1])[0] if 1 in verdict else struct.unpack(">i", found.get(16, b"\0\0\0\1"))[0]
    handle = struct.unpack(">Q", found[3])[0] if 3 in found else 0
    table, chain = as_text(found.get(1, b"")), as_text(found.get(2, b""))
    return _Event(family, table, chain, handle, _VERDICTS.get(code, str(code)), as_text(verdict.get(2, b"")))


def _line(event: _Event, rules: dict[tuple[Family, int], str]) -> str:
    """Of an operator's table, whose rules we do not read, where it was."""
    rule = (
        rules.get((event.family, event.handle), "") if event.table == TABLE else f"rule {event.handle} of {event.table}"
    )
    said = f"{event.verdict} {event.target}".strip()
    return f"{event.family.value} {event.chain}: {rule or ('rule' if event.handle else 'policy')} -> {said}"
