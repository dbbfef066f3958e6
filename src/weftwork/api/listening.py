"""Unix sockets that servers listen on: made for their owner alone, and gone with the server."""

import socket
import stat
from collections.abc import Sequence
from pathlib import Path

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
