"""As many UDP packets per second as go: `python -m bench.flood send ADDRESS PORT` and `… receive PORT SECONDS`.

By sendmmsg and recvmmsg, 64 packets per system call, so that the interpreter is not what is measured.
"""

import ctypes
import os
import socket
import sys
import time

PAYLOAD_BYTES = 18
"""With UDP, IPv4, Ethernet and its checksum: a frame of 64 bytes."""
AT_ONCE = 64
START_S = 10.0
_MSG_WAITFORONE = 0x10000
_SO_RCVBUFFORCE = 33


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)


def _messages(size_bytes: int) -> ctypes.Array[_Message]:
    """`AT_ONCE` messages over one buffer: what is in them does not matter."""
    buffer = ctypes.create_string_buffer(size_bytes)
    vector = _Vector(ctypes.cast(buffer, ctypes.c_void_p), size_bytes)
    messages = (_Message * AT_ONCE)()
    for message in messages:
        message.header.vectors = ctypes.pointer(vector)
        message.header.vectors_length = 1
    return messages


def send(address: str, port: int) -> None:
    """Until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((address, port))
        messages = _messages(PAYLOAD_BYTES)
        while True:
            _libc.sendmmsg(out.fileno(), messages, AT_ONCE, 0)


def receive(port: int, seconds: float) -> float:
    """Packets per second that arrived, from the first one on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as into:
        into.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        into.bind(("0.0.0.0", port))
        into.settimeout(START_S)
        print("ready", flush=True)
        into.recv(2048)
        # settimeout made the socket non-blocking for the kernel.
        into.settimeout(None)
        messages = _messages(2048)
        began, packets = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < seconds:
            got = _libc.recvmmsg(into.fileno(), messages, AT_ONCE, _MSG_WAITFORONE, None)
            assert got > 0, os.strerror(ctypes.get_errno())
            packets += got
        return packets / elapsed


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]))
    else:
        print(receive(int(sys.argv[2]), float(sys.argv[3])), flush=True)
