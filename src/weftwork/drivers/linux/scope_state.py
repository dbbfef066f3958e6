"""Everything of ours in one namespace, read from the kernel by the thread that stands in it."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import links_decode, marks, namespaces, nft_decode, sysctls, yielded
from weftwork.drivers.linux.links_decode import Link, Surroundings
from weftwork.drivers.linux.netlink import NETFILTER, Answer, Socket, as_u32, attributes
from weftwork.drivers.linux.yielded import Yielded
from weftwork.program.linux import LinuxResource, Namespace, Sysctl, Uplink

_NSID = 1
_FORWARDING = b"\3"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the alias of a namespace's `lo` says."""

    deployment: str
    owner: str

    def __str__(self) -> str:
        return f"{marks.word_of(self.deployment)} {self.owner}"


def observe(scope: str, deployment: str, given_way: Yielded) -> set[LinuxResource]:
    """Everything in the named namespace, or nothing when it is not there or not the deployment's; in the host's own,
    our rules. Raises OSError."""
    if not scope:
        return _own_rules()
    if namespaces.owner_of_empty_file(scope) == deployment:
        return {Namespace(scope, "")}
    try:
        with namespaces.opened(scope) as descriptor, namespaces.inside(descriptor), Socket() as route:
            mark, notes = read_mark(route)
            if mark is None or mark.deployment != deployment:
                return set()
            found: set[LinuxResource] = {Namespace(scope, mark.owner)}
            found |= _sysctls(scope, notes)
            found |= _links_and_addresses(scope, route, given_way)
            with Socket(NETFILTER) as netfilter:
                found |= nft_decode.observe(netfilter, scope)
            return found
    except (FileNotFoundError, ValueError):
        return set()


def _own_rules() -> set[LinuxResource]:
    """In the host's own namespace, where everything else is the operator's."""
    with namespaces.opened("") as descriptor, namespaces.inside(descriptor), Socket(NETFILTER) as netfilter:
        return set(nft_decode.observe(netfilter, ""))


def read_mark(route: Socket) -> tuple[Mark | None, tuple[str, ...]]:
    """What is written on the namespace's `lo`, None if it is nobody's of ours, and the notes there."""
    (body,) = route.ask(wire.look_up_loopback())
    alias = links_decode.link_of(body).alias
    deployment = marks.deployment_in(alias)
    mark = Mark(deployment, alias.partition(" ")[2]) if deployment is not None and " " in alias else None
    return mark, links_decode.loopback_notes(body)


def deployment_of(scope: str) -> str | None:
    """Whose namespace it is; None for a stranger's, and when there is none. Raises OSError."""
    try:
        with namespaces.opened(scope) as descriptor, namespaces.inside(descriptor), Socket() as route:
            mark, _ = read_mark(route)
            return mark.deployment if mark else None
    except (FileNotFoundError, ValueError):
        return namespaces.owner_of_empty_file(scope)


def give(scope: str, deployment: str) -> None:
    """Write the deployment over another; the rest of the mark stays. Raises OSError."""
    if namespaces.owner_of_empty_file(scope) is not None:
        namespaces.give_empty_file(scope, deployment)
        return
    with namespaces.opened(scope) as descriptor, namespaces.inside(descriptor), Socket() as route:
        mark, _ = read_mark(route)
        if mark is not None:
            for request in wire.mark_loopback(str(Mark(deployment, mark.owner))):
                route.ask(request)


def links(route: Socket) -> list[Link]:
    return [links_decode.link_of(body) for body in route.dump(wire.GET_LINK, wire.all_links())]


def _sysctls(scope: str, notes: Iterable[str]) -> set[Sysctl]:
    found: set[Sysctl] = set()
    for name in map(sysctls.name_of, notes):
        if name is not None:
            try:
                found.add(Sysctl(scope, name, sysctls.read(name)))
            except OSError:
                found.add(Sysctl(scope, name, "gone"))
    return found


def _links_and_addresses(scope: str, route: Socket, given_way: Yielded) -> set[LinuxResource]:
    present = links(route)
    names = {one.index: one.name for one in present}
    ours = [one for one in present if one.is_ours and one.index != 1]
    our_names = {one.index: one.name for one in ours}
    found: set[LinuxResource] = set()
    vteps = {one.index: one.name for one in ours if one.kind == "vxlan"}
    entries = _forwarding(route) if vteps or _ports(ours) else []
    around = _surroundings(route, ours, entries)
    tunnels = frozenset(one.index for one in ours if one.alias.split(" ")[1:2] == ["tunnel"])
    found |= set(yielded.remote_entries(entries, scope, vteps, given_way, tunnels))
    for one in ours:
        resource = links_decode.resource_of(one, scope, names, around)
        if resource is not None:
            found.add(resource)
    return found | _ip_resources(scope, route, names, our_names, given_way)


def ip_resources(scope: str, route: Socket) -> set[wire.IpResource]:
    """Our addresses, routes and neighbours."""
    present = links(route)
    names = {one.index: one.name for one in present}
    ours = {one.index: one.name for one in present if one.is_ours}
    return _ip_resources(scope, route, names, ours, Yielded(is_on=True))


def _ip_resources(
    scope: str, route: Socket, names: Mapping[int, str], our_names: Mapping[int, str], given_way: Yielded
) -> set[wire.IpResource]:
    return {
        *links_decode.addresses(route.dump(wire.GET_ADDRESS, bytes(8)), scope, our_names),
        *links_decode.routes(route.dump(wire.GET_ROUTE, bytes(12)), scope, names),
        *yielded.neighbours(route.dump(wire.GET_NEIGHBOUR, bytes(12)), scope, our_names, given_way),
    }


def _ports(ours: list[Link]) -> list[Link]:
    return [one for one in ours if one.alias.split(" ")[1:2] in (["tap"], ["veth"])]


def _forwarding(route: Socket) -> list[bytes]:
    """The forwarding tables of bridges and VTEPs."""
    return route.dump(wire.GET_NEIGHBOUR, bytes([7]) + bytes(11))


def _surroundings(route: Socket, ours: list[Link], entries: list[bytes]) -> Surroundings:
    ports = _ports(ours)
    filtering = any(one.data.get(wire.BR_VLAN_FILTERING, b"\0") != b"\0" for one in ours if one.kind == "bridge")
    known_by = _numbers_of_far_namespaces(route, ports)
    return Surroundings(
        vlans=links_decode.vlans_of(route.dump(wire.GET_LINK, wire.all_vlans())) if filtering else {},
        static=links_decode.static_entries(entries),
        far_netns_is=lambda name, number: number >= 0 and known_by.get(name) == number,
        outer_end_stands=outer_end_stands,
    )


def _numbers_of_far_namespaces(route: Socket, ports: Iterable[Link]) -> dict[str, int]:
    """By which number this namespace knows each guest's; a namespace that is gone is missing."""
    wanted = sorted({words[4] for one in ports if len(words := one.alias.split(" ")) == 6})
    known: dict[str, int] = {}
    for start in range(0, len(wanted), 256):
        with ExitStack() as stack:
            descriptors: dict[str, int] = {}
            for name in wanted[start : start + 256]:
                try:
                    descriptors[name] = stack.enter_context(namespaces.opened(name))
                except (OSError, ValueError):
                    continue
            answers = route.exchange([wire.namespace_id(one) for one in descriptors.values()])
            known |= {
                name: as_u32(attributes(answer.replies[0], 4)[_NSID])
                for name, answer in zip(descriptors, answers, strict=True)
                if answer.replies
            }
    return known


def outer_end_stands(uplink: Uplink) -> bool:
    """Whether the other end of an uplink is ours, up and under its bridge."""
    end, bridge = _outer_end(uplink)
    return bool(end and bridge and end.is_ours and end.up and end.master == bridge.index)


def outer_end_forwards(uplink: Uplink) -> bool:
    """Whether its bridge lets frames of an uplink pass: the kernel does so some time after both ends are up."""
    end, _ = _outer_end(uplink)
    return bool(end and end.port.get(wire.PORT_STATE) == _FORWARDING)


def _outer_end(uplink: Uplink) -> tuple[Link | None, Link | None]:
    """The other end of an uplink, and the bridge it should be under."""
    try:
        with (
            namespaces.opened(uplink.peer_scope) as descriptor,
            namespaces.inside(descriptor),
            Socket() as route,
        ):
            end, bridge = route.exchange([wire.look_up(uplink.peer), wire.look_up(uplink.peer_bridge)])
    except (FileNotFoundError, ValueError):
        return None, None
    return found_link(end), found_link(bridge)


def found_link(answer: Answer) -> Link | None:
    return links_decode.link_of(answer.replies[0]) if answer.replies else None
