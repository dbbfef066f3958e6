"""OpenFlow for one probe: what marks it where it comes in, and takes it where it would go out. Pure.

The mark is a number in the packet's metadata (`pkt_mark`), which no flow of OVN looks at and no wire carries. So the
flows touch the probe alone; should we be killed, they end by themselves.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from weftwork.drivers.linux.probe_packet import ICMP
from weftwork.seams.tracer import Injection

_OURS = 0x77656674 << 32
COOKIES = f"cookie={_OURS:#x}/0xffffffff00000000"
"""All flows of ours, as ovs-ofctl(8) writes it."""
ENTERED, ARRIVED, ASTRAY, ELSEWHERE = _OURS + 1, _OURS + 2, _OURS + 3, _OURS + 4
"""Cookies: it came in; came out where it should; came out at another device; went on to another chassis."""

_PRIORITY = 65000
_LIFE_S = 10
_TO_DEVICES = 65
"""OVN's table in which packets leave for devices and other logical switches (ovn-architecture(7))."""
_FLOW = re.compile(
    r"cookie=[^,]+, (?:table=(?P<table>\d+), )?(?:priority=\d+,?)?(?P<match>\S*) actions=(?P<actions>.*)"
)
_OUTPUT = re.compile(r'(?:^|,)output:"?([^",]+)"?')
_COUNTED = re.compile(r"cookie=(0x[0-9a-f]+),.* n_packets=(\d+),")


@dataclass(frozen=True, slots=True)
class Marked:
    """What the probe is known by when it comes in, beyond what the injection says."""

    number: int
    source_port: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Place:
    """A logical port by the keys of its datapath and of itself, as flows name it."""

    datapath: int
    port: int


def flows_for(injection: Injection, marked: Marked, arrival: Place | None, dump: str) -> Iterator[str]:
    """`dump` is all flows, with the names of devices. `arrival` is where it leaves by, if not at `injection.out`."""
    yield _flow(ENTERED, 0, _as_sent(injection, marked), f"set_field:{marked.number:#x}->pkt_mark,resubmit(,0)")
    mark = f"pkt_mark={marked.number:#x}"
    if arrival:
        match = f"{mark},reg15={arrival.port:#x},metadata={arrival.datapath:#x}"
        yield _flow(ARRIVED, _TO_DEVICES, match, "drop")
    for table, match, device in _outputs(dump):
        cookie = ELSEWHERE
        if table == _TO_DEVICES:
            cookie = ARRIVED if not arrival and device == injection.out else ASTRAY
        yield _flow(cookie, table, f"{mark},{match}" if match else mark, "drop")


def counted(dump: str) -> Counter[int]:
    """Packets by cookie."""
    found: Counter[int] = Counter()
    for cookie, packets in _COUNTED.findall(dump):
        found[int(cookie, 16)] += int(packets)
    return found


def _outputs(dump: str) -> Iterator[tuple[int, str, str]]:
    for line in dump.splitlines():
        found = _FLOW.search(line)
        out = _OUTPUT.search(found["actions"]) if found else None
        if found and out:
            yield int(found["table"] or 0), found["match"], out[1]


def _as_sent(injection: Injection, marked: Marked) -> str:
    words = [
        f'pkt_mark=0,in_port="{injection.device}",ip,dl_src={injection.source_mac},nw_src={injection.source}',
        f"nw_dst={injection.destination},nw_proto={injection.protocol},nw_ttl={marked.ttl}",
    ]
    if injection.protocol == ICMP:
        words.append("icmp_type=8")
    else:
        words.append(f"tp_src={marked.source_port},tp_dst={injection.destination_port}")
    return ",".join(words)


def _flow(cookie: int, table: int, match: str, actions: str) -> str:
    return f"cookie={cookie:#x},table={table},priority={_PRIORITY},hard_timeout={_LIFE_S},{match},actions={actions}"
