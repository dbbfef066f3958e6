"""Links, addresses, routes, neighbours of one namespace: rtnetlink dumps as resources.

A device that is ours but not finished (down, a flag amiss, half made) shows as different from anything one can
ask for, so that the planner replaces it.
"""

import socket
import struct
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network

from weftwork.base.addresses import Address, Mac
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux.netlink import as_text, as_u32, attributes, each_attribute, u16
from weftwork.program.linux import (
    Bridge,
    InterfaceAddress,
    LinkKind,
    Neighbour,
    PortLink,
    RemoteEntry,
    Route,
    Uplink,
    VlanInterface,
    Vtep,
)

NOBODY = Mac("00:00:00:00:00:00")
"""A MAC no port has: its line in the forwarding table is missing."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link as the kernel tells it. `data` are its kind's options, `port` those of a bridge port."""

    index: int
    name: str
    up: bool
    mtu_bytes: int
    mac: Mac
    master: int
    below: int
    far_netns: int
    alias: str
    kind: str
    data: Mapping[int, bytes]
    port: Mapping[int, bytes]

    @property
    def is_ours(self) -> bool:
        return self.alias.split(" ", 1)[0] == wire.MARK


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a scope's links are judged by, beside themselves. VLANs and entries by index of the port."""

    vlans: Mapping[int, Mapping[int, int]]
    static: frozenset[tuple[int, Mac, int]]
    far_netns_is: Callable[[str, int], bool]
    """Whether the named namespace is the one this scope knows by that number."""
    outer_end_stands: Callable[[Uplink], bool]


def link_of(body: bytes) -> Link:
    _, index, flags = struct.unpack_from("=BxxxiI", body)
    found = attributes(body, 16)
    info = attributes(found.get(wire.IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=as_text(found.get(wire.IFLA_IFNAME, b"")),
        up=bool(flags & wire.IFF_UP),
        mtu_bytes=as_u32(found.get(wire.IFLA_MTU, bytes(4))),
        mac=mac_of(found.get(wire.IFLA_ADDRESS, bytes(6))),
        master=as_u32(found.get(wire.IFLA_MASTER, bytes(4))),
        below=as_u32(found.get(wire.IFLA_LINK, bytes(4))),
        far_netns=struct.unpack("=i", found[wire.IFLA_LINK_NETNSID])[0] if wire.IFLA_LINK_NETNSID in found else -1,
        alias=as_text(found.get(wire.IFLA_IFALIAS, b"")),
        kind=as_text(info.get(wire.INFO_KIND, b"")),
        data=attributes(info.get(wire.INFO_DATA, b"")),
        port=attributes(info.get(wire.INFO_SLAVE_DATA, b"")),
    )


def mac_of(data: bytes) -> Mac:
    return Mac(":".join(f"{octet:02x}" for octet in data[:6]))


def loopback_notes(body: bytes) -> tuple[str, ...]:
    """Alternative names of a link."""
    listed = attributes(body, 16).get(wire.IFLA_PROP_LIST, b"")
    return tuple(as_text(payload) for kind, payload in each_attribute(listed) if kind == wire.IFLA_ALT_IFNAME)


def vlans_of(bodies: Iterable[bytes]) -> dict[int, dict[int, int]]:
    """Index of a bridge port or bridge → VLAN → flags."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for body in bodies:
        index = struct.unpack_from("=i", body, 4)[0]
        for kind, payload in each_attribute(attributes(body, 16).get(wire.IFLA_AF_SPEC, b"")):
            if kind == wire.BRIDGE_VLAN_INFO:
                flags, vlan = struct.unpack_from("=HH", payload)
                found[index][vlan] = flags
    return found


def static_entries(bodies: Iterable[bytes]) -> frozenset[tuple[int, Mac, int]]:
    """(port, MAC, VLAN) of the static lines of forwarding tables."""
    found: set[tuple[int, Mac, int]] = set()
    for body in bodies:
        index, state = struct.unpack_from("=iH", body, 4)
        if state & wire.NUD_NOARP:
            entry = attributes(body, 12)
            vlan = struct.unpack("=H", entry[wire.NDA_VLAN])[0] if wire.NDA_VLAN in entry else 0
            found.add((index, mac_of(entry.get(wire.NDA_LLADDR, b"")), vlan))
    return frozenset(found)


def resource_of(link: Link, scope: str, names: Mapping[int, str], around: Surroundings) -> wire.LinkResource | None:
    """The resource, or None for a link that is a part of another one (an uplink's outer end) or a chassis' plug.

    A port whose far end is in no namespace of that name (the guest's was deleted or made again) has no peer.
    """
    words = link.alias.split(" ")
    match words[1:]:
        case ["bridge"]:
            return _bridge(link, scope)
        case ["vlan"]:
            return _vlan_interface(link, scope, names, around)
        case ["uplink", peer, peer_scope, peer_bridge]:
            uplink = Uplink(
                scope,
                link.name,
                link.mac,
                link.mtu_bytes,
                peer,
                "" if peer_scope == "-" else peer_scope,
                peer_bridge,
            )
            stands = link.up and link.kind == "veth" and around.outer_end_stands(uplink)
            return uplink if stands else replace(uplink, peer_bridge="")
        case ["vtep", *_] if link.kind == "vxlan":
            return _vtep(link, scope, names, around)
        case ["tunnel", *_] if link.kind == "vxlan":
            return _tunnel(link, scope)
        case ["tap", mac] if link.kind == "tun":
            return _port(link, scope, names, around, LinkKind.TAP, Mac(mac))
        case ["adopted", mac, home]:
            return _port(link, scope, names, around, LinkKind.ADOPTED, Mac(mac), "", home)
        case ["veth", mac, mtu, netns, peer] if link.kind == "veth":
            port = _port(link, scope, names, around, LinkKind.VETH, Mac(mac), netns, peer)
            if not around.far_netns_is(netns, link.far_netns):
                return replace(port, peer_netns="", peer_name="")
            return port if mtu == str(link.mtu_bytes) else replace(port, bridge="")
        case ["peer" | "chassis", *_]:
            return None
    return Bridge(scope, link.name, link.mac, 0)


def _bridge(link: Link, scope: str) -> Bridge:
    data = link.data
    filtering = bool(data.get(wire.BR_VLAN_FILTERING, b"\0")[0])
    finished = (
        link.up
        and as_u32(data.get(wire.BR_STP, bytes(4))) == 0
        and not data.get(wire.BR_SNOOPING, b"\0")[0]
        and data.get(wire.BR_LINK_LOCAL, bytes(2)) == u16(wire.LINK_LOCAL_MASK)
        and not (filtering and any(data.get(wire.BR_DEFAULT_PVID, bytes(2))))
    )
    return Bridge(scope, link.name, link.mac, link.mtu_bytes if finished else 0, filtering)


def _vlan_interface(link: Link, scope: str, names: Mapping[int, str], around: Surroundings) -> VlanInterface:
    vlan = struct.unpack("=H", link.data.get(wire.VLAN_ID, bytes(2))[:2])[0]
    finished = link.up and vlan in around.vlans.get(link.below, {})
    bridge = names.get(link.below, "") if finished else ""
    return VlanInterface(scope, link.name, bridge, vlan, link.mac, link.mtu_bytes)


def _port(
    link: Link,
    scope: str,
    names: Mapping[int, str],
    around: Surroundings,
    kind: LinkKind,
    mac: Mac,
    netns: str = "",
    peer: str = "",
) -> PortLink:
    vlan, tagged_right = _own_vlan(link, around)
    finished = link.up and tagged_right and _options_stand(link.port)
    return PortLink(
        scope,
        link.name,
        kind,
        names.get(link.master, "") if finished else "",
        mac if (link.index, mac, vlan) in around.static else NOBODY,
        link.mtu_bytes,
        vlan,
        netns,
        peer,
    )


def _tunnel(link: Link, scope: str) -> Vtep:
    """A VTEP without a bridge. One that is not finished has no number."""
    finished = link.up and not link.master and _is_static_vxlan(link)
    vni = as_u32(link.data.get(wire.VXLAN_ID, bytes(4))) if finished else 0
    local = IPv4Address(link.data.get(wire.VXLAN_LOCAL, bytes(4)))
    return Vtep(scope, link.name, "", vni, local, link.mac, link.mtu_bytes)


def _is_static_vxlan(link: Link) -> bool:
    return not link.data.get(wire.VXLAN_LEARNING, b"\1")[0] and link.data.get(wire.VXLAN_PORT) == struct.pack(
        "!H", wire.VXLAN_UDP_PORT
    )


def _vtep(link: Link, scope: str, names: Mapping[int, str], around: Surroundings) -> Vtep:
    data = link.data
    vlan, tagged_right = _own_vlan(link, around)
    finished = (
        link.up
        and tagged_right
        and _is_static_vxlan(link)
        and link.port.get(wire.PORT_ARP_SUPPRESS) == b"\1"
        and _options_stand(link.port, floods=False)
    )
    return Vtep(
        scope,
        link.name,
        names.get(link.master, "") if finished else "",
        as_u32(data.get(wire.VXLAN_ID, bytes(4))),
        IPv4Address(data.get(wire.VXLAN_LOCAL, bytes(4))),
        link.mac,
        link.mtu_bytes,
        vlan,
    )


def _own_vlan(link: Link, around: Surroundings) -> tuple[int, bool]:
    """Of a bridge port in a subnet; and whether it has that one only, untagged."""
    vlans = around.vlans.get(link.index, {})
    vlan = next(iter(vlans)) if len(vlans) == 1 else 0
    return vlan, not vlans or vlans == {vlan: wire.VLAN_PVID | wire.VLAN_UNTAGGED}


def remote_entries(
    bodies: Iterable[bytes], scope: str, vteps: Mapping[int, str], tunnels: Collection[int] = ()
) -> set[RemoteEntry]:
    """`vteps` are ours, by index; `tunnels` are those without a bridge. One with half of its lines has no host."""
    hosts: dict[tuple[int, Mac], IPv4Address] = {}
    bridged: dict[tuple[int, Mac], int] = {}
    for body in bodies:
        index, state, flags = struct.unpack_from("=iHB", body, 4)
        if index not in vteps:
            continue
        entry = attributes(body, 12)
        mac = mac_of(entry.get(wire.NDA_LLADDR, b""))
        if flags & wire.NTF_SELF:
            hosts[index, mac] = IPv4Address(entry.get(wire.NDA_DST, bytes(4)))
        elif state & wire.NUD_NOARP:
            bridged[index, mac] = struct.unpack("=H", entry[wire.NDA_VLAN])[0] if wire.NDA_VLAN in entry else 0
    nowhere = IPv4Address(0)
    found: set[RemoteEntry] = set()
    for index, mac in hosts.keys() | bridged.keys():
        is_whole = index in tunnels or (index, mac) in bridged
        host = hosts.get((index, mac), nowhere) if is_whole else nowhere
        found.add(
            RemoteEntry(scope, vteps[index], mac, host, bridged.get((index, mac), 0), bridged=index not in tunnels)
        )
    return found


def _options_stand(port: Mapping[int, bytes], *, floods: bool = True) -> bool:
    return (
        port.get(wire.PORT_LEARNING) == b"\0"
        and port.get(wire.PORT_FLOOD) == b"\0"
        and port.get(wire.PORT_MULTICAST_FLOOD) == b"\0"
        and port.get(wire.PORT_BROADCAST_FLOOD) == bytes([floods])
    )


def addresses(bodies: Iterable[bytes], scope: str, names: Mapping[int, str]) -> set[InterfaceAddress]:
    """Addresses with our protocol number on links of ours."""
    found: set[InterfaceAddress] = set()
    for body in bodies:
        family, prefix_length, index = struct.unpack_from("=BBxxi", body)
        inner = attributes(body, 8)
        if inner.get(wire.IFA_PROTO, b"\0")[0] != wire.PROTOCOL or index not in names:
            continue
        packed = inner.get(wire.IFA_LOCAL) or inner[wire.IFA_ADDRESS]
        found.add(InterfaceAddress(scope, names[index], _address(family, packed), prefix_length))
    return found


def routes(bodies: Iterable[bytes], scope: str, names: Mapping[int, str]) -> set[Route]:
    """Routes of our protocol number in the main table."""
    found: set[Route] = set()
    for body in bodies:
        family, length, _, _, _, protocol = struct.unpack_from("=BBBBBB", body)
        inner = attributes(body, 12)
        if protocol != wire.PROTOCOL:
            continue
        size = 4 if family == socket.AF_INET else 16
        destination = ip_network((inner.get(wire.RTA_DST, bytes(size)), length))
        interface = names.get(as_u32(inner.get(wire.RTA_OIF, bytes(4))), "")
        gateway = _address(family, inner[wire.RTA_GATEWAY]) if wire.RTA_GATEWAY in inner else None
        found.add(Route(scope, destination, gateway, interface))
    return found


def neighbours(bodies: Iterable[bytes], scope: str, names: Mapping[int, str]) -> set[Neighbour]:
    """Permanent entries of our protocol number."""
    found: set[Neighbour] = set()
    for body in bodies:
        family, index, state, flags = struct.unpack_from("=BxxxiHB", body)
        inner = attributes(body, 12)
        if inner.get(wire.NDA_PROTOCOL, b"\0")[0] != wire.PROTOCOL or index not in names:
            continue
        mac = mac_of(inner.get(wire.NDA_LLADDR, bytes(6))) if state & wire.NUD_PERMANENT else NOBODY
        yields = bool(flags & wire.NTF_EXT_LEARNED)
        found.add(Neighbour(scope, names[index], _address(family, inner[wire.NDA_DST]), mac, yields))
    return found


def _address(family: int, packed: bytes) -> Address:
    assert len(packed) == (4 if family == socket.AF_INET else 16), "an address of another family"
    return ip_address(packed)
