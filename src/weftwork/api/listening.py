"""Where servers listen: Unix sockets, for their owner alone and gone with the server; TCP beyond us with TLS only."""

import socket
import stat
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from weftwork.base import codes
from weftwork.base.errors import Failure

UNIX = "unix:"


def make_room(path: Path) -> None:
    """The folder, for us alone if it is made here; a socket left by a server that is gone is removed."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            return
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {path}: it is there, and it is no socket")
        if _is_alive(path):
            raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {path}: another server does")
        path.unlink()
    except OSError as error:
        raise Failure("ADDRESS_UNAVAILABLE", f"cannot listen on {path}: {error.strerror}") from None


def remove_sockets(addresses: Sequence[str]) -> None:
    for address in addresses:
        if address.startswith(UNIX):
            Path(address.removeprefix(UNIX)).unlink(missing_ok=True)


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def check_reach(address: str, *, has_tls: bool) -> None:
    """Refusal TLS_REQUIRED."""
    if not has_tls and not _is_loopback(address.rpartition(":")[0].strip("[]")):
        raise codes.TLS_REQUIRED.refusal(f"{address} is reached from other machines, and the server has no certificate")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
