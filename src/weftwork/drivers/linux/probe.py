"""What this kernel and its tools can do, found by trying it in a namespace without a name: nothing is left behind."""

import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from weftwork.base.addresses import Mac
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import links_decode, namespaces, nft, scope_state, sysctls, taps
from weftwork.drivers.linux.netlink import Socket
from weftwork.program.linux import Bridge, InterfaceAddress, LinkKind, Neighbour, PortLink, VlanInterface

_BRIDGE, _VLAN_BRIDGE, _VLAN, _PORT = 100, 101, 102, 103
_MAC, _OTHER_MAC = Mac("02:47:00:00:00:01"), Mac("02:57:00:00:00:01")
_VLAN_NUMBER = 2
_SCOPE = "probe"
_CALL_IPTABLES = "net/bridge/bridge-nf-call-iptables"


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing we tried. `why_not` is empty when it worked, else what the kernel or library said."""

    name: str
    use: str
    why_not: str = ""

    @property
    def works(self) -> bool:
        return not self.why_not

    def __str__(self) -> str:
        return f"{self.name}: " + ("yes" if self.works else f"no ({self.why_not})") + f" – {self.use}"


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """What was found, and what follows from it. `filter_modes` and `layouts` are empty when nothing is possible."""

    kernel_release: str
    nft_version: str
    features: tuple[Feature, ...]

    def has(self, name: str) -> bool:
        return any(one.name == name and one.works for one in self.features)

    @property
    def missing(self) -> tuple[Feature, ...]:
        """What we cannot do without."""
        return tuple(one for one in self.features if one.name in _NEEDED and not one.works)

    @property
    def filter_modes(self) -> tuple[Literal["bridge", "br_netfilter"], ...]:
        """The one to prefer is first; docs/explain/linux-data-plane.md says what they are."""
        if self.missing:
            return ()
        tracked: tuple[Literal["bridge"], ...] = ("bridge",) if self.has("conntrack on bridges") else ()
        handed: tuple[Literal["br_netfilter"], ...] = ("br_netfilter",) if self.has_bridge_netfilter else ()
        return (*tracked, *handed)

    @property
    def has_bridge_netfilter(self) -> bool:
        return self.has("br_netfilter")

    @property
    def has_ipv6(self) -> bool:
        return self.has("IPv6")

    @property
    def layouts(self) -> tuple[Literal["bridges", "vlan"], ...]:
        """The default is first."""
        if self.missing:
            return ()
        # Forwarded frames are tagged in that layout, and br_netfilter leaves tagged frames alone.
        vlan = self.has("VLAN filtering") and self.has("802.1Q") and "bridge" in self.filter_modes
        return ("bridges", "vlan") if vlan else ("bridges",)

    @property
    def lines(self) -> tuple[str, ...]:
        """For people: each thing tried, then what will be used and why."""
        if self.filter_modes:
            mode = self.filter_modes[0]
            used = f"bridged packets are filtered by {mode}: {_WHY[mode]}"
        elif self.missing:
            used = "no networks: " + ", ".join(one.name for one in self.missing) + " missing"
        else:
            used = "no networks: neither connection tracking on bridges nor br_netfilter; try `modprobe br_netfilter`"
        return (
            f"kernel {self.kernel_release}, nftables {self.nft_version or 'missing'}",
            *map(str, self.features),
            used,
            f"layouts: {', '.join(self.layouts) or 'none'}",
        )


_WHY = {
    "bridge": "the kernel tracks connections there",
    "br_netfilter": "the kernel tracks no connections there, but hands bridged packets to the inet tables",
}


def probe() -> HostCapabilities:
    """Blocks for some milliseconds. Never raises for what the host lacks."""
    found: list[Feature] = []
    version = [""]

    def look() -> None:
        try:
            with namespaces.inside_a_new_one(), Socket() as route:
                found.append(Feature("network namespaces", "one per VPC"))
                found.extend(_tried(name, use, attempt, route) for name, use, attempt in _ATTEMPTS)
                version[0] = nft.version() if nft.is_available() else ""
        except OSError as error:
            found.append(Feature("network namespaces", "one per VPC", error.strerror or str(error)))

    # A thread of its own: if it could not come back to the host's namespace, nobody else would be lost in there.
    thread = threading.Thread(target=look, name="probe")
    thread.start()
    thread.join()
    return HostCapabilities(platform.release(), version[0], tuple(found))


def _tried(name: str, use: str, attempt: Callable[[Socket], None], route: Socket) -> Feature:
    try:
        attempt(route)
    except (OSError, nft.NftError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Feature(name, use, words or "refused")
    return Feature(name, use)


def _make(route: Socket, link: wire.LinkResource, place: wire.Place) -> None:
    for request in (*wire.create(link, place), *wire.complete(link, place, new_mac=False), wire.bring_up(place.index)):
        route.ask(request)


def _try_bridge(route: Socket) -> None:
    _make(route, Bridge(_SCOPE, "br1", _MAC, 1500), wire.Place(_BRIDGE))


def _try_veth(route: Socket) -> None:
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        port = PortLink(_SCOPE, "port", LinkKind.VETH, "br1", _OTHER_MAC, 1400, 0, _SCOPE, "far")
        _make(route, port, wire.Place(_PORT, _BRIDGE, here))
    finally:
        os.close(here)


def _try_tap(_: Socket) -> None:
    os.close(taps.create("tap1", _PORT + 1))


def _try_vlan_filtering(route: Socket) -> None:
    _make(route, Bridge(_SCOPE, "br0", _MAC, 1500, vlan_filtering=True), wire.Place(_VLAN_BRIDGE))


def _try_vlan_interface(route: Socket) -> None:
    leg = VlanInterface(_SCOPE, "br0.2", "br0", _VLAN_NUMBER, _MAC, 1500)
    _make(route, leg, wire.Place(_VLAN, _VLAN_BRIDGE))


def _try_marks(route: Socket) -> None:
    address = InterfaceAddress(_SCOPE, "br1", IPv4Address("192.0.2.1"), 24)
    neighbour = Neighbour(_SCOPE, "br1", IPv4Address("192.0.2.2"), _OTHER_MAC)
    route.ask(wire.address(wire.NEW_ADDRESS, address, _BRIDGE))
    route.ask(wire.neighbour(wire.NEW_NEIGHBOUR, neighbour, _BRIDGE))
    route.ask(wire.loopback_note(wire.NEW_LINK_PROPERTY, sysctls.note_of("net/ipv4/ip_forward")))
    names = {_BRIDGE: "br1"}
    seen = links_decode.addresses(route.dump(wire.GET_ADDRESS, bytes(8)), _SCOPE, names)
    known = links_decode.neighbours(route.dump(wire.GET_NEIGHBOUR, bytes(12)), _SCOPE, names)
    notes = scope_state.read_mark(route)[1]
    if seen != {address} or known != {neighbour} or not notes:
        raise OSError(0, "the kernel does not keep protocol numbers of addresses (it does since 5.18)")


def _try_br_netfilter(_: Socket) -> None:
    if not sysctls.exists(_CALL_IPTABLES):
        raise OSError(0, f"there is no {_CALL_IPTABLES}")


def _try_ipv6(_: Socket) -> None:
    if not sysctls.exists("net/ipv6"):
        raise OSError(0, "there is no net/ipv6")


def _by_script(script: str) -> Callable[[Socket], None]:
    def attempt(_: Socket) -> None:
        if not nft.is_available():
            raise OSError(0, "libnftables.so.1 is missing")
        nft.run(script)

    return attempt


_INET = """add table inet probe
add chain inet probe c { type filter hook forward priority filter; policy accept; }
add rule inet probe c ct state established ct mark 1 accept
add rule inet probe c meta l4proto 6 ct reply proto-src 80 accept
add chain inet probe n { type nat hook postrouting priority srcnat; policy accept; }
add rule inet probe n ip saddr 192.0.2.1 snat ip to 192.0.2.2
"""
_SETS = """add table bridge probe
add set bridge probe s { type ifname . ether_addr . ipv4_addr; flags interval; }
add element bridge probe s { "a" . 02:57:00:00:00:01 . 192.0.2.0/24 }
"""
_BRIDGE_CONNTRACK = """add table bridge tracked
add chain bridge tracked c { type filter hook forward priority filter; policy accept; }
add rule bridge tracked c ct state established accept
"""

_ATTEMPTS: tuple[tuple[str, str, Callable[[Socket], None]], ...] = (
    ("bridges", "one per subnet", _try_bridge),
    ("veth", "ports plugged into namespaces, and the leg to the external network", _try_veth),
    ("TAP", "ports of virtual machines", _try_tap),
    ("marks", "what is ours and what is not", _try_marks),
    ("nftables with NAT", "the policy and NAT", _by_script(_INET)),
    ("joined sets with intervals", "the guard", _by_script(_SETS)),
    ("conntrack on bridges", "filter mode `bridge`", _by_script(_BRIDGE_CONNTRACK)),
    ("br_netfilter", "filter mode `br_netfilter`", _try_br_netfilter),
    ("VLAN filtering", "layout `vlan`", _try_vlan_filtering),
    ("802.1Q", "layout `vlan`", _try_vlan_interface),
    ("IPv6", "to be switched off in VPCs", _try_ipv6),
)
_NEEDED = frozenset(
    {"network namespaces", "bridges", "veth", "TAP", "marks", "nftables with NAT", "joined sets with intervals"}
)
