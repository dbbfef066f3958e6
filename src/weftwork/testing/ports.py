"""TCP ports of loopback that nobody uses."""

import socket
from contextlib import ExitStack, closing


def free_ports(number: int) -> list[int]:
    """Free a moment ago: all are asked for before the first is let go."""
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
