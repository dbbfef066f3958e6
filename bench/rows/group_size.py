"""Round trip to a guest whose group has 10,000 entries, beside one whose group is empty: must not differ."""

import contextlib
import statistics
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from bench import programs
from bench.echo import Echo
from bench.figure import Figure, interleaved
from bench.run import Run
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import Protocol, Rule, SecurityGroup
from weftwork.testing.guests import Guest

ENTRIES = 10_000
PINGS = 400
PROJECT = 1
# By name, which is the order in which a port's groups are asked: the one that allows comes last.
SIZED, OPEN = "a-sized", "z-open"


def measure(run: Run) -> list[Figure]:
    entries = run.size(ENTRIES, 100)
    with _guests(entries) as (source, to_empty, to_large):
        echoes = Echo(source.name, to_large), Echo(source.name, to_empty)
        figures = [_established(run, entries, *echoes), _new_flows(run, entries, *echoes)]
        for echo in echoes:
            echo.close()
    return figures


def _established(run: Run, entries: int, large: Echo, empty: Echo) -> Figure:
    return _figure(run, f"round trip, {entries:,} entries, established flow", large, empty, lambda: 7)


def _new_flows(run: Run, entries: int, large: Echo, empty: Echo) -> Figure:
    fresh = count(1000)
    return _figure(run, f"round trip, {entries:,} entries, new flows", large, empty, lambda: next(fresh) & 0xFFFF)


def _figure(run: Run, name: str, large: Echo, empty: Echo, identifier: Callable[[], int]) -> Figure:
    pings = run.size(PINGS, 20)
    ours, peer = interleaved(
        run.rounds * 3,
        lambda: _median_us(large, identifier, pings),
        lambda: _median_us(empty, identifier, pings),
    )
    return Figure(name, "µs", ours, peer, "an empty group", must=1.10, aim=1.03)


def _median_us(echo: Echo, identifier: Callable[[], int], pings: int) -> float:
    return statistics.median(echo.round_trip_us(identifier()) for _ in range(pings))


@contextlib.contextmanager
def _guests(entries: int) -> Iterator[tuple[Guest, str, str]]:
    """The guest that pings, and the addresses of the two it pings.

    Every new flow is looked for among the entries, in vain, before the group that allows it is asked.
    """
    with contextlib.ExitStack() as stack:
        names = ("source", "empty", "large")
        guests = [stack.enter_context(Guest.boot(f"bench-{name}")) for name in names]
        groups = (("default",), (f"{SIZED}-empty", OPEN), (f"{SIZED}-large", OPEN))
        ports = [
            programs.port(PROJECT, number, mine, Attachment(AttachmentKind.NETNS, guest.name, "eth0"))
            for number, (guest, mine) in enumerate(zip(guests, groups, strict=True))
        ]
        intent = {programs.owner_of(PROJECT): programs.project(PROJECT, ports, _groups(entries))}
        programs.make_it_so(programs.compiled(intent, programs.profile()))
        stack.callback(programs.make_it_so, frozenset())
        for guest, port in zip(guests, ports, strict=True):
            guest.configure(f"{_address(port)}/20", "10.0.0.1")
        source, _, _ = guests
        for port in ports[1:]:
            assert source.ping(_address(port), tries=5), f"{port.name} does not answer"
        yield source, _address(ports[1]), _address(ports[2])


def _groups(entries: int) -> list[SecurityGroup]:
    owner = programs.owner_of(PROJECT)
    rules = tuple(
        Rule(Protocol.ALL, None, IPv4Network(IPv4Address("100.64.0.0") + 2 * number)) for number in range(entries)
    )
    anywhere = Rule(Protocol.ALL, None, programs.ANYWHERE)
    from_source = Rule(Protocol.ALL, None, IPv4Network("10.0.0.0/20"))
    return [
        SecurityGroup(owner, f"{SIZED}-empty", "", (), (anywhere,), 0),
        SecurityGroup(owner, f"{SIZED}-large", "", rules, (anywhere,), 0),
        SecurityGroup(owner, OPEN, "", (from_source,), (anywhere,), 0),
    ]


def _address(port: Port) -> str:
    return str(port.addresses[0])
