"""One command to a daemon of Open vSwitch or OVN, as ovs-appctl(8) gives it, without its process."""

import contextlib
import json
import socket
from pathlib import Path

_TIMEOUT_S = 30.0


def call(path: Path, method: str, *arguments: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(str(path))
        connection.sendall(json.dumps({"id": 0, "method": method, "params": arguments}).encode())
        answer = b""
        while True:
            data = connection.recv(1 << 20)
            assert data, f"{path.name} closed the connection"
            answer += data
            with contextlib.suppress(ValueError):
                told = json.loads(answer)
                assert not told["error"], told["error"]
                return str(told["result"] or "")
