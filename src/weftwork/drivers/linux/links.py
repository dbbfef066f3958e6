"""Links, addresses, routes, neighbours: resources as rtnetlink requests. Pure; who sends them is links_apply.

Every link gets an index of our choosing, so that a batch can speak of what it is about to create.
"""

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.base.addresses import Address, Mac
from weftwork.drivers.linux import marks
from weftwork.drivers.linux.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    Request,
    attribute,
    nested,
    text,
    u8,
    u16,
    u32,
)
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

MARK = marks.WORD
"""The alias of each link of ours begins with it: whose it is, its namespace says."""
PROTOCOL = 87
"""Our number on routes, addresses and neighbours; nobody's in rtnetlink.h."""

NEW_LINK, DELETE_LINK, GET_LINK, SET_LINK = 16, 17, 18, 19
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR, DELETE_NEIGHBOUR, GET_NEIGHBOUR = 28, 29, 30
GET_NSID = 90
NEW_LINK_PROPERTY, DELETE_LINK_PROPERTY = 108, 109

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD = 18, 20, 26, 27, 28
IFLA_EXT_MASK, IFLA_LINK_NETNSID, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 29, 37, 52, 53
INFO_KIND, INFO_DATA, INFO_SLAVE_KIND, INFO_SLAVE_DATA = 1, 2, 4, 5
BR_FORWARD_DELAY, BR_STP, BR_VLAN_FILTERING, BR_LINK_LOCAL, BR_SNOOPING, BR_DEFAULT_PVID = 1, 5, 7, 9, 23, 39
LINK_LOCAL_MASK = 0xFFF8
"""Frames to 01:80:c2:00:00:03 to :0f (LLDP, 802.1X …) go the way of all others, so past the guard. Without, the kernel
gives them to the port's own device, and LLDP's without asking any netfilter hook. It refuses the bits 0 to 2."""
PORT_STATE, PORT_LEARNING, PORT_FLOOD, PORT_MULTICAST_FLOOD, PORT_BROADCAST_FLOOD = 1, 8, 9, 27, 30
PORT_ARP_SUPPRESS = 32
VXLAN_ID, VXLAN_LOCAL, VXLAN_LEARNING, VXLAN_PORT = 1, 4, 7, 15
VXLAN_UDP_PORT = 4789
VLAN_ID = 1
VETH_PEER = 1
BRIDGE_FLAGS, BRIDGE_VLAN_INFO = 0, 2
FLAG_SELF = 2
VLAN_PVID, VLAN_UNTAGGED = 2, 4
SKIP_STATISTICS, WITH_VLANS = 8, 2
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_PROTO = 1, 2, 8, 11
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
NDA_DST, NDA_LLADDR, NDA_VLAN, NDA_PROTOCOL = 1, 2, 5, 12
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NTF_SELF, NTF_MASTER, NTF_EXT_LEARNED = 0x02, 0x04, 0x10
IFF_UP = 0x1
_IFA_F_NODAD = 0x02
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RTNH_F_ONLINK, _RT_TABLE_MAIN, _RTN_UNICAST = 4, 254, 1
_INET6_ADDR_GEN_MODE = 8

ADOPTED = LinkKind.ADOPTED.value
NAME_BYTES_MAX = 15
_ALIAS_BYTES_MAX = 255

LinkResource = Bridge | VlanInterface | Uplink | Vtep | PortLink
IpResource = InterfaceAddress | Route | Neighbour
Entry = IpResource | RemoteEntry


def mac_bytes(mac: Mac) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def family_of(address: Address) -> int:
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6


def alias_of(link: LinkResource) -> str:
    """Our mark, and what the kernel cannot tell us about the link later."""
    match link:
        case Bridge():
            return f"{MARK} bridge"
        case VlanInterface():
            return f"{MARK} vlan"
        case Uplink():
            return f"{MARK} uplink {link.peer} {link.peer_scope or '-'} {link.peer_bridge}"
        case Vtep():
            return f"{MARK} {'vtep' if link.bridge else 'tunnel'} {link.vni} {link.local}"
        case PortLink(kind=LinkKind.TAP):
            return f"{MARK} tap {link.mac}"
        case PortLink(kind=LinkKind.ADOPTED):
            return f"{MARK} {ADOPTED} {link.mac} {link.peer_name}"
        case PortLink():
            return f"{MARK} veth {link.mac} {link.mtu_bytes} {link.peer_netns} {link.peer_name}"


def same_device(link: LinkResource, alias: str) -> bool:
    """Whether the link of this alias can become `link` without being made anew."""
    there, wanted = alias.split(" "), alias_of(link).split(" ")
    match link:
        case PortLink(kind=LinkKind.TAP):
            return there[:2] == wanted[:2]
        case PortLink(kind=LinkKind.ADOPTED):
            return [*there[:2], *there[3:]] == [*wanted[:2], *wanted[3:]]
        case PortLink():
            return [*there[:3], *there[4:]] == [*wanted[:3], *wanted[4:]]
        case Uplink():
            return there[:4] == wanted[:4]
        case Bridge() | VlanInterface() | Vtep():
            return there == wanted


def problem_with(link: LinkResource) -> str:
    """Why the kernel could not hold this link at all, or nothing."""
    names = [link.name]
    if isinstance(link, Uplink):
        names.append(link.peer)
    if isinstance(link, PortLink) and link.kind is not LinkKind.TAP:
        names.append(link.peer_name)
    for name in names:
        if not 0 < len(name.encode()) <= NAME_BYTES_MAX or any(c in "/: \t\n" for c in name) or name in (".", ".."):
            return f"{name!r} cannot be the name of an interface"
    if len(alias_of(link).encode()) > _ALIAS_BYTES_MAX:
        return "names of namespaces are too long together"
    return ""


@dataclass(frozen=True, slots=True)
class Place:
    """Indices a link is made with. `master` and `peer_netns` are 0 and -1 when the link has none."""

    index: int
    master: int = 0
    peer_netns: int = -1


def _link(index: int, *attributes: bytes, up: bool | None = None, family: int = 0) -> bytes:
    flags, change = (0, 0) if up is None else (IFF_UP if up else 0, IFF_UP)
    return struct.pack("=BxHiII", family, 0, index, flags, change) + b"".join(attributes)


def _change(index: int, *attributes: bytes, up: bool | None = None) -> Request:
    return Request(NEW_LINK, 0, _link(index, *attributes, up=up))


def _info(kind: str, *data: bytes) -> bytes:
    inner = [attribute(INFO_KIND, text(kind))]
    if data:
        inner.append(nested(INFO_DATA, *data))
    return nested(IFLA_LINKINFO, *inner)


def _create(index: int, link: LinkResource, *attributes: bytes) -> Request:
    named = attribute(IFLA_IFNAME, text(link.name))
    return Request(NEW_LINK, CREATE | EXCL, _link(index, named, *attributes))


def create(link: LinkResource, place: Place) -> list[Request]:
    """Make the device, down and marked. TAPs are made by an ioctl (taps.py), VTEPs in another namespace."""
    mac = attribute(IFLA_ADDRESS, mac_bytes(link.mac))
    mark = _change(place.index, attribute(IFLA_IFALIAS, alias_of(link).encode()))
    match link:
        case Bridge():
            # Changing the MTU once tells the bridge not to follow its ports (br_mtu_auto_adjust).
            first_mtu = attribute(IFLA_MTU, u32(link.mtu_bytes - 1))
            return [_create(place.index, link, mac, first_mtu, _bridge_info(link)), mark]
        case VlanInterface():
            below = attribute(IFLA_LINK, u32(place.master))
            info = _info("vlan", attribute(VLAN_ID, u16(link.vlan)))
            return [
                _create(place.index, link, mac, below, attribute(IFLA_MTU, u32(link.mtu_bytes)), info),
                mark,
            ]
        case Uplink():
            far = _far_end(link.peer, place.peer_netns, link.mtu_bytes)
            return [_create(place.index, link, mac, attribute(IFLA_MTU, u32(link.mtu_bytes)), far), mark]
        case Vtep() | PortLink(kind=LinkKind.TAP | LinkKind.ADOPTED):
            return [mark]
        case PortLink():
            guest = FarEnd(link.peer_name, place.peer_netns, link.mac)
            return create_veth(link.name, place.index, link.mtu_bytes, guest, alias_of(link))


def create_vtep(link: Vtep, index: int, netns: int) -> list[Request]:
    """By a socket of the namespace that the encapsulated packets are to be in; the device goes over to `netns`. Sent
    together, so that none is ever left behind."""
    info = _info(
        "vxlan",
        attribute(VXLAN_ID, u32(link.vni)),
        attribute(VXLAN_LOCAL, link.local.packed),
        attribute(VXLAN_LEARNING, u8(0)),
        attribute(VXLAN_PORT, struct.pack("!H", VXLAN_UDP_PORT)),
    )
    mac = attribute(IFLA_ADDRESS, mac_bytes(link.mac))
    born = attribute(IFLA_IFNAME, text(f"wv{index:x}"))
    moved = (attribute(IFLA_NET_NS_FD, u32(netns)), attribute(IFLA_IFNAME, text(link.name)))
    return [
        Request(NEW_LINK, CREATE | EXCL, _link(index, born, mac, info)),
        Request(NEW_LINK, 0, _link(index, *moved)),
    ]


def take_in(index: int, link: PortLink, netns: int) -> list[Request]:
    """A link of the host's own namespace, by a socket of that: marked, and over to `netns` under our name."""
    down = _change(index, attribute(IFLA_IFALIAS, alias_of(link).encode()), up=False)
    moved = (attribute(IFLA_NET_NS_FD, u32(netns)), attribute(IFLA_IFNAME, text(link.name)))
    return [down, _change(index, *moved)]


def hand_back(index: int, alias: str, home: int) -> list[Request]:
    """A link that was taken in, to the host's own namespace under its old name, without our mark."""
    name = alias.split(" ")[3]
    return [
        _change(index, attribute(IFLA_MASTER, u32(0)), up=False),
        _change(index, attribute(IFLA_IFALIAS, b"\0")),
        _change(index, attribute(IFLA_NET_NS_FD, u32(home)), attribute(IFLA_IFNAME, text(name))),
    ]


def is_adopted(alias: str) -> bool:
    return alias.split(" ")[1:2] == [ADOPTED]


def remote_entry(type_: int, one: RemoteEntry, index: int) -> list[Request]:
    """The VTEP's own line first: the bridge sends there as soon as it knows."""
    flags = CREATE | REPLACE if type_ == NEW_NEIGHBOUR else 0
    body = struct.pack("=BxHiHBB", socket.AF_BRIDGE, 0, index, NUD_NOARP | NUD_PERMANENT, NTF_SELF, 0)
    body += attribute(NDA_LLADDR, mac_bytes(one.mac))
    # Without a host the line goes wherever it leads: a routing daemon may have written another one into it.
    host = one.host.packed if type_ == NEW_NEIGHBOUR else bytes(4)
    own = Request(type_, flags, body + attribute(NDA_DST, host))
    return [own, static_entry(type_, index, one.mac, one.vlan)] if one.bridged else [own]


@dataclass(frozen=True, slots=True)
class FarEnd:
    """The end of a veth in a guest's namespace, by its descriptor."""

    name: str
    netns: int
    mac: Mac


def create_veth(name: str, index: int, mtu_bytes: int, far: FarEnd, alias: str) -> list[Request]:
    """Down and marked; the far end is born with the guest's MAC."""
    mac = attribute(IFLA_ADDRESS, mac_bytes(far.mac))
    body = (
        attribute(IFLA_IFNAME, text(name)),
        attribute(IFLA_MTU, u32(mtu_bytes)),
        _far_end(far.name, far.netns, mtu_bytes, mac),
    )
    return [Request(NEW_LINK, CREATE | EXCL, _link(index, *body)), mark_link(index, alias)]


def mark_link(index: int, alias: str, *, mtu_bytes: int = 0) -> Request:
    mtu = attribute(IFLA_MTU, u32(mtu_bytes)) if mtu_bytes else b""
    return _change(index, attribute(IFLA_IFALIAS, alias.encode()), mtu)


def _far_end(name: str, netns: int, mtu_bytes: int, *more: bytes) -> bytes:
    """The other end of a veth, born in its namespace. Down: the kernel refuses one that is up (ENOTCONN)."""
    inner = (
        attribute(IFLA_IFNAME, text(name)),
        attribute(IFLA_MTU, u32(mtu_bytes)),
        attribute(IFLA_NET_NS_FD, u32(netns)),
        *more,
    )
    return _info("veth", attribute(VETH_PEER, _link(0, *inner)))


def _bridge_info(link: Bridge) -> bytes:
    """Filtering is asked for only where it is wanted: kernels without it refuse even to turn it off."""
    filtering = [attribute(BR_VLAN_FILTERING, u8(1)), attribute(BR_DEFAULT_PVID, u16(0))]
    return _info(
        "bridge",
        attribute(BR_FORWARD_DELAY, u32(0)),
        attribute(BR_STP, u32(0)),
        attribute(BR_SNOOPING, u8(0)),
        attribute(BR_LINK_LOCAL, u16(LINK_LOCAL_MASK)),
        *(filtering if link.vlan_filtering else ()),
    )


def complete(link: LinkResource, place: Place, *, new_mac: bool) -> list[Request]:
    """Everything about the device but its being up; the same whether it is new or old.

    Setting a MAC, even the present one, makes the kernel forget all neighbours on the link.
    """
    mark = attribute(IFLA_IFALIAS, alias_of(link).encode())
    mtu = attribute(IFLA_MTU, u32(link.mtu_bytes))
    mac = attribute(IFLA_ADDRESS, mac_bytes(link.mac)) if new_mac else b""
    match link:
        case Bridge():
            return [_change(place.index, mac, mtu, mark, _bridge_info(link))]
        case VlanInterface():
            own = _vlan(place.master, link.vlan, 0, of_bridge=True)
            return [_change(place.index, mtu, mac, mark), own]
        case Uplink():
            return [_change(place.index, mtu, mac, mark)]
        case Vtep(bridge=""):
            return [_change(place.index, mtu, mac, mark)]
        case Vtep():
            return [
                _change(place.index, attribute(IFLA_MASTER, u32(place.master))),
                _change(place.index, mtu, mac, mark, _port_options(floods=False)),
                *([_vlan(place.index, link.vlan, VLAN_PVID | VLAN_UNTAGGED)] if link.vlan else []),
            ]
        case PortLink():
            return [
                _change(place.index, attribute(IFLA_MASTER, u32(place.master))),
                _change(place.index, mtu, mark, _port_options()),
                *([_vlan(place.index, link.vlan, VLAN_PVID | VLAN_UNTAGGED)] if link.vlan else []),
                static_entry(NEW_NEIGHBOUR, place.index, link.mac, link.vlan),
            ]


def _port_options(*, floods: bool = True) -> bytes:
    """What is flooded without end goes to ports of this host only: behind a VTEP, ARP is answered here instead."""
    return nested(
        IFLA_LINKINFO,
        attribute(INFO_SLAVE_KIND, text("bridge")),
        nested(
            INFO_SLAVE_DATA,
            attribute(PORT_LEARNING, u8(0)),
            attribute(PORT_FLOOD, u8(0)),
            attribute(PORT_MULTICAST_FLOOD, u8(0)),
            attribute(PORT_BROADCAST_FLOOD, u8(floods)),
            *([] if floods else [attribute(PORT_ARP_SUPPRESS, u8(1))]),
        ),
    )


def _vlan(index: int, vlan: int, flags: int, *, of_bridge: bool = False, remove: bool = False) -> Request:
    inner = [attribute(BRIDGE_FLAGS, u16(FLAG_SELF))] if of_bridge else []
    inner.append(attribute(BRIDGE_VLAN_INFO, struct.pack("=HH", flags, vlan)))
    body = _link(index, nested(IFLA_AF_SPEC, *inner), family=socket.AF_BRIDGE)
    return Request(DELETE_LINK if remove else SET_LINK, 0, body)


def without_vlan(index: int, vlan: int) -> Request:
    return _vlan(index, vlan, 0, remove=True)


def bridge_without_vlan(bridge: int, vlan: int) -> Request:
    return _vlan(bridge, vlan, 0, of_bridge=True, remove=True)


def static_entry(type_: int, index: int, mac: Mac, vlan: int) -> Request:
    """The port's line in the bridge's forwarding table: `static`, so nobody else can take the MAC over."""
    body = struct.pack("=BxHiHBB", socket.AF_BRIDGE, 0, index, NUD_NOARP, NTF_MASTER, 0)
    body += attribute(NDA_LLADDR, mac_bytes(mac))
    if vlan:
        body += attribute(NDA_VLAN, u16(vlan))
    return Request(type_, CREATE | REPLACE if type_ == NEW_NEIGHBOUR else 0, body)


def bring_up(index: int) -> Request:
    return _change(index, up=True)


def bring_up_by_name(name: str, mtu_bytes: int) -> Request:
    """For the far end of a port, in its own namespace, where we know no index."""
    return _change(0, attribute(IFLA_IFNAME, text(name)), attribute(IFLA_MTU, u32(mtu_bytes)), up=True)


def uplink_peer(link: Uplink, bridge: int) -> list[Request]:
    """The outer end: under the external bridge, without addresses of its own, up."""
    named = attribute(IFLA_IFNAME, text(link.peer))
    mark = attribute(IFLA_IFALIAS, f"{MARK} peer {link.scope} {link.name}".encode())
    mtu = attribute(IFLA_MTU, u32(link.mtu_bytes))
    return [
        _change(0, named, mark, mtu, attribute(IFLA_MASTER, u32(bridge))),
        _change(0, named, up=True),
    ]


def without_ipv6_address(name: str) -> Request:
    """No link-local address of its own; a kernel without IPv6 refuses to hear of it."""
    silent = nested(IFLA_AF_SPEC, nested(socket.AF_INET6, attribute(_INET6_ADDR_GEN_MODE, u8(1))))
    return _change(0, attribute(IFLA_IFNAME, text(name)), silent)


def look_up(name: str) -> Request:
    wanted = attribute(IFLA_IFNAME, text(name)) + attribute(IFLA_EXT_MASK, u32(SKIP_STATISTICS))
    return Request(GET_LINK, 0, _link(0, wanted))


def all_links() -> bytes:
    """Body of a dump of links."""
    return _link(0, attribute(IFLA_EXT_MASK, u32(SKIP_STATISTICS)))


def all_vlans() -> bytes:
    """Body of a dump of bridge ports with their VLANs."""
    return _link(0, attribute(IFLA_EXT_MASK, u32(WITH_VLANS)), family=socket.AF_BRIDGE)


def delete_link(index: int) -> Request:
    return Request(DELETE_LINK, 0, _link(index))


def delete_together(indices: list[int], group: int) -> list[Request]:
    """Deleting by group waits for readers once, not once per link (27 ms each)."""
    if len(indices) == 1:
        return [delete_link(indices[0])]
    marked = [_change(index, attribute(IFLA_GROUP, u32(group))) for index in indices]
    return [*marked, Request(DELETE_LINK, 0, _link(0, attribute(IFLA_GROUP, u32(group))))]


def address(type_: int, one: InterfaceAddress, index: int) -> Request:
    packed = one.address.packed
    body = struct.pack("=BBBBi", family_of(one.address), one.prefix_length, 0, 0, index)
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    body += attribute(IFA_FLAGS, u32(_IFA_F_NODAD)) + attribute(IFA_PROTO, u8(PROTOCOL))
    return Request(type_, CREATE | REPLACE if type_ == NEW_ADDRESS else 0, body)


def route(type_: int, one: Route, index: int) -> Request:
    body = struct.pack(
        "=BBBBBBBBI",
        family_of(one.destination.network_address),
        one.destination.prefixlen,
        0,
        0,
        _RT_TABLE_MAIN,
        PROTOCOL,
        _RT_SCOPE_UNIVERSE if one.gateway else _RT_SCOPE_LINK,
        _RTN_UNICAST,
        _RTNH_F_ONLINK if one.gateway else 0,
    )
    body += attribute(RTA_DST, one.destination.network_address.packed)
    if type_ == NEW_ROUTE:
        body += attribute(RTA_GATEWAY, one.gateway.packed) if one.gateway else b""
        body += attribute(RTA_OIF, u32(index))
    return Request(type_, CREATE | REPLACE if type_ == NEW_ROUTE else 0, body)


def neighbour(type_: int, one: Neighbour, index: int) -> Request:
    """One that yields carries the daemons' flag: they would take it for a neighbour that is here, and announce it."""
    flags = NTF_EXT_LEARNED if one.yields and type_ == NEW_NEIGHBOUR else 0
    body = struct.pack("=BxHiHBB", family_of(one.address), 0, index, NUD_PERMANENT, flags, 0)
    body += attribute(NDA_DST, one.address.packed)
    if type_ == NEW_NEIGHBOUR:
        body += attribute(NDA_LLADDR, mac_bytes(one.mac)) + attribute(NDA_PROTOCOL, u8(PROTOCOL))
    return Request(type_, CREATE | REPLACE if type_ == NEW_NEIGHBOUR else 0, body)


def mark_loopback(alias: str) -> list[Request]:
    """The namespace's own mark, and its loopback up. Index 1 is always `lo`."""
    return [_change(1, attribute(IFLA_IFALIAS, alias.encode()), up=True)]


def look_up_loopback() -> Request:
    return Request(GET_LINK, 0, _link(1, attribute(IFLA_EXT_MASK, u32(SKIP_STATISTICS))))


def loopback_note(type_: int, note: str) -> Request:
    """An alternative name of `lo`: the only list of words a namespace can keep for us."""
    inner = attribute(IFLA_ALT_IFNAME, text(note))
    flags = CREATE | EXCL if type_ == NEW_LINK_PROPERTY else 0
    return Request(type_, flags, _link(1, nested(IFLA_PROP_LIST, inner)))


def namespace_id(descriptor: int) -> Request:
    """Asks which number the namespace of the socket knows another by (RTM_GETNSID)."""
    return Request(GET_NSID, 0, struct.pack("=Bxxx", 0) + attribute(3, u32(descriptor)))
