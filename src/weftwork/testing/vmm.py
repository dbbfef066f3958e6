"""A process that has a port's TAP open, as a virtual machine monitor has, and speaks as the machine behind it would."""

import errno
import fcntl
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from weftwork.testing.guests import arp, checksum, ethernet, icmp_echo, ipv4
from weftwork.testing.inside import inside
from weftwork.testing.patience import patient, wait_s

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_VNET_HEADER = bytes(10)
"""What precedes each frame (virtio specification, 5.1.6): nothing is offloaded."""

_ARP, _IPV4 = b"\x08\x06", b"\x08\x00"
_ASK, _ANSWER = 1, 2
_ASK_AGAIN_S = 0.3
_ICMP, _ECHO_REPLY, _ECHO_REQUEST = 1, 0, 8
_BROADCAST = "ff:ff:ff:ff:ff:ff"


class Vmm:
    """Opens the TAP `device` in the namespace `netns`; its machine has this MAC and address, and answers ARP and pings.

    OSError when there is no such device: one that is made by opening it would not be the port's.
    """

    def __init__(self, netns: str, device: str, mac: str, address: str) -> None:
        self.mac = mac
        self.address = address
        self._tap = inside(netns, lambda: _open(device))
        self._arrived: queue.Queue[bytes] = queue.Queue(10000)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"VMM of {device}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._stopped)
        self._thread.join(patient(5))
        os.close(self._stop)
        os.close(self._tap)

    def send(self, frame: bytes) -> None:
        os.write(self._tap, _VNET_HEADER + frame)

    def resolve(self, address: str) -> str | None:
        """The MAC behind an address, by ARP; None when nobody answers, however often it is asked, as guests do."""
        question = arp(_ASK, self.mac, self.address, "00:00:00:00:00:00", address)
        deadline = time.monotonic() + wait_s(None)
        while time.monotonic() < deadline:
            self.send(ethernet(self.mac, _BROADCAST, 0x0806, question))
            answer = self._first(lambda frame: frame[12:14] == _ARP and frame[21] == _ANSWER, _ASK_AGAIN_S)
            if answer:
                return answer[22:28].hex(":")
        return None

    def ping(self, address: str, mac: str, *, timeout_s: float | None = None) -> bool:
        """Whether an echo sent to that MAC comes back; `timeout_s` as in `guests.Guest`."""
        asked = os.urandom(16)
        self.send(ethernet(self.mac, mac, 0x0800, ipv4(self.address, address, _ICMP, icmp_echo(data=asked))))
        return self._first(lambda frame: frame[34] == _ECHO_REPLY and frame[42:58] == asked, timeout_s) is not None

    def _first(self, wanted: Callable[[bytes], bool], timeout_s: float | None = None) -> bytes | None:
        deadline = time.monotonic() + wait_s(timeout_s)
        while (left := deadline - time.monotonic()) > 0:
            try:
                frame = self._arrived.get(timeout=left)
            except queue.Empty:
                return None
            if wanted(frame):
                return frame
        return None

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._tap, self._stop], [], [])
            if self._stop in ready:
                return
            try:
                frame = os.read(self._tap, 65536)[len(_VNET_HEADER) :]
            except OSError:
                return  # The device is gone.
            reply = self._reply(frame)
            if reply:
                self.send(reply)
            elif not self._arrived.full():
                self._arrived.put(frame)

    def _reply(self, frame: bytes) -> bytes:
        """To an ARP request for our address, or to an echo request; else empty."""
        sender = frame[6:12].hex(":")
        ours = IPv4Address(self.address).packed
        if frame[12:14] == _ARP and frame[21] == _ASK and frame[38:42] == ours:
            asker = str(IPv4Address(frame[28:32]))
            return ethernet(self.mac, sender, 0x0806, arp(_ANSWER, self.mac, self.address, sender, asker))
        if frame[12:14] == _IPV4 and frame[23] == _ICMP and frame[30:34] == ours and frame[34] == _ECHO_REQUEST:
            asker = str(IPv4Address(frame[26:30]))
            message = b"\0\0\0\0" + frame[38 : 14 + int.from_bytes(frame[16:18], "big")]
            message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
            return ethernet(self.mac, sender, 0x0800, ipv4(self.address, asker, _ICMP, message))
        return b""


def _open(device: str) -> int:
    """A TAP that is there already: TUNSETIFF would make one that is not."""
    if device not in (name for _, name in socket.if_nameindex()):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), device)
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    except OSError:
        os.close(file)
        raise
    return file
