"""Resources as lines of bgpd's configuration, and back: what is read is what the daemon says that it runs."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni

HOLD_S, KEEPALIVE_S, RETRY_S = 9, 3, 1
COALESCE_MS = 50
"""How long bgpd waits for more to say before it says what it has; its own default is a second."""

_FAMILY = "address-family l2vpn evpn"
_ROUTER = re.compile(r"router bgp (\d+)")
_NEIGHBOR = re.compile(r"neighbor (\S+) (.*)")
_VNI = re.compile(r"vni (\d+)")
_TARGET = re.compile(r"route-target (import|export) (\S+)")

Configured = BgpRouter | BgpPeer | EvpnVni


def text_of(router: BgpRouter, others: Iterable[BgpPeer | EvpnVni]) -> str:
    """All of it, for a daemon that starts."""
    lines = list(router_lines(router))
    for one in sorted(others, key=lambda one: one.key):
        lines += peer_lines(one) if isinstance(one, BgpPeer) else [*vni_lines(one)]
    return "\n".join((*lines, ""))


def router_lines(router: BgpRouter) -> Iterator[str]:
    """Nothing in a fleet of ours is in two places on purpose: what says so moves, however often."""
    yield f"router bgp {router.asn}"
    yield f"bgp router-id {router.router_id}"
    yield "no bgp default ipv4-unicast"
    yield f"coalesce-time {COALESCE_MS}"
    yield _FAMILY
    yield "advertise-all-vni"
    yield "no dup-addr-detection"
    yield "exit-address-family"


def peer_lines(peer: BgpPeer) -> list[str]:
    neighbor = f"neighbor {peer.address}"
    return [
        f"{neighbor} remote-as {peer.asn}",
        f"{neighbor} timers {KEEPALIVE_S} {HOLD_S}",
        f"{neighbor} timers connect {RETRY_S}",
        f"{neighbor} bfd",
        _FAMILY,
        f"{neighbor} activate",
        f"{'' if peer.is_client else 'no '}{neighbor} route-reflector-client",
        "exit-address-family",
    ]


def without_peer(peer: BgpPeer) -> list[str]:
    return [f"no neighbor {peer.address}"]


def vni_lines(vni: EvpnVni) -> Iterator[str]:
    """The VPC's target first: bgpd takes its own default for said already, and forgets it when another one comes."""
    yield _FAMILY
    yield f"vni {vni.vni}"
    for target in sorted(vni.exports, key=lambda target: target in vni.imports):
        yield f"route-target export {target}"
    for target in vni.imports:
        yield f"route-target import {target}"
    yield "exit-vni"
    yield "exit-address-family"


def without_vni(vni: EvpnVni) -> list[str]:
    return [_FAMILY, f"no vni {vni.vni}", "exit-address-family"]


def running(text: str) -> Iterator[Configured]:
    """From `show running-config`. What is not complete shows as different from anything one can ask for."""
    asn, router_id, announces = 0, IPv4Address(0), False
    peers: dict[str, dict[str, str]] = {}
    targets: dict[int, dict[str, list[str]]] = {}
    vni = 0
    for line in map(str.strip, text.splitlines()):
        if found := _ROUTER.fullmatch(line):
            asn = int(found[1])
        elif line.startswith("bgp router-id "):
            router_id = IPv4Address(line.rpartition(" ")[2])
        elif line == "advertise-all-vni":
            announces = True
        elif found := _NEIGHBOR.fullmatch(line):
            word, _, rest = found[2].partition(" ")
            peers.setdefault(found[1], {})[word] = rest
        elif found := _VNI.fullmatch(line):
            vni = int(found[1])
            targets[vni] = {"import": [], "export": []}
        elif vni and (found := _TARGET.fullmatch(line)):
            targets[vni][found[1]].append(found[2])
        elif line == "exit-vni":
            vni = 0
    if asn:
        yield BgpRouter(asn if announces else 0, router_id)
        yield from (_peer(address, words) for address, words in peers.items())
        yield from (_vni(number, asn, said) for number, said in targets.items())


def _peer(address: str, words: dict[str, str]) -> BgpPeer:
    complete = "activate" in words and "bfd" in words and words.get("remote-as", "").isdigit()
    return BgpPeer(IPv4Address(address), int(words["remote-as"]) if complete else 0, "route-reflector-client" in words)


def _vni(number: int, asn: int, said: dict[str, list[str]]) -> EvpnVni:
    """bgpd does not show the targets that it would choose itself."""
    default = [f"{asn}:{number}"]
    imports, exports = (said[way] or default for way in ("import", "export"))
    return EvpnVni(number, tuple(imports), tuple(sorted(exports, key=lambda target: target not in imports)))
