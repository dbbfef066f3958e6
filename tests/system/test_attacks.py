"""A hostile tenant: what it floods, forges and times so that a packet would pass that may not. None does."""

import ctypes
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from weftwork.testing.cloud import allow
from weftwork.testing.guests import Guest, arp, checksum, ethernet, icmp_echo, ipv4, run, udp
from weftwork.testing.inside import open_socket
from weftwork.testing.internet import Internet
from weftwork.testing.node import Node

ANYTHING = [allow("all", None, "0.0.0.0/0")]
SECRET = b"what a guest without rules wants to say"
OUTER = "203.0.113.60"
_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr: a struct msghdr without address and control data, and how much was sent."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Spray:
    """Sends the frames over and over, as fast as the kernel takes them, hundreds of thousands a second."""

    def __init__(self, guest: Guest, frames: Sequence[bytes]) -> None:
        self._raw = open_socket(guest.name, socket.AF_PACKET, socket.SOCK_RAW)
        self._raw.bind((guest.interface, 0))
        self._buffers = [ctypes.create_string_buffer(frame, len(frame)) for frame in frames]
        vectors = [_Vector(ctypes.addressof(one), len(one)) for one in self._buffers]
        self._vectors = (_Vector * len(frames))(*vectors)
        self._messages = (_Message * len(frames))()
        for number, message in enumerate(self._messages):
            message.vectors = ctypes.pointer(self._vectors[number])
            message.vectors_length = 1
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Spray":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._raw.close()

    def _run(self) -> None:
        size, count = ctypes.sizeof(_Message), len(self._messages)
        while not self._stop.is_set():
            at = 0
            while at < count:
                some = _libc.sendmmsg(
                    self._raw.fileno(), ctypes.byref(self._messages, at * size), min(1000, count - at), 0
                )
                if some <= 0:
                    break
                at += some
                self.sent += some


def datagrams(source: Guest, to: Guest, flows: int, port: int = 9) -> list[bytes]:
    """One small datagram of each of so many flows."""
    macs, addresses = (source.mac, to.mac), (source.address, to.address)
    return [ethernet(*macs, 0x0800, ipv4(*addresses, 17, udp(1024 + flow, port, SECRET))) for flow in range(flows)]


def arrivals(listener: socket.socket, for_s: float) -> int:
    """How many datagrams come in that time; what waited before does not count."""
    listener.setblocking(False)
    end = time.monotonic() + for_s
    while _one(listener):
        pass
    count = 0
    while (left := end - time.monotonic()) > 0:
        listener.settimeout(left)
        count += _one(listener)
    return count


def _one(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(100))
    except OSError:
        return False


def heard(source: Guest, victim: Guest, frame: bytes, marker: bytes = SECRET) -> bool:
    with victim.sniff() as tap:
        source.send_frame(frame)
        return any(marker in got for got in tap.frames(for_s=0.2))


def gateway_mac(guest: Guest) -> str:
    """As the guest's own kernel has learnt it."""
    gateway = run("ip", "-n", guest.name, "route", "show", "default").split()[2]
    assert guest.ping(gateway, tries=3)
    return run("ip", "-n", guest.name, "neigh", "show", gateway).split("lladdr ")[1].split()[0]


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "flows", "rounds"),
    [("egress", 64, 100), ("egress", 40000, 120), ("ingress", 40000, 120)],
    ids=["egress, few flows", "egress, many flows", "ingress, many flows"],
)
def test_no_packet_in_flight_outwits_a_revocation(tenant: Callable, direction: str, flows: int, rounds: int) -> None:
    """A flow that is judged just when its rule goes must not be taken for one that today's rules allow."""
    mine = tenant()
    rule = [allow("udp", 9, "0.0.0.0/0")]
    mine.cloud.group(mine.project, "server", ingress=rule)
    mine.cloud.group(mine.project, "client", egress=rule)
    client, server = mine.boot("client", groups=("client",)), mine.boot("server", groups=("server",))
    group = "client" if direction == "egress" else "server"
    outwitted = []
    with open_socket(server.name, socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 9))
        with Spray(client, datagrams(client, server, flows)) as spray:
            assert arrivals(listener, 0.3), "the rules allow it at first"
            for _ in range(rounds):
                mine.cloud.remove_rules(mine.project, group, **{direction: rule})
                outwitted.append(arrivals(listener, 0.02))
                mine.cloud.add_rules(mine.project, group, **{direction: rule})
    assert spray.sent >= 10 * flows
    assert sum(outwitted) == 0


def test_a_flow_that_is_never_allowed_finds_no_gap(tenant: Callable, node: Node) -> None:
    """While rules, groups and ports change, a guest is unplugged and the agent dies and comes back."""
    mine = tenant()
    cloud, project = mine.cloud, mine.project
    cloud.group(project, "open", egress=ANYTHING)
    cloud.group(project, "shut", ingress=[allow("tcp", 1, "10.20.0.0/16")])
    sender, victim = mine.boot("sender", groups=("open",)), mine.boot("victim", groups=("shut",))
    with open_socket(victim.name, socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 9))
        listener.setblocking(False)
        with Spray(sender, datagrams(sender, victim, 500)) as spray:
            for number in range(60):
                rule = [allow("udp", 10 + number, "10.20.0.0/16")]
                cloud.add_rules(project, "shut", ingress=rule, wait=False)
                cloud.set_groups(project, "victim", ["shut", "open"])
                cloud.port(project, f"n{number}", groups=["shut"], vm=f"vm{number}", wait=False)
                cloud.remove_rules(project, "shut", ingress=rule, wait=False)
                cloud.set_groups(project, "victim", [])
                cloud.delete_port(project, f"n{number}", wait=False)
                cloud.set_groups(project, "victim", ["shut"])
            node.kill()
            node.start()
            cloud.reconnect()
            cloud.settle()
        assert spray.sent > 10000
        assert not _one(listener), "a packet found a gap"


def test_who_inherits_an_address_inherits_no_flow(tenant: Callable) -> None:
    """Sprayed at throughout: from before the new port's device is there."""
    mine = tenant()
    cloud, project = mine.cloud, mine.project
    cloud.group(project, "client", egress=ANYTHING)
    cloud.group(project, "open", ingress=ANYTHING)
    cloud.group(project, "shut")
    sender, first = mine.boot("sender", groups=("client",)), mine.boot("first", groups=("open",))
    address, mac = first.address, first.mac
    with Spray(sender, datagrams(sender, first, 200)), Guest.boot("wt-heir") as heir:
        for _ in range(3):
            cloud.delete_port(project, "first", wait=False)
            cloud.port(project, "heir", groups=["shut"], address=address, mac=mac, wait=False)
            cloud.plug(project, "heir", heir.name)
            with heir.sniff() as tap:
                assert not any(SECRET in frame for frame in tap.frames(for_s=0.2))
            cloud.delete_port(project, "heir", wait=False)
            cloud.port(project, "first", groups=["open"], address=address, mac=mac, wait=False)
            cloud.plug(project, "first", first.name)
            with first.sniff() as tap:
                assert any(SECRET in frame for frame in tap.frames(for_s=0.3)), "the same, where it is allowed"


# --- forgeries ------------------------------------------------------------------------------------------------------


def icmp_error(kind: int, code: int, quoted: bytes) -> bytes:
    """An ICMP error (RFC 792) about the packet it quotes."""
    message = struct.pack("!BBHI", kind, code, 0, 0) + quoted
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


ERRORS = ((3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0))


@pytest.mark.parametrize("server_subnet", ["default", "far"], ids=["bridged", "routed"])
def test_only_an_end_of_a_flow_may_complain_of_it(tenant: Callable, server_subnet: str) -> None:
    """An ICMP error passes with the flow that it quotes; so it could carry a stranger's words."""
    mine = tenant()
    mine.cloud.subnet(mine.project, "far", "10.20.64.0/24")
    mine.cloud.group(mine.project, "none")
    mine.cloud.group(mine.project, "open", ingress=ANYTHING, egress=ANYTHING)
    client = mine.boot("client", groups=("open",))
    server = mine.boot("server", groups=("open",), subnet=server_subnet)
    stranger = mine.boot("stranger", groups=("none",))
    server.serve(udp=[53])
    assert client.udp(server.address, 53, source_port=4444)
    quoted = ipv4(client.address, server.address, 17, udp(4444, 53, b"x" * 8)) + SECRET
    router = gateway_mac(stranger)
    for kind, code in ERRORS:
        forged = ipv4(stranger.address, client.address, 1, icmp_error(kind, code, quoted))
        for destination in (client.mac, router):
            assert not heard(stranger, client, ethernet(stranger.mac, destination, 0x0800, forged)), (kind, code)
    assert client.udp(server.address, 53, source_port=4444), "on a slow machine the flow may be over by now"
    honest = ipv4(server.address, client.address, 1, icmp_error(3, 4, quoted))
    way = client.mac if server_subnet == "default" else gateway_mac(server)
    assert heard(server, client, ethernet(server.mac, way, 0x0800, honest))


def test_routers_outside_may_complain(tenant: Callable, internet: Internet) -> None:
    mine = tenant()
    guest = mine.boot("guest")
    mine.cloud.snat(mine.project, OUTER)
    with open_socket(guest.name, socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(2)
        datagram.connect((Internet.SERVER, 9))
        datagram.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            datagram.recv(10)


@pytest.fixture
def pair(tenant: Callable) -> tuple[Guest, Guest, str]:
    """A liar, a victim, and the namespace of their router."""
    mine = tenant()
    return mine.boot("liar"), mine.boot("victim"), f"weft-{mine.cloud.vpc_info(mine.project).vni}"


def test_frames_for_the_link_itself_pass_the_guard_too(pair: tuple[Guest, Guest, str]) -> None:
    """The kernel gives some of them to the port's device instead of the bridge (STP, LACP, LLDP, 802.1X)."""
    liar, victim, router = pair
    before = received(router)
    with victim.sniff() as tap:
        for last in range(16):
            for source in ("10.20.0.77", "10.20.0.1"):
                packet = ipv4(source, "10.20.0.1", 1, icmp_echo() + SECRET)
                liar.send_frame(ethernet(liar.mac, f"01:80:c2:00:00:{last:02x}", 0x0800, packet))
        assert not any(SECRET in frame for frame in tap.frames(for_s=0.3))
    assert received(router) == before
    assert liar.ping("10.20.0.1", tries=3) and received(router) > before, "what is counted are packets"


def received(netns: str) -> int:
    """How many packets the namespace's IP has taken in."""
    lines = [line.split() for line in run("ip", "netns", "exec", netns, "cat", "/proc/net/snmp").splitlines()]
    names, values = (line for line in lines if line[0] == "Ip:")
    return int(dict(zip(names, values, strict=True))["InReceives"])


def test_arp_is_about_ipv4_and_has_no_room_for_messages(pair: tuple[Guest, Guest, str]) -> None:
    liar, victim, _ = pair
    honest = arp(1, liar.mac, liar.address, "00:00:00:00:00:00", victim.address)
    assert heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0806, honest), honest)
    odd = [honest[:start] + value + honest[start + len(value) :] for start, value in ODD_ARP]
    for message in (*odd, honest + SECRET * 2):
        assert not heard(liar, victim, ethernet(liar.mac, victim.mac, 0x0806, message), message[8:]), message[:8]


ODD_ARP = ((0, b"\0\6"), (2, b"\x86\xdd"), (4, b"\0"), (4, b"\7"), (5, b"\x10"), (6, b"\0\3"), (6, b"\0\x08"))
"""Another hardware or protocol, other lengths, another operation: (where, what)."""
