"""The TAP of a port, opened for a machine monitor that stands in no network of its own."""

import errno
import fcntl
import os
import socket
import struct

from weftwork.base.errors import Failure
from weftwork.drivers.linux import namespaces

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def open_tap(scope: str, device: str) -> int:
    """A descriptor of the device; to be called in a thread. Raises Failure NETNS_MISSING, LINK_MISSING, TAP_BUSY."""
    try:
        with namespaces.opened(scope) as namespace, namespaces.inside(namespace):
            return _open_here(device)
    except FileNotFoundError:
        raise Failure("NETNS_MISSING", f"there is no network namespace {scope}") from None
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise Failure("LINK_MISSING", f"{device} is not there (yet)") from None
        if error.errno == errno.EBUSY:
            raise Failure("TAP_BUSY", f"another process has {device} open") from None
        raise Failure("LINK_MISSING", f"{device}: {error.strerror}") from None


def _open_here(device: str) -> int:
    """TUNSETIFF would make one that is not there, and it would lack everything that guards the port's."""
    if device not in (name for _, name in socket.if_nameindex()):
        raise OSError(errno.ENODEV, "no such device")
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    except OSError:
        os.close(file)
        raise
    return file
