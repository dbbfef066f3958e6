"""TAP devices, which rtnetlink cannot create: an ioctl on /dev/net/tun (tuntap.rst)."""

import fcntl
import os
import struct

_TUNSETIFF, _TUNSETPERSIST, _TUNSETIFINDEX = 0x400454CA, 0x400454CB, 0x400454DA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x4000, 0x8000


def create(name: str, index: int) -> int:
    """A TAP in the calling thread's namespace; it lives as long as the descriptor given back. Raises OSError."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(file, _TUNSETIFINDEX, struct.pack("=I", index))
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
        fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError:
        os.close(file)
        raise
    return file


def persist(file: int) -> None:
    """The TAP outlives us. Called when its mark is on it, so that none without a mark is ever left behind."""
    fcntl.ioctl(file, _TUNSETPERSIST, 1)
