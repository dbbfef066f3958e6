"""Carries out the netlink part of a plan in one namespace: three batches, one errno per resource.

Everything is made down and marked; then far ends; then links come up, addresses and routes go on; deletions
are last.
Each link is looked up first, so a step that was carried out already is completed and not refused.
"""

import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from weftwork.base.addresses import Address, Mac
from weftwork.base.errors import Failure
from weftwork.drivers.linux import arp, conntrack, links_decode, namespaces, scope_state, taps
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux.links_decode import Link
from weftwork.drivers.linux.netlink import Request, Socket
from weftwork.drivers.linux.yielded import Learned, Yielded, learned
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
from weftwork.program.plan import Create, Delete, Replace, Step
from weftwork.program.resource import Key

_NUMBER_MIN, _NUMBERS = 1 << 16, (1 << 31) - (1 << 16)
_LINKS_AT_ONCE = 256
"""Each TAP takes a descriptor until it is marked, and a process has 1024 by default."""
_FORWARDS_WITHIN_S = 1.0
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_CODES = {
    errno.EEXIST: "LINK_NAME_TAKEN",
    errno.ENODEV: "LINK_MISSING",
    errno.EOPNOTSUPP: "KERNEL_LACKS_FEATURE",
    errno.ENETUNREACH: "GATEWAY_UNREACHABLE",
    errno.EXFULL: "BRIDGE_FULL",
    errno.EBUSY: "KERNEL_BUSY",
    errno.ENOMEM: "OUT_OF_MEMORY",
    errno.ENOBUFS: "OUT_OF_MEMORY",
}


def failure_of(error: OSError) -> Failure:
    number = error.errno or 0
    return Failure(_CODES.get(number, errno.errorcode.get(number, "NETLINK_ERROR")), error.strerror or str(error))


@dataclass(slots=True)
class Batch:
    """Requests and whose they are. `lenient` ones may fail because what they take away is gone."""

    requests: list[Request] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    lenient: set[int] = field(default_factory=set)

    def add(self, key: Key, requests: Iterable[Request], *, lenient: bool = False) -> None:
        for request in requests:
            if lenient:
                self.lenient.add(len(self.requests))
            self.requests.append(request)
            self.keys.append(key)

    def send(self, route: Socket, failures: dict[Key, Failure]) -> None:
        """The first error of a resource is the one that tells most."""
        for place, answer in enumerate(route.exchange(self.requests)):
            error = answer.error
            if error and not (place in self.lenient and error.errno in _GONE):
                failures.setdefault(self.keys[place], failure_of(error))


class LinksApply:
    """One use: the netlink steps of one scope, by the thread that stands in its namespace."""

    def __init__(self, scope: str, steps: Sequence[Step], route: Socket, stack: ExitStack, given_way: Yielded) -> None:
        self._scope = scope
        self._given_way = given_way
        self._route = route
        self._stack = stack
        self._wanted = [step for step in steps if not isinstance(step, Delete)]
        self._wanted.sort(key=lambda step: _new(step).rank)
        self._doomed = [step.old for step in steps if isinstance(step, Delete)]
        self._doomed.sort(key=lambda old: -old.rank)
        self._links: dict[str, Link | None] = {}
        self._indices: dict[str, int] = {}
        self._netns: dict[str, int | None] = {}
        self._taps: dict[Key, int] = {}
        self._vlans_before: Mapping[int, Mapping[int, int]] | None = None
        self.failures: dict[Key, Failure] = {}

    def run(self, *, create: bool) -> dict[Key, Failure]:
        """`create=False`: only deletions, because the rules that must stand first do not."""
        self._look_up()
        if create:
            links = self._prepared_links()
            self._make(links)
            self._finish_far_ends(links)
            self._bring_up(links)
            self._announce()
        self._delete()
        return self.failures

    def _look_up(self) -> None:
        names: dict[str, None] = {}
        for one in [*map(_new, self._wanted), *self._doomed]:
            names |= dict.fromkeys(_names(one))
        asked = [name for name in names if 0 < len(name.encode()) <= wire.NAME_BYTES_MAX]
        for name, answer in zip(asked, self._route.exchange([wire.look_up(name) for name in asked]), strict=True):
            link = scope_state.found_link(answer)
            self._links[name] = link
            if link:
                self._indices[name] = link.index

    # --- creations

    def _prepared_links(self) -> list[wire.LinkResource]:
        """Links that can be made or completed; the others have failed, and their like is removed first."""
        ready: list[wire.LinkResource] = []
        removed: list[int] = []
        renewed: set[str] = set()
        for step in self._wanted:
            link = _new(step)
            if not isinstance(link, Bridge | VlanInterface | Uplink | Vtep | PortLink):
                continue
            problem = self._problem_with(link)
            if problem:
                self.failures[link.key] = problem
                continue
            there = self._links.get(link.name)
            if there and not self._can_stay(step, link, there):
                if wire.is_adopted(there.alias):
                    self._hand_back(there)
                else:
                    removed.append(there.index)
                renewed.add(link.name)
                self._links[link.name] = None
            if not self._links.get(link.name):
                self._indices[link.name] = _unused_number()
            ready.append(link)
        self._carry_over({link.name for link in ready if self._has_other_mac(link)} | renewed)
        if removed:
            self._route.exchange(wire.delete_together(removed, _unused_number()))
        return ready

    def _has_other_mac(self, link: wire.LinkResource) -> bool:
        there = self._links.get(link.name)
        return there is not None and there.mac != link.mac and not isinstance(link, PortLink)

    def _carry_over(self, interfaces: set[str]) -> None:
        """Give back what the plan does not: a new link has no addresses, one with a new MAC no neighbours."""
        if not interfaces:
            return
        named = {_new(step).key for step in self._wanted} | {one.key for one in self._doomed}
        present = scope_state.ip_resources(self._scope, self._route)
        lost = [Create(one) for one in present if one.interface in interfaces and one.key not in named]
        self._wanted = sorted([*self._wanted, *lost], key=lambda step: _new(step).rank)

    def _can_stay(self, step: Step, link: wire.LinkResource, there: Link) -> bool:
        old = step.old if isinstance(step, Replace) else None
        far_end_is_lost = isinstance(old, PortLink) and isinstance(link, PortLink) and old.peer_netns != link.peer_netns
        kind_fits = not isinstance(link, Bridge) or there.kind == "bridge"
        vlan_fits = not isinstance(link, VlanInterface) or (
            isinstance(old, VlanInterface) and old.vlan == link.vlan and old.bridge in ("", link.bridge)
        )
        return wire.same_device(link, there.alias) and kind_fits and vlan_fits and not far_end_is_lost

    def _problem_with(self, link: wire.LinkResource) -> Failure | None:
        problem = wire.problem_with(link)
        if problem:
            return Failure("INVALID_NAME", problem)
        there = self._links.get(link.name)
        if there and not there.is_ours:
            return Failure("LINK_NAME_TAKEN", f"{self._scope} has a link {link.name} that is not ours")
        below = link.bridge if isinstance(link, PortLink | VlanInterface | Vtep) else ""
        needs_bridge = bool(below) or isinstance(link, PortLink | VlanInterface)
        if needs_bridge and below not in self._indices:
            return Failure("BRIDGE_MISSING", f"{self._scope} has no bridge {below}")
        far = _far_netns(link)
        if far is not None and self._netns_descriptor(far) is None:
            return Failure("NETNS_MISSING", f"there is no network namespace {far}")
        return None

    def _netns_descriptor(self, name: str) -> int | None:
        if name not in self._netns:
            try:
                self._netns[name] = self._stack.enter_context(namespaces.opened(name))
            except (FileNotFoundError, ValueError):
                self._netns[name] = None
        return self._netns[name]

    def _place(self, link: wire.LinkResource) -> wire.Place:
        below = link.bridge if isinstance(link, PortLink | VlanInterface | Vtep) else ""
        far = _far_netns(link)
        descriptor = self._netns_descriptor(far) if far is not None else None
        return wire.Place(
            self._indices[link.name], self._indices.get(below, 0), -1 if descriptor is None else descriptor
        )

    def _make(self, links: Sequence[wire.LinkResource]) -> None:
        """Made, marked, under their bridge, with flags and forwarding entry; bridges come up here already."""
        for some in _batched(links, _LINKS_AT_ONCE):
            try:
                self._make_some(some)
            finally:
                while self._taps:
                    os.close(self._taps.popitem()[1])

    def _make_some(self, links: Sequence[wire.LinkResource]) -> None:
        batch = Batch()
        for link in links:
            place = self._place(link)
            if not self._links.get(link.name):
                if isinstance(link, PortLink) and link.kind is LinkKind.TAP and not self._make_tap(link, place):
                    continue
                if isinstance(link, Vtep) and not self._make_vtep(link, place):
                    continue
                if isinstance(link, PortLink) and link.kind is LinkKind.ADOPTED:
                    if not self._take_in(link):
                        continue
                    place = self._place(link)
                batch.add(link.key, wire.create(link, place))
            batch.add(link.key, self._leftovers(link, place), lenient=True)
            batch.add(link.key, wire.complete(link, place, new_mac=self._has_other_mac(link)))
            if isinstance(link, Bridge | VlanInterface):
                batch.add(link.key, [wire.bring_up(place.index)])
        batch.send(self._route, self.failures)
        for key, tap in self._taps.items():
            if key not in self.failures:
                taps.persist(tap)

    def _make_tap(self, link: PortLink, place: wire.Place) -> bool:
        try:
            self._taps[link.key] = taps.create(link.name, place.index)
        except OSError as error:
            self.failures[link.key] = failure_of(error)
            return False
        return True

    def _make_vtep(self, link: Vtep, place: wire.Place) -> bool:
        """Where the host's own packets are, so that the encapsulated ones are there; then it comes over here."""
        try:
            with ExitStack() as stack:
                here, home = (stack.enter_context(namespaces.opened(name)) for name in (self._scope, ""))
                stack.enter_context(namespaces.inside(home))
                answers = stack.enter_context(Socket()).exchange(wire.create_vtep(link, place.index, here))
        except OSError as error:
            self.failures[link.key] = failure_of(error)
            return False
        refused = next((one.error for one in answers if one.error), None)
        if refused:
            self.failures[link.key] = failure_of(refused)
        return refused is None

    def _take_in(self, link: PortLink) -> bool:
        """The host's own link comes over here, and has another number then."""
        try:
            with ExitStack() as stack:
                here, home = (stack.enter_context(namespaces.opened(name)) for name in (self._scope, ""))
                stack.enter_context(namespaces.inside(home))
                route = stack.enter_context(Socket())
                there = scope_state.found_link(route.exchange([wire.look_up(link.peer_name)])[0])
                if there is None or (there.is_ours and there.alias != wire.alias_of(link)):
                    what = "is one of ours" if there else "is not there"
                    self.failures[link.key] = Failure("LINK_MISSING", f"the host's link {link.peer_name} {what}")
                    return False
                answers = route.exchange(wire.take_in(there.index, link, here))
        except OSError as error:
            self.failures[link.key] = failure_of(error)
            return False
        refused = next((one.error for one in answers if one.error), None)
        found = scope_state.found_link(self._route.exchange([wire.look_up(link.name)])[0])
        if refused or found is None:
            self.failures[link.key] = failure_of(refused) if refused else Failure("LINK_MISSING", link.peer_name)
            return False
        self._indices[link.name] = found.index
        return True

    def _hand_back(self, there: Link) -> None:
        home = self._netns_descriptor("")
        assert home is not None, "the host's own is always there"
        self._route.exchange(wire.hand_back(there.index, there.alias, home))

    def _leftovers(self, link: wire.LinkResource, place: wire.Place) -> list[Request]:
        """What a port that stays had and must not have any more."""
        olds = [step.old for step in self._wanted if isinstance(step, Replace) and step.new.key == link.key]
        requests: list[Request] = []
        for old in olds if self._links.get(link.name) else ():
            had_other_mac = isinstance(old, PortLink) and old.mac not in (link.mac, links_decode.NOBODY)
            if had_other_mac and isinstance(old, PortLink) and isinstance(link, PortLink):
                requests.append(wire.static_entry(wire.DELETE_NEIGHBOUR, place.index, old.mac, old.vlan))
            in_subnet = isinstance(old, PortLink | Vtep) and isinstance(link, PortLink | Vtep)
            if isinstance(old, Vtep) and old.vlan and old.vlan != _vlan_of(link):
                # While it is in that VLAN: the kernel keeps static lines of VLANs that go, and takes none away.
                behind = [one.mac for one in self._entries_before() if one.interface == link.name]
                requests += [wire.static_entry(wire.DELETE_NEIGHBOUR, place.index, mac, old.vlan) for mac in behind]
            if in_subnet and (_vlan_of(old) or _vlan_of(link)):
                present = self._vlans().get(place.index, {})
                requests += [wire.without_vlan(place.index, vlan) for vlan in present if vlan != _vlan_of(link)]
        return requests

    def _entries_before(self) -> Iterator[RemoteEntry]:
        """Of those that the plan changes or takes away."""
        changed = (step.old for step in self._wanted if isinstance(step, Replace))
        return (one for one in (*changed, *self._doomed) if isinstance(one, RemoteEntry))

    def _vlans(self) -> Mapping[int, Mapping[int, int]]:
        """VLANs by index of the port, as they were before this plan."""
        if self._vlans_before is None:
            self._vlans_before = links_decode.vlans_of(self._route.dump(wire.GET_LINK, wire.all_vlans()))
        return self._vlans_before

    def _finish_far_ends(self, links: Sequence[wire.LinkResource]) -> None:
        by_netns: dict[str, list[wire.LinkResource]] = {}
        for link in links:
            far = _far_netns(link)
            if far is not None and link.key not in self.failures:
                by_netns.setdefault(far, []).append(link)
        for name, there in by_netns.items():
            descriptor = self._netns_descriptor(name)
            assert descriptor is not None, "checked before the link was made"
            try:
                with namespaces.inside(descriptor), Socket() as route:
                    self._finish_in(route, name, there)
            except OSError as error:
                for link in there:
                    self.failures.setdefault(link.key, failure_of(error))

    def _finish_in(self, route: Socket, netns: str, links: Sequence[wire.LinkResource]) -> None:
        bridges = sorted({link.peer_bridge for link in links if isinstance(link, Uplink)})
        found = [scope_state.found_link(one) for one in route.exchange([wire.look_up(name) for name in bridges])]
        indices = {name: link.index for name, link in zip(bridges, found, strict=True) if link}
        batch = Batch()
        for link in links:
            match link:
                case PortLink():
                    batch.add(link.key, [wire.bring_up_by_name(link.peer_name, link.mtu_bytes)])
                case Uplink() if link.peer_bridge in indices:
                    batch.add(link.key, [wire.without_ipv6_address(link.peer)], lenient=True)
                    batch.add(link.key, wire.uplink_peer(link, indices[link.peer_bridge]))
                case Uplink():
                    where = netns or "the host"
                    self.failures[link.key] = Failure("BRIDGE_MISSING", f"{where} has no bridge {link.peer_bridge}")
                case Bridge() | VlanInterface() | Vtep():
                    raise AssertionError("these have no far end")
        batch.send(route, self.failures)

    def _bring_up(self, links: Sequence[wire.LinkResource]) -> None:
        batch = Batch()
        for link in links:
            if isinstance(link, Uplink | Vtep | PortLink) and link.key not in self.failures:
                batch.add(link.key, [wire.bring_up(self._indices[link.name])])
        there = self._learned()
        for one in map(_new, self._wanted):
            if isinstance(one, InterfaceAddress | Route | RemoteEntry | Neighbour):
                index = self._indices.get(one.interface)
                if index is None:
                    self.failures[one.key] = Failure("LINK_MISSING", f"{self._scope} has no link {one.interface}")
                elif isinstance(one, RemoteEntry | Neighbour) and there.has(one, index):
                    self._in_place_of_learned(batch, one, index)
                else:
                    batch.add(one.key, _new_requests(one, index))
                if isinstance(one, RemoteEntry | Neighbour):
                    self._given_way.took(one)
        batch.send(self._route, self.failures)

    def _learned(self) -> Learned:
        """Asked for only where a routing daemon writes, or has written."""
        concerned = any(
            isinstance(one, RemoteEntry | Neighbour) and (one.yields or isinstance(step, Replace))
            for step, one in zip(self._wanted, map(_new, self._wanted), strict=True)
        )
        return learned(self._route) if concerned else Learned()

    def _in_place_of_learned(self, batch: Batch, one: RemoteEntry | Neighbour, index: int) -> None:
        """What a daemon wrote stays where ours yields. Where not, it goes: written over, it would stay the daemon's."""
        if one.yields and self._given_way.is_on:
            return
        if isinstance(one, RemoteEntry):
            batch.add(one.key, wire.remote_entry(wire.DELETE_NEIGHBOUR, one, index), lenient=True)
        batch.add(one.key, _new_requests(one, index))

    def _announce(self) -> None:
        """New uplinks work from here on; the addresses that now stand on one are announced. Nobody answers, so nothing
        can fail but the sending."""
        self._wait_for_new_uplinks()
        for one in map(_new, self._wanted):
            if not isinstance(one, InterfaceAddress) or one.key in self.failures:
                continue
            uplink = self._uplink_mac(one.interface)
            if uplink and isinstance(one.address, IPv4Address):
                try:
                    arp.announce(one.interface, wire.mac_bytes(uplink), one.address)
                except OSError as error:
                    self.failures[one.key] = failure_of(error)

    def _wait_for_new_uplinks(self) -> None:
        """Until their bridges forward. A bridge that takes longer waits for a spanning tree, and hears nothing."""
        deadline_s = time.monotonic() + _FORWARDS_WITHIN_S
        for one in map(_new, self._wanted):
            if isinstance(one, Uplink) and one.key not in self.failures:
                try:
                    while not scope_state.outer_end_forwards(one) and time.monotonic() < deadline_s:
                        time.sleep(0.002)
                except OSError as error:
                    self.failures[one.key] = failure_of(error)

    def _uplink_mac(self, interface: str) -> Mac | None:
        for one in map(_new, self._wanted):
            if isinstance(one, Uplink) and one.name == interface:
                return None if one.key in self.failures else one.mac
        there = self._links.get(interface)
        return there.mac if there and there.alias.split(" ")[1:2] == ["uplink"] else None

    # --- deletions

    def _delete(self) -> None:
        """Flows first: what is deleted tells whose they are, and if we are killed in between, only that can tell again.

        None begins meanwhile, because the rules that allowed it are gone already.
        """
        self._forget(self._addresses_to_forget())
        batch = Batch()
        kept = self._kept_on_emptied_interfaces()
        for one in self._doomed:
            index = self._indices.get(one.interface, 0) if isinstance(one, wire.Entry) else 0
            match one:
                case Route():
                    batch.add(one.key, [wire.route(wire.DELETE_ROUTE, one, index)], lenient=True)
                case InterfaceAddress() if index:
                    batch.add(one.key, [wire.address(wire.DELETE_ADDRESS, one, index)], lenient=True)
                case Neighbour() if index:
                    self._given_way.asked.pop(one.key, None)
                    batch.add(one.key, [wire.neighbour(wire.DELETE_NEIGHBOUR, one, index)], lenient=True)
                case RemoteEntry() if index:
                    self._given_way.asked.pop(one.key, None)
                    batch.add(one.key, wire.remote_entry(wire.DELETE_NEIGHBOUR, one, index), lenient=True)
                case VlanInterface() if one.bridge in self._indices:
                    own = wire.bridge_without_vlan(self._indices[one.bridge], one.vlan)
                    batch.add(one.key, [own], lenient=True)
        for one in kept:
            batch.add(one.key, _new_requests(one, self._indices[one.interface]))
        batch.send(self._route, self.failures)
        self._delete_links()

    def _kept_on_emptied_interfaces(self) -> list[wire.IpResource]:
        """The kernel forgets neighbours and routes of an interface with its last address; these are to stay."""
        doomed = {one.key for one in self._doomed}
        emptied = {
            one.interface
            for one in self._doomed
            if isinstance(one, InterfaceAddress) and ("link", self._scope, one.interface) not in doomed
        }
        if not emptied & self._indices.keys():
            return []
        present = scope_state.ip_resources(self._scope, self._route)
        kept = (one for one in present if one.interface in emptied and one.key not in doomed)
        return sorted(kept, key=lambda one: one.rank)

    def _delete_links(self) -> None:
        found = [
            (one.key, there)
            for one in self._doomed
            if isinstance(one, Bridge | VlanInterface | Uplink | Vtep | PortLink)
            and (there := self._links.get(one.name))
            and there.is_ours
        ]
        batch = Batch()
        adopted = [(key, there) for key, there in found if wire.is_adopted(there.alias)]
        made = [(key, there) for key, there in found if not wire.is_adopted(there.alias)]
        for key, there in adopted:
            home = self._netns_descriptor("")
            assert home is not None, "the host's own is always there"
            batch.add(key, wire.hand_back(there.index, there.alias, home))
        requests = wire.delete_together([there.index for _, there in made], _unused_number()) if made else []
        for place, request in enumerate(requests):
            batch.add(made[min(place, len(made) - 1)][0], [request], lenient=True)
        batch.send(self._route, self.failures)

    def _addresses_to_forget(self) -> dict[Address, list[Key]]:
        """Addresses whose flows end with the plan, and the resources that say so."""
        unused: dict[Address, list[Key]] = {}
        macs: dict[Mac, Key] = {}
        for one in self._doomed:
            match one:
                case InterfaceAddress() | Neighbour():
                    unused.setdefault(one.address, []).append(one.key)
                case PortLink():
                    macs[one.mac] = one.key
        known = {one.mac for one in self._doomed if isinstance(one, Neighbour)}
        if set(macs) - known:
            bodies = self._route.dump(wire.GET_NEIGHBOUR, bytes(12))
            for one in links_decode.neighbours(bodies, self._scope, _AnyName()):
                if one.mac in macs:
                    unused.setdefault(one.address, []).append(macs[one.mac])
        return unused

    def _forget(self, unused: dict[Address, list[Key]]) -> None:
        try:
            conntrack.forget(unused)
        except OSError as error:
            for key in (key for keys in unused.values() for key in keys):
                self.failures.setdefault(key, failure_of(error))


def _vlan_of(link: object) -> int:
    return link.vlan if isinstance(link, PortLink | Vtep) else 0


class _AnyName(dict[int, str]):
    """Names of links that do not matter."""

    def __contains__(self, index: object) -> bool:
        return True

    def __missing__(self, index: int) -> str:
        return ""


def _new(step: Step) -> wire.LinkResource | wire.Entry:
    assert not isinstance(step, Delete), "a deletion makes nothing"
    new = step.new
    assert isinstance(new, wire.LinkResource | wire.Entry), f"{new} is not made by netlink"
    return new


def _names(one: object) -> tuple[str, ...]:
    """Names of links in the scope that a resource is or speaks of."""
    match one:
        case PortLink() | VlanInterface() | Vtep():
            return (one.bridge, one.name)
        case Bridge() | Uplink():
            return (one.name,)
        case InterfaceAddress() | Route() | RemoteEntry() | Neighbour():
            return (one.interface,)
    return ()


def _far_netns(link: wire.LinkResource) -> str | None:
    match link:
        case Uplink():
            return link.peer_scope
        case PortLink(kind=LinkKind.VETH):
            return link.peer_netns or "\0"
    return None


def _new_requests(one: wire.Entry, index: int) -> list[Request]:
    match one:
        case InterfaceAddress():
            return [wire.address(wire.NEW_ADDRESS, one, index)]
        case Route():
            return [wire.route(wire.NEW_ROUTE, one, index)]
        case RemoteEntry():
            return wire.remote_entry(wire.NEW_NEIGHBOUR, one, index)
        case Neighbour():
            return [wire.neighbour(wire.NEW_NEIGHBOUR, one, index)]


def _batched(links: Sequence[wire.LinkResource], size: int) -> Iterator[Sequence[wire.LinkResource]]:
    for start in range(0, len(links), size):
        yield links[start : start + size]


def _unused_number() -> int:
    """For an index or a group of links: nobody else uses it, and if so the kernel refuses it and we come again."""
    return _NUMBER_MIN + secrets.randbelow(_NUMBERS)
