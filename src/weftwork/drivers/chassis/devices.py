"""The devices themselves, in the chassis' network namespace: their mark says all that the kernel cannot tell later."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from weftwork.base.addresses import Mac, parse_mac
from weftwork.base.errors import Failure
from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux import marks, namespaces, scope_state, taps
from weftwork.drivers.linux.links_apply import failure_of
from weftwork.drivers.linux.netlink import Socket
from weftwork.program.chassis import ChassisPort
from weftwork.program.linux import LinkKind

_KIND = "chassis"
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17
_INDEX_MIN, _INDEX_MAX = 1 << 20, (1 << 31) - 1
NOBODY = Mac("00:00:00:00:00:00")


def alias_of(port: ChassisPort, deployment: str) -> str:
    far = (port.peer_netns, port.peer_name) if port.kind is LinkKind.VETH else ("-", "-")
    words = (marks.word_of(deployment), _KIND, port.scope, port.kind.value, port.mac, str(port.mtu_bytes), *far)
    return " ".join(words)


def port_of(name: str, alias: str, mtu_bytes: int) -> ChassisPort | None:
    """What a link of some deployment is, not yet plugged; None for another's. `mtu_bytes` is what the kernel says."""
    words = alias.split(" ")
    if len(words) != 8 or words[1] != _KIND:
        return None
    _, _, scope, kind, mac, _, netns, peer = words
    try:
        veth = LinkKind(kind) is LinkKind.VETH
        far = (netns, peer) if veth else ("", "")
        return ChassisPort(scope, name, LinkKind(kind), "", parse_mac(mac), mtu_bytes, *far)
    except ValueError:
        return None


def observe(netns: str, deployment: str) -> dict[str, ChassisPort]:
    """The deployment's by name; of a veth whose far end went elsewhere, the place where it is not counts as nowhere."""
    try:
        with _standing_in(netns) as route:
            found = {}
            for link in scope_state.links(route):
                port = port_of(link.name, link.alias, link.mtu_bytes)
                if port is not None and link.up and marks.deployment_in(link.alias) == deployment:
                    found[link.name] = port
            return found
    except FileNotFoundError:
        return {}


def standing(netns: str) -> dict[str, str]:
    """Every device of ours, by name, with its deployment."""
    try:
        with _standing_in(netns) as route:
            whose = {
                link.name: marks.deployment_in(link.alias)
                for link in scope_state.links(route)
                if port_of(link.name, link.alias, link.mtu_bytes) is not None
            }
    except FileNotFoundError:
        return {}
    return {name: deployment for name, deployment in whose.items() if deployment is not None}


def give(netns: str, name: str, deployment: str) -> None:
    """Write the deployment over another; the rest of the mark stays. Raises Failure."""
    try:
        with _standing_in(netns) as route:
            there = scope_state.found_link(route.exchange([wire.look_up(name)])[0])
            if there is not None:
                _, _, rest = there.alias.partition(" ")
                route.ask(wire.mark_link(there.index, f"{marks.word_of(deployment)} {rest}"))
    except OSError as error:
        raise failure_of(error) from error


def make(netns: str, port: ChassisPort, deployment: str, *, without_offload: bool) -> None:
    """The device, up, marked before it can be left behind. What has its name and is ours goes first. Raises Failure."""
    try:
        with _standing_in(netns) as route:
            there = scope_state.found_link(route.exchange([wire.look_up(port.name)])[0])
            if there is not None:
                if marks.deployment_in(there.alias) != deployment:
                    raise Failure("LINK_NAME_TAKEN", f"the chassis has a link {port.name} that is not ours")
                route.ask(wire.delete_link(there.index))
            index = _unused_index()
            if port.kind is LinkKind.TAP:
                _make_tap(route, port, index, deployment)
            else:
                _make_veth(route, port, index, deployment)
            route.ask(wire.bring_up(index))
        if port.kind is LinkKind.VETH:
            _finish_far_end(port, without_offload=without_offload)
    except OSError as error:
        raise failure_of(error) from error


def remove(netns: str, name: str, deployment: str) -> None:
    """Nothing to do is fine; a link that is not ours stays. Raises Failure."""
    try:
        with _standing_in(netns) as route:
            there = scope_state.found_link(route.exchange([wire.look_up(name)])[0])
            if there is not None and marks.deployment_in(there.alias) == deployment:
                route.ask(wire.delete_link(there.index))
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure_of(error) from error


def _make_tap(route: Socket, port: ChassisPort, index: int, deployment: str) -> None:
    file = taps.create(port.name, index)
    try:
        route.ask(wire.mark_link(index, alias_of(port, deployment), mtu_bytes=port.mtu_bytes))
        taps.persist(file)
    finally:
        os.close(file)


def _make_veth(route: Socket, port: ChassisPort, index: int, deployment: str) -> None:
    """In one send with its mark: without, it would be a stranger's for ever."""
    try:
        with namespaces.opened(port.peer_netns) as descriptor:
            far = wire.FarEnd(port.peer_name, descriptor, port.mac)
            requests = wire.create_veth(port.name, index, port.mtu_bytes, far, alias_of(port, deployment))
            for answer in route.exchange(requests):
                if answer.error:
                    raise answer.error
    except (FileNotFoundError, ValueError):
        raise Failure("NETNS_MISSING", f"there is no network namespace {port.peer_netns}") from None


def _finish_far_end(port: ChassisPort, *, without_offload: bool) -> None:
    """Up; where the datapath reads packets in user space, nobody completes a checksum that the guest left open."""
    with namespaces.opened(port.peer_netns) as descriptor, namespaces.inside(descriptor), Socket() as route:
        if without_offload:
            _turn_off(port.peer_name)
        route.ask(wire.bring_up_by_name(port.peer_name, port.mtu_bytes))


def turn_off_checksum_offload(netns: str, interface: str) -> None:
    """Of an interface that is not a guest's. Raises OSError."""
    with namespaces.opened(netns) as descriptor, namespaces.inside(descriptor):
        _turn_off(interface)


def _turn_off(interface: str) -> None:
    """As `ethtool -K <interface> tx off` does (ethtool(8))."""
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, struct.pack("16sP8x", interface.encode(), ctypes.addressof(value)))


@contextmanager
def _standing_in(netns: str) -> Iterator[Socket]:
    with namespaces.opened(netns) as descriptor, namespaces.inside(descriptor), Socket() as route:
        yield route


def _unused_index() -> int:
    return _INDEX_MIN + int.from_bytes(os.urandom(4), "big") % (_INDEX_MAX - _INDEX_MIN)
