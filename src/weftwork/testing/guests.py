"""A network namespace as a guest: it asks for its address by DHCP, serves, calls, listens and misbehaves.

Guests are made and removed by `ip netns`, as an operator would; everything they send is a real packet.
"""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Self

from weftwork.testing.inside import inside, open_socket
from weftwork.testing.patience import FACTOR, answered, patient, wait_s

_ICMP_ECHO = 8
_ETH_P_ALL = 3

LEASE_SCRIPT = """#!/bin/sh
# Called by udhcpc: put what was leased on the interface, and write it down.
case "$1" in
deconfig) ip addr flush dev "$interface"; ip link set "$interface" up ;;
bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; done
    printf '{"event": "%s", "address": "%s", "prefix_length": %s, "router": "%s", "dns": "%s", "domain": "%s", \
"ntp": "%s", "lease_s": %s, "mtu": "%s", "server": "%s"}' \
        "$1" "$ip" "$mask" "$router" "$dns" "$domain" "$ntpsrv" "$lease" "$mtu" "$serverid" > "$LEASE.new"
    mv "$LEASE.new" "$LEASE" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """What the DHCP client was given, in the client's own words."""

    event: str
    address: str
    prefix_length: int
    router: str
    dns: str
    domain: str
    ntp: str
    lease_s: int
    mtu: str
    server: str


def run(*command: str, check: bool = True) -> str:
    """The standard output of a command."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass
class Guest:
    """A guest in the namespace `name`, attached by `interface`."""

    name: str
    interface: str = "eth0"
    _servers: list["Server"] = field(default_factory=list)

    @classmethod
    def boot(cls, name: str) -> Self:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        return cls(name)

    def shut_down(self) -> None:
        """Stop what runs inside and remove the namespace; what was plugged in goes with it."""
        for server in self._servers:
            server.close()
        run("ip", "netns", "del", self.name, check=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut_down()

    def command(self, *words: str) -> list[str]:
        """The words, to be run in there."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *words]

    # Configuration

    def dhcp(self, *, tries: int = 10) -> Lease | None:
        """Ask for an address as a real client does; None when nobody answers."""
        with tempfile.TemporaryDirectory(prefix="weft-guest-") as folder:
            script, lease = Path(folder, "script"), Path(folder, "lease")
            script.write_text(LEASE_SCRIPT)
            script.chmod(0o700)
            timeout_s = str(max(1, round(FACTOR / 2)))
            client = ("udhcpc", "-i", self.interface, "-f", "-q", "-n", "-t", str(tries), "-T", timeout_s, "-A", "1")
            command = self.command(*client, "-O", "ntpsrv", "-O", "mtu", "-s", str(script))
            subprocess.run(command, capture_output=True, check=False, env={**os.environ, "LEASE": str(lease)})
            if not lease.exists():
                return None
            return Lease(**json.loads(lease.read_text()))

    def configure(self, address: str, gateway: str) -> None:
        """Set an address by hand (a guest that does not use DHCP, or one that lies)."""
        run("ip", "-n", self.name, "addr", "replace", address, "dev", self.interface)
        run("ip", "-n", self.name, "link", "set", self.interface, "up")
        run("ip", "-n", self.name, "route", "replace", "default", "via", gateway, "dev", self.interface)

    @property
    def mac(self) -> str:
        return str(self._link()["address"])

    @property
    def mtu_bytes(self) -> int:
        return int(self._link()["mtu"])

    @property
    def address(self) -> str:
        """The interface's first IPv4 address; empty without one, or without an interface."""
        shown = run("ip", "-n", self.name, "-j", "-4", "addr", "show", "dev", self.interface, check=False)
        found = json.loads(shown or "[]")
        addresses = [info["local"] for link in found for info in link.get("addr_info", ())]
        return addresses[0] if addresses else ""

    def _link(self) -> dict[str, str]:
        found: list[dict[str, str]] = json.loads(
            run("ip", "-n", self.name, "-j", "link", "show", "dev", self.interface)
        )
        return found[0]

    # Probes: each sends real packets and says whether the answer came. Without `timeout_s` an answer is expected, and
    # waited for; with it, none is, and so long must nothing come. See patience.py.

    def ping(self, to: str, *, timeout_s: float | None = None, tries: int = 1, size_bytes: int = 32) -> bool:
        with open_socket(self.name, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            identifier = (id(raw) ^ threading.get_ident()) & 0xFFFF
            return any(_echo(raw, to, identifier, n, timeout_s, size_bytes) for n in range(tries))

    def tcp(self, to: str, port: int, *, timeout_s: float | None = None, source_port: int = 0) -> str | None:
        """Connect and read the server's greeting; None when no connection came about."""
        with open_socket(self.name, socket.AF_INET, socket.SOCK_STREAM) as stream:
            stream.settimeout(wait_s(timeout_s))
            if source_port:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                stream.bind(("0.0.0.0", source_port))
            try:
                with _timed():
                    stream.connect((to, port))
                    return stream.recv(200).decode()
            except OSError:
                return None

    def udp(self, to: str, port: int, *, timeout_s: float | None = None, source_port: int = 0) -> str | None:
        """Send a datagram and read the echo; None when none came."""
        with open_socket(self.name, socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.settimeout(wait_s(timeout_s))
            if source_port:
                datagram.bind(("0.0.0.0", source_port))
            try:
                with _timed():
                    datagram.sendto(b"hello", (to, port))
                    return datagram.recv(200).decode()
            except OSError:
                return None

    def connect(self, to: str, port: int) -> "Flow":
        """A TCP connection that stays open; OSError when it does not come about."""
        stream = open_socket(self.name, socket.AF_INET, socket.SOCK_STREAM)
        stream.settimeout(wait_s())
        try:
            stream.connect((to, port))
            stream.recv(200)
        except OSError:
            stream.close()
            raise
        return Flow(stream)

    def serve(self, *, tcp: Sequence[int] = (), udp: Sequence[int] = ()) -> "Server":
        """Answer on these ports: TCP with a greeting and an echo, UDP with an echo."""
        server = Server(self.name, tcp, udp)
        self._servers.append(server)
        return server

    def send_frame(self, frame: bytes) -> None:
        """Put a frame on the wire as it is: whatever a hostile guest may think of."""
        with open_socket(self.name, socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((self.interface, 0))
            raw.send(frame)

    @contextlib.contextmanager
    def sniff(self) -> Iterator["Sniffer"]:
        """Everything that arrives while the block runs."""
        with open_socket(self.name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as raw:
            raw.bind((self.interface, _ETH_P_ALL))
            yield Sniffer(raw)


@contextlib.contextmanager
def _timed() -> Iterator[None]:
    """Tells how long the block took, unless it failed."""
    start = time.monotonic()
    yield
    answered(time.monotonic() - start)


def _echo(
    raw: socket.socket, to: str, identifier: int, sequence: int, timeout_s: float | None, size_bytes: int
) -> bool:
    packet = struct.pack("!BBHHH", _ICMP_ECHO, 0, 0, identifier, sequence) + b"w" * size_bytes
    packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
    try:
        raw.sendto(packet, (to, 0))
    except OSError:
        return False
    start = time.monotonic()
    deadline = start + wait_s(timeout_s)
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            return False
        answer = raw.recv(65535)
        header = (answer[0] & 15) * 4
        kind, _, _, got_identifier, got_sequence = struct.unpack("!BBHHH", answer[header : header + 8])
        if (kind, got_identifier, got_sequence) == (0, identifier, sequence):
            answered(time.monotonic() - start)
            return True
    return False


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


class Flow:
    """An established TCP connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def echo(self, *, timeout_s: float | None = None) -> bool:
        """Whether a byte still makes it there and back."""
        self._stream.settimeout(wait_s(timeout_s))
        try:
            with _timed():
                self._stream.send(b"x")
                return self._stream.recv(100) != b""
        except OSError:
            return False

    def close(self) -> None:
        """Close without a word, so that nothing lingers."""
        self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()


class Server:
    """Echo servers in a namespace, in one thread."""

    def __init__(self, netns: str, tcp: Sequence[int], udp: Sequence[int]) -> None:
        self._name = netns
        self._listeners = [self._listen(netns, port) for port in tcp]
        self._datagrams = [self._bind(netns, port) for port in udp]
        self._streams: list[socket.socket] = []
        self._peers: list[str] = []
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"server in {netns}", daemon=True)
        self._thread.start()

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses that called, in order: what a server sees of its clients behind NAT."""
        return tuple(self._peers)

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        os.close(self._stopped)
        self._thread.join(5)
        os.close(self._stop)
        for one in (*self._listeners, *self._datagrams, *self._streams):
            one.close()

    @staticmethod
    def _listen(netns: str, port: int) -> socket.socket:
        listener = open_socket(netns, socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(128)
        return listener

    @staticmethod
    def _bind(netns: str, port: int) -> socket.socket:
        datagram = open_socket(netns, socket.AF_INET, socket.SOCK_DGRAM)
        datagram.bind(("0.0.0.0", port))
        return datagram

    def _run(self) -> None:
        while True:
            watched = {one.fileno(): one for one in (*self._listeners, *self._datagrams, *self._streams)}
            ready, _, _ = select.select([*watched, self._stop], [], [])
            if self._stop in ready:
                return
            for number in ready:
                self._answer(watched[number])

    def _answer(self, one: socket.socket) -> None:
        try:
            if one in self._listeners:
                stream, peer = one.accept()
                self._peers.append(peer[0])
                self._streams.append(stream)
                stream.send(f"hello from {self._name}\n".encode())
            elif one in self._datagrams:
                data, peer = one.recvfrom(2048)
                self._peers.append(peer[0])
                one.sendto(f"{data.decode(errors='replace')} from {self._name}".encode(), peer)
            elif data := one.recv(2048):
                one.send(data)
            else:
                self._forget(one)
        except OSError:
            if one in self._streams:
                self._forget(one)

    def _forget(self, stream: socket.socket) -> None:
        self._streams.remove(stream)
        stream.close()


class Sniffer:
    """What arrives at an interface."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw

    def frames(self, *, for_s: float = 0.3) -> list[bytes]:
        """Frames that arrive within the time; our own outgoing ones are left out."""
        return list(self._arriving(wait_s(for_s)))

    def until(self, marker: bytes, *, timeout_s: float = 5.0) -> list[bytes]:
        """Frames up to the first that contains the marker, and what comes right behind it.

        TimeoutError when none does: silence would then say nothing.
        """
        frames = []
        for frame in self._arriving(patient(timeout_s)):
            frames.append(frame)
            if marker in frame:
                # The kernel may hand over frames of two processors in another order than they were sent.
                return frames + list(self._arriving(patient(0.05)))
        raise TimeoutError(f"no frame with {marker!r} among {len(frames)}")

    def _arriving(self, for_s: float) -> Iterator[bytes]:
        deadline = time.monotonic() + for_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._raw], [], [], left)[0]:
                return
            frame, (_, _, kind, _, _) = self._raw.recvfrom(65535)
            if kind != socket.PACKET_OUTGOING:
                yield frame


def ethernet(source: str, destination: str, ethertype: int, payload: bytes) -> bytes:
    """An Ethernet frame, padded to the minimum."""
    octets = bytes.fromhex(destination.replace(":", "")) + bytes.fromhex(source.replace(":", ""))
    return (octets + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet (RFC 791)."""
    total = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, total, 1, 0, 64, protocol, 0)
    head += IPv4Address(source).packed + IPv4Address(destination).packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source_port: int, destination_port: int, payload: bytes) -> bytes:
    """A UDP datagram without a checksum, which IPv4 allows (RFC 768)."""
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def tcp(source_port: int, destination_port: int, flags: int, source: str, destination: str, sequence: int = 1) -> bytes:
    """A TCP segment without data; flags as in RFC 9293 (SYN 2, RST 4, ACK 16)."""
    head = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, 1, 0x50, flags, 64240, 0, 0)
    pseudo = IPv4Address(source).packed + IPv4Address(destination).packed + struct.pack("!BBH", 0, 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def icmp_echo(identifier: int = 7, sequence: int = 1, data: bytes = b"weft" * 8) -> bytes:
    """An echo request (RFC 792)."""
    message = struct.pack("!BBHHH", _ICMP_ECHO, 0, 0, identifier, sequence) + data
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def arp(operation: int, sender_mac: str, sender_ip: str, target_mac: str, target_ip: str) -> bytes:
    """An ARP message (RFC 826): operation 1 asks, 2 answers."""
    octets = [bytes.fromhex(mac.replace(":", "")) for mac in (sender_mac, target_mac)]
    addresses = [IPv4Address(ip).packed for ip in (sender_ip, target_ip)]
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + octets[0] + addresses[0] + octets[1] + addresses[1]


__all__ = [
    "Flow",
    "Guest",
    "Lease",
    "Server",
    "Sniffer",
    "arp",
    "checksum",
    "ethernet",
    "icmp_echo",
    "inside",
    "ipv4",
    "run",
    "tcp",
    "udp",
]
