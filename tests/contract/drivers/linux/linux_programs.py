"""Programs for the Linux driver's tests: by hand, and drawn by Hypothesis.

Namespaces carry the number of the process, so that several test runs do not meet.
"""

import itertools
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, summarize_address_range

from hypothesis import strategies as st

from weftwork.base.addresses import Mac
from weftwork.program.linux import (
    Bridge,
    Family,
    InterfaceAddress,
    LinkKind,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    Route,
    Sysctl,
    Uplink,
)
from weftwork.program.resource import Program, Resource

PREFIX = f"wd-{os.getpid()}-"
SCOPES = (f"{PREFIX}a", f"{PREFIX}b")
EXTERNAL = f"{PREFIX}ext"
GUESTS = (f"{PREFIX}guest0", f"{PREFIX}guest1", f"{PREFIX}guest2")

FORWARD = "type filter hook forward priority filter; policy drop;"
GUARD = "type filter hook prerouting priority -300; policy drop;"


def mac(number: int) -> Mac:
    return Mac(f"02:57:00:00:{number >> 8:02x}:{number & 255:02x}")


def external() -> frozenset[Resource]:
    return frozenset(
        {
            Namespace(EXTERNAL, "external"),
            Bridge(EXTERNAL, "ext0", Mac("02:47:ff:00:00:01"), 1500),
            InterfaceAddress(EXTERNAL, "ext0", IPv4Address("100.64.0.1"), 10),
        }
    )


def tap(scope: str, number: int, bridge: str = "br1") -> PortLink:
    return PortLink(scope, f"tap{number:012x}", LinkKind.TAP, bridge, mac(number), 1450)


def veth(scope: str, number: int, netns: str, bridge: str = "br1") -> PortLink:
    return PortLink(scope, f"tap{number:012x}", LinkKind.VETH, bridge, mac(number), 1450, 0, netns, f"eth{number}")


def vpc(scope: str = SCOPES[0], number: int = 1) -> frozenset[Resource]:
    """One of everything: what a small tenant with NAT, a TAP and a plugged namespace needs."""
    ports = [tap(scope, 1), veth(scope, 2, GUESTS[0])]
    address = {port: IPv4Address("10.0.0.10") + place for place, port in enumerate(ports)}
    bridge, inet = Family.BRIDGE, Family.INET
    return frozenset(
        {
            Namespace(scope, f"vpc acme/{scope}"),
            Sysctl(scope, "net/ipv4/ip_forward", "1"),
            Sysctl(scope, "net/ipv4/conf/all/arp_ignore", "1"),
            NftTable(scope, bridge),
            NftTable(scope, inet),
            NftSet(scope, bridge, "guard", "ifname . ether_addr . ipv4_addr"),
            NftSet(scope, bridge, "rate", "ifname", "", ("dynamic", "timeout")),
            NftSet(scope, inet, "ingress", "ipv4_addr", "verdict"),
            NftSet(scope, inet, "epoch", "mark", size=8),
            NftSet(scope, inet, "in.web.6.80", "ipv4_addr", "", ("interval",)),
            NftSet(scope, inet, "dnat_to", "ipv4_addr . inet_proto . inet_service", "ipv4_addr . inet_service"),
            NftChain(
                scope,
                bridge,
                "prerouting",
                GUARD,
                (
                    "ether type ip iifname . ether saddr . ip saddr @guard accept",
                    'update @rate { iifname timeout 1m limit rate over 10/second } counter name "rate" drop',
                    'counter name "spoofed_mac" drop',
                ),
            ),
            NftChain(
                scope,
                inet,
                "forward",
                FORWARD,
                ("ct state { established, related } ct mark @epoch accept", "ct reply ip saddr vmap @ingress"),
            ),
            NftChain(
                scope,
                inet,
                "in.web",
                "",
                ("meta l4proto 6 ct reply proto-src 80 ct original ip saddr @in.web.6.80 accept",),
            ),
            NftElement(scope, inet, "epoch", "0x0000002a"),
            NftElement(scope, inet, "in.web.6.80", "192.0.2.0/24"),
            NftElement(scope, inet, "in.web.6.80", "198.51.100.7"),
            NftElement(scope, inet, "in.web.6.80", "203.0.113.5-203.0.113.9"),
            NftElement(scope, inet, "dnat_to", "203.0.113.1 . 6 . 80", "10.0.0.10 . 8080"),
            Bridge(scope, "br1", Mac("02:47:00:00:00:01"), 1450),
            InterfaceAddress(scope, "br1", IPv4Address("10.0.0.1"), 24),
            Uplink(scope, "ext0", Mac(f"02:47:00:00:01:{number:02x}"), 1500, f"up{number}", EXTERNAL, "ext0"),
            InterfaceAddress(scope, "ext0", IPv4Address("100.64.0.10") + number, 32),
            Route(scope, IPv4Network("0.0.0.0/0"), IPv4Address("100.64.0.1"), "ext0"),
            *ports,
            *(Neighbour(scope, "br1", address[port], port.mac) for port in ports),
            *(NftElement(scope, inet, "ingress", str(address[port]), "goto in.web") for port in ports),
            *(NftElement(scope, bridge, "guard", f'"{p.name}" . {p.mac} . {address[p]}') for p in ports),
        }
    )


# --- drawn programs


@dataclass(frozen=True)
class _Kind:
    """A kind of set with a strategy for its elements (element, value)."""

    type: str
    data: str
    flags: tuple[str, ...]
    elements: st.SearchStrategy[list[tuple[str, str]]]


_addresses = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
_macs = st.integers(1, 2**16 - 1).map(mac)
_ports = st.integers(0, 65535)
_marks = st.integers(0, 2**32 - 1).map(lambda number: f"0x{number:08x}")
_classes = st.tuples(*[st.integers(0, 2**16 - 1)] * 2).map(lambda both: f"{both[0]:04x}:{both[1]:04x}")
_devices = st.sampled_from(["tap1", "tap2", "ext0"]).map(lambda name: f'"{name}"')
_chains = st.sampled_from(["goto left", "jump right", "accept", "drop", "return", "continue"])


def _range_words(first: int, last: int) -> str:
    networks = list(summarize_address_range(IPv4Address(first), IPv4Address(last)))
    if len(networks) == 1:
        return str(networks[0]).removesuffix("/32")
    return f"{IPv4Address(first)}-{IPv4Address(last)}"


@st.composite
def _disjoint_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Some touch each other; the first and last address are likely."""
    edge = st.one_of(st.sampled_from([0, 1, 2**32 - 1, 10 << 24, (10 << 24) + 256]), st.integers(0, 2**32 - 1))
    cuts = sorted(draw(st.sets(edge, max_size=6)))
    ranges = [(low, high - 1) for low, high in itertools.pairwise(cuts)]
    return [one for one in ranges if draw(st.booleans())]


@st.composite
def _disjoint_ports(draw: st.DrawFn) -> list[tuple[int, int]]:
    cuts = sorted(draw(st.sets(st.one_of(st.sampled_from([0, 1, 65535]), _ports), max_size=6)))
    return [(low, high - 1) for low, high in itertools.pairwise(cuts) if draw(st.booleans())]


def _set_of(element: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.sets(element, max_size=5).map(lambda found: [(one, "") for one in sorted(found)])


def _map_of(element: st.SearchStrategy[str], value: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.dictionaries(element, value, max_size=5).map(lambda found: sorted(found.items()))


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" . ".join)


_KINDS = (
    _Kind("ipv4_addr", "", (), _set_of(_addresses)),
    _Kind("mark", "", (), _set_of(_marks)),
    _Kind("ifname . ether_addr . ipv4_addr", "", (), _set_of(_joined(_devices, _macs, _addresses))),
    _Kind(
        "ipv4_addr",
        "",
        ("interval",),
        _disjoint_ranges().map(lambda ranges: [(_range_words(*one), "") for one in ranges]),
    ),
    _Kind(
        "inet_service",
        "",
        ("interval",),
        _disjoint_ports().map(lambda r: [(f"{a}-{b}" if a != b else f"{a}", "") for a, b in r]),
    ),
    _Kind("ipv4_addr", "verdict", (), _map_of(_addresses, _chains)),
    _Kind("ipv4_addr", "mark", (), _map_of(_addresses, _marks)),
    _Kind("ipv4_addr", "classid", (), _map_of(_addresses, _classes)),
    _Kind("classid", "verdict", (), _map_of(_classes, _chains)),
    _Kind(
        "ipv4_addr . inet_proto . inet_service",
        "ipv4_addr . inet_service",
        (),
        _map_of(
            _joined(_addresses, st.sampled_from(["6", "17"]), _ports.map(str)), _joined(_addresses, _ports.map(str))
        ),
    ),
    _Kind("ifname", "", ("dynamic", "timeout"), st.just([])),
)

_RULES = (
    "ct state { established, related } accept",
    "ip saddr 10.0.0.0/8 meta l4proto { 6, 17 } th dport 1-1024 accept",
    "meta l4proto 6 ct reply proto-src 8000-9000 ct original ip saddr 10.1.2.3 accept",
    'counter name "denied_in" drop',
    'counter name "denied_out" drop',
    'iifname "ext0" counter drop',
    "limit rate 10/second burst 20 packets accept",
    "goto left",
)
_HOOKS = (
    FORWARD,
    "type filter hook forward priority filter; policy accept;",
    "type filter hook forward priority 10; policy drop;",
    "type filter hook input priority filter; policy drop;",
)


@st.composite
def _nft(draw: st.DrawFn, scope: str) -> set[Resource]:
    family = Family.INET
    found: set[Resource] = {
        NftTable(scope, family),
        NftChain(scope, family, "left", "", tuple(draw(st.lists(st.sampled_from(_RULES[:-1]), max_size=4)))),
        NftChain(scope, family, "right", "", tuple(draw(st.lists(st.sampled_from(_RULES), max_size=4)))),
    }
    lookups: list[str] = []
    for name in draw(st.sets(st.sampled_from(["one", "two", "three"]))):
        kind = draw(st.sampled_from(_KINDS))
        size = 0 if kind.flags else draw(st.sampled_from([0, 64]))
        found.add(NftSet(scope, family, name, kind.type, kind.data, kind.flags, size))
        found |= {NftElement(scope, family, name, *one) for one in draw(kind.elements)}
        if kind.type == "ipv4_addr" and kind.data in ("", "verdict"):
            lookups.append(f"ip saddr {'vmap' if kind.data else ''} @{name} {'' if kind.data else 'accept'}".strip())
    for name in draw(st.sets(st.sampled_from(["hook1", "hook2"]))):
        rules = draw(st.lists(st.sampled_from([*_RULES, *(" ".join(one.split()) for one in lookups)]), max_size=5))
        found.add(NftChain(scope, family, name, draw(st.sampled_from(_HOOKS)), tuple(rules)))
    return found


@st.composite
def _links(draw: st.DrawFn, scope: str, number: int) -> set[Resource]:
    found: set[Resource] = set()
    bridges = sorted(draw(st.sets(st.sampled_from(["br1", "br2"]))))
    for place, name in enumerate(bridges):
        found.add(
            Bridge(scope, name, mac(draw(st.integers(1, 3)) * 256 + place), draw(st.sampled_from([1400, 1450, 1500])))
        )
        if draw(st.booleans()):
            found.add(InterfaceAddress(scope, name, IPv4Address(f"10.{place}.0.1"), draw(st.sampled_from([16, 24]))))
    for slot in draw(st.sets(st.integers(0, 4))) if bridges else ():
        index = slot + 16 * number
        bridge, mtu = draw(st.sampled_from(bridges)), draw(st.sampled_from([1400, 1450]))
        own = mac(index + 4096 * draw(st.integers(1, 2)))
        far = draw(st.sampled_from([*GUESTS, ""]))
        kind, peer = (LinkKind.VETH, f"eth{index}") if far else (LinkKind.TAP, "")
        found.add(PortLink(scope, f"tap{index:012x}", kind, bridge, own, mtu, 0, far, peer))
        if draw(st.booleans()):
            found.add(Neighbour(scope, bridge, IPv4Address(f"10.{bridges.index(bridge)}.1.{slot}"), own))
    if draw(st.booleans()):
        found.add(
            Uplink(
                scope, "ext0", mac(number + 40000), draw(st.sampled_from([1400, 1500])), f"up{number}", EXTERNAL, "ext0"
            )
        )
        found.add(InterfaceAddress(scope, "ext0", IPv4Address("100.64.1.0") + number, 32))
        if draw(st.booleans()):
            gateway = IPv4Address(draw(st.sampled_from(["100.64.0.1", "100.64.0.2"])))
            found.add(Route(scope, IPv4Network("0.0.0.0/0"), gateway, "ext0"))
    return found


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """One to three namespaces with anything in them that the kernel here can hold."""
    found: set[Resource] = set(external())
    for number, scope in enumerate(SCOPES):
        if not draw(st.booleans()):
            continue
        found.add(Namespace(scope, draw(st.sampled_from(["vpc acme/red", "vpc acme/blue"]))))
        found |= {
            Sysctl(scope, name, draw(st.sampled_from(["0", "1"])))
            for name in draw(st.sets(st.sampled_from(["net/ipv4/ip_forward", "net/ipv4/conf/all/arp_ignore"])))
        }
        found |= draw(_nft(scope)) if draw(st.booleans()) else set()
        found |= draw(_links(scope, number))
    return frozenset(found)
