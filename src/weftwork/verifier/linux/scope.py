"""What a program makes of one network namespace: links, bridging domains, addresses, routes, neighbours, tables."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Mac
from weftwork.program.dhcp import DhcpBinding, DhcpServer
from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni, EvpnVrf
from weftwork.program.gate import Announced, Gate
from weftwork.program.linux import (
    Bridge,
    Family,
    InterfaceAddress,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    RemoteEntry,
    Route,
    Sysctl,
    Uplink,
    VlanInterface,
    Vtep,
)
from weftwork.program.resource import Resource
from weftwork.verifier.linux.remotes import RemotePort, Remotes, device_behind
from weftwork.verifier.linux.sets import NotUnderstood
from weftwork.verifier.linux.tables import Stop, Table

Link = Bridge | VlanInterface | Uplink | PortLink | Vtep
GUARD_TYPES = ("ifname", "ether_addr", "ipv4_addr")


@dataclass(frozen=True, slots=True)
class Way:
    """Where a packet goes: by which interface, to which next hop (None: the destination itself)."""

    interface: str
    gateway: int | None


@dataclass(frozen=True, slots=True)
class Leg:
    """The router's interface in a bridging domain."""

    name: str
    bridge: str
    vlan: int
    mac: Mac


class Scope:
    """Changed resource by resource; every `put` can be taken back by `drop`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: Counter[str] = Counter()
        self.sysctls: dict[str, str] = {}
        self.links: dict[str, Link] = {}
        self.neighbours: dict[tuple[str, int], str] = {}
        self.tables = {family: Table(family) for family in Family}
        self.addresses: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.routes: dict[str, Route] = {}
        self._ports: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._said: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._heard: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._by_mac: defaultdict[str, set[str]] = defaultdict(set)
        self._devices: dict[str, None] = {}
        self.remotes = Remotes()
        self._ways: list[tuple[int, int, Way]] | None = None
        self._local: set[int] | None = None
        self._address_of: dict[str, int | None] = {}
        self.passes_arp: dict[tuple[str, str], Stop | None] = {}
        """What the guard says to ARP from one device to another, or to nobody, once somebody asked."""

    @property
    def mark(self) -> str:
        return min(self.marks, default="")

    @property
    def is_empty(self) -> bool:
        return not (self.marks or self.sysctls or self.links or any(one.declared for one in self.tables.values()))

    def put(self, resource: Resource) -> None:
        self._forget_guests()
        match resource:
            case Namespace():
                self.marks[resource.owner] += 1
            case Sysctl():
                self.sysctls[resource.name] = resource.value
            case NftTable() | NftSet() | NftChain() | NftElement():
                self.tables[resource.family].put(resource)
                self._guarded(resource, 1)
            case Bridge() | VlanInterface() | Uplink() | PortLink() | Vtep():
                self.links[resource.name] = resource
                self._plugged(resource, present=True)
            case InterfaceAddress(address=IPv4Address() as address):
                self.addresses[resource.interface][int(address)] = resource.prefix_length
                self._forget_ways()
            case Route(destination=IPv4Network()):
                self.routes[str(resource.destination)] = resource
                self._forget_ways()
            case Neighbour(address=IPv4Address() as address):
                self.neighbours[resource.interface, int(address)] = resource.mac
                self._tell(f"mac {resource.mac}", int(address), 1)
            case DhcpBinding():
                self._tell(f"mac {resource.mac}", int(resource.address), 1)
            case RemoteEntry():
                self.remotes.put(resource)
            case InterfaceAddress() | Route() | Neighbour() | DhcpServer() | Gate() | Announced():
                pass  # IPv6, which nothing carries yet; and what servers offer
            case BgpRouter() | BgpPeer() | EvpnVrf() | EvpnVni():
                pass  # whatever they say, frames meet the guards of both ends
            case _:
                raise NotUnderstood(f"resource {resource}")

    def drop(self, resource: Resource) -> None:
        self._forget_guests()
        match resource:
            case Namespace():
                self.marks[resource.owner] -= 1
                self.marks += Counter()
            case Sysctl():
                self.sysctls.pop(resource.name, None)
            case NftTable() | NftSet() | NftChain() | NftElement():
                self._guarded(resource, -1)
                self.tables[resource.family].drop(resource)
            case RemoteEntry():
                self.remotes.drop(resource)
            case Bridge() | VlanInterface() | Uplink() | PortLink() | Vtep():
                self.links.pop(resource.name, None)
                self._plugged(resource, present=False)
            case InterfaceAddress(address=IPv4Address() as address):
                self.addresses[resource.interface].pop(int(address), None)
                self._forget_ways()
            case Route(destination=IPv4Network()):
                self.routes.pop(str(resource.destination), None)
                self._forget_ways()
            case Neighbour(address=IPv4Address() as address):
                self.neighbours.pop((resource.interface, int(address)), None)
                self._tell(f"mac {resource.mac}", int(address), -1)
            case DhcpBinding():
                self._tell(f"mac {resource.mac}", int(resource.address), -1)

    # --- what stands where --------------------------------------------------------------------------------------

    def port(self, device: str) -> PortLink | None:
        link = self.links.get(device)
        return link if isinstance(link, PortLink) else None

    def remote(self, device: str) -> RemotePort | None:
        """A port on another host, which is behind a VTEP."""
        entry = self.remotes.entry(device)
        vtep = self.links.get(entry.interface) if entry else None
        if entry is None or not isinstance(vtep, Vtep):
            return None
        vlan = vtep.vlan if entry.vlan == vtep.vlan else 0
        return RemotePort(device, entry.interface, vtep.bridge, entry.mac, entry.host, vlan)

    def member(self, device: str) -> PortLink | RemotePort | None:
        """A port, wherever it is."""
        return self.port(device) or self.remote(device)

    def vtep_under(self, bridge: str, vlan: int) -> str | None:
        """Of a domain, as `vlan_of` says it."""
        there = (one for one in self.links.values() if isinstance(one, Vtep) and one.bridge == bridge)
        return next((one.name for one in there if self.vlan_of(one) == vlan), None)

    def vlan_of(self, port: PortLink | RemotePort | Vtep) -> int | None:
        """The bridging domain under its bridge; None where frames go nowhere."""
        bridge = self.links.get(port.bridge)
        if not isinstance(bridge, Bridge):
            return None
        if not bridge.vlan_filtering:
            return 0
        return port.vlan or None

    def leg(self, bridge: str, vlan: int) -> Leg | None:
        """The router's interface in a domain."""
        link = self.links.get(bridge)
        if not isinstance(link, Bridge):
            return None
        if not link.vlan_filtering:
            return Leg(bridge, bridge, 0, link.mac)
        for one in self.links.values():
            if isinstance(one, VlanInterface) and (one.bridge, one.vlan) == (bridge, vlan):
                return Leg(one.name, bridge, vlan, one.mac)
        return None

    def leg_called(self, name: str) -> Leg | None:
        link = self.links.get(name)
        match link:
            case Bridge(vlan_filtering=False):
                return Leg(name, name, 0, link.mac)
            case VlanInterface() if isinstance(self.links.get(link.bridge), Bridge):
                return Leg(name, link.bridge, link.vlan, link.mac)
            case _:
                return None

    def under(self, bridge: str, vlan: int, mac: str) -> str | None:
        """The device to which the bridge sends frames for a MAC."""
        found = [
            name
            for name in self._ports[bridge].get(mac, ())
            if (link := self.port(name)) is not None and self.vlan_of(link) == vlan
        ]
        found += [
            name
            for name in self.remotes.with_mac(mac)
            if (there := self.remote(name)) is not None and there.bridge == bridge
        ]
        return max(found, default=None)

    def domain(self, bridge: str, vlan: int) -> list[str]:
        """All devices that see what is flooded there."""
        names = (name for devices in self._ports[bridge].values() for name in devices)
        return sorted(name for name in names if (link := self.port(name)) and self.vlan_of(link) == vlan)

    def address_of(self, device: str) -> int | None:
        """A guest's address, as most resources that speak of its device or of its MAC have it."""
        if device not in self._address_of:
            self._address_of[device] = self._most_heard(device)
        return self._address_of[device]

    def _most_heard(self, device: str) -> int | None:
        link = self.member(device)
        if link is None:
            return None
        heard = Counter(self._heard.get(f"if {device}", ())) + Counter(self._heard.get(f"mac {link.mac}", ()))
        return min(heard, key=lambda address: (-heard[address], address), default=None)

    def said_of(self, device: str) -> list[int]:
        """The addresses that the guard lets a device have."""
        return sorted(self._heard.get(f"if {device}", ()))

    def said_of_mac(self, mac: str) -> list[int]:
        """The addresses that neighbours and leases give to a MAC."""
        return sorted(self._heard.get(f"mac {mac}", ()))

    def who_has(self, address: int) -> list[str]:
        """The devices whose guests have the address."""
        devices: set[str] = set()
        for who in self._said.get(address, ()):
            kind, _, name = who.partition(" ")
            devices.update({name} if kind == "if" else self.with_mac(name))
        return sorted(name for name in devices if self.address_of(name) == address)

    def with_mac(self, mac: str) -> list[str]:
        return sorted({*self._by_mac.get(mac, ()), *self.remotes.with_mac(mac)})

    def devices(self) -> Iterator[str]:
        """Of ports on this host, in no order that means anything."""
        return iter(self._devices)

    # --- routing ------------------------------------------------------------------------------------------------

    def is_local(self, address: int) -> bool:
        if self._local is None:
            self._local = {address for held in self.addresses.values() for address in held}
        return address in self._local

    def way(self, destination: int) -> Way | None:
        """By the longest prefix."""
        if self._ways is None:
            self._ways = sorted(self._all_ways(), key=lambda way: -way[1])
        for network, length, way in self._ways:
            if not length or destination >> (32 - length) == network >> (32 - length):
                return way
        return None

    def is_broadcast(self, interface: str, address: int) -> bool:
        return address == 0xFFFFFFFF or any(
            length < 31 and address == own | ((1 << (32 - length)) - 1)
            for own, length in self.addresses.get(interface, {}).items()
        )

    def on_link(self, interface: str, address: int) -> bool:
        return any(
            not length or address >> (32 - length) == own >> (32 - length)
            for own, length in self.addresses.get(interface, {}).items()
        )

    def bridges_call_inet(self) -> bool:
        """Do bridged packets traverse the inet tables (br_netfilter)?"""
        return self.sysctls.get("net/bridge/bridge-nf-call-iptables") == "1"

    def _all_ways(self) -> list[tuple[int, int, Way]]:
        connected = [
            (own, length, Way(name, None))
            for name, held in self.addresses.items()
            if name in self.links
            for own, length in held.items()
            if length < 32
        ]
        routed = [
            (
                int(route.destination.network_address),
                route.destination.prefixlen,
                Way(route.interface, None if route.gateway is None else int(route.gateway)),
            )
            for route in self.routes.values()
            if route.interface in self.links
        ]
        return connected + routed

    def _forget_ways(self) -> None:
        self._ways = self._local = None

    def _forget_guests(self) -> None:
        if self._address_of:
            self._address_of.clear()
        if self.passes_arp:
            self.passes_arp.clear()

    def _plugged(self, link: Link, *, present: bool) -> None:
        self._forget_ways()
        if not isinstance(link, PortLink):
            return
        if present:
            self._devices[link.name] = None
        else:
            self._devices.pop(link.name, None)
        for place in (self._ports[link.bridge][link.mac], self._by_mac[link.mac]):
            if present:
                place.add(link.name)
            else:
                place.discard(link.name)

    def _guarded(self, resource: Resource, times: int) -> None:
        if not isinstance(resource, NftElement):
            return
        elements = self.tables[resource.family].sets.get(resource.set)
        if elements is not None and elements.types == GUARD_TYPES:
            device, mac, address = elements.key_of(resource.element)
            assert isinstance(address, int)
            self._tell(f"if {device_behind(str(device), str(mac))}", address, times)

    def _tell(self, who: str, address: int, times: int) -> None:
        """Somebody says that `who` has the address."""
        self._said[address][who] += times
        if not self._said[address][who]:
            del self._said[address][who]
        self._heard[who][address] += times
        if not self._heard[who][address]:
            del self._heard[who][address]
