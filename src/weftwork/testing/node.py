"""`weft up` as a process of its own, in a private folder: started, killed, restarted, taken down without residue."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from weftwork.testing.cloud import Cloud
from weftwork.testing.patience import patient

START_TIMEOUT_S = patient(30.0)


class ProcessHandle(Protocol):
    """What a Node needs of its process: a part of subprocess.Popen."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def send_signal(self, how: int, /) -> None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        ...


class Node:
    """One machine's server and agent. `external` is the external network's CIDR and gateway."""

    def __init__(
        self,
        folder: Path,
        *,
        external: tuple[str, str] | None = None,
        layout: str = "",
        backend: str = "",
        command: str = "up",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.socket = folder / "api.sock"
        self.log = folder / "weft.log"
        self._command = command
        self._arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._process: ProcessHandle | None = None
        self._config = folder / "weft.toml"
        self._config.write_text(_config(folder, external, layout, backend))

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the node is not running"
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start, and wait until it answers."""
        self.launch()
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"weft {self._command} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start without waiting."""
        self._process = self._spawn(self._command)

    def _spawn(self, command: str) -> ProcessHandle:
        is_specified = command == "overlay-network-server"
        program = ("weftwork.apps.overlay_network_server",) if is_specified else ("weftwork.apps.weft", command)
        arguments = [sys.executable, "-m", *program, "--config", str(self._config)]
        arguments += self._arguments
        with self.log.open("ab") as log:
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment)

    def stop(self) -> None:
        """As an operator stops it: what was programmed stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def wait(self, timeout_s: float) -> int:
        """Wait until the process ends by itself; its exit code, negative for a signal."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        self._process = None
        return code

    def down(self) -> None:
        """Stop, and take everything of ours off the machine (`weft down`)."""
        self.stop()
        command = [sys.executable, "-m", "weftwork.apps.weft", "down", "--config", str(self._config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment)
        if done.returncode:
            raise RuntimeError(f"weft down: {done.stderr}")

    @contextlib.contextmanager
    def cloud(self) -> Iterator[Cloud]:
        with Cloud(self.address) as cloud:
            yield cloud

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(patient(20))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        with contextlib.suppress(Exception), Cloud(self.address) as cloud:
            return cloud.is_serving()
        return False


def _config(folder: Path, external: tuple[str, str] | None, layout: str, backend: str) -> str:
    lines = [
        "[server]",
        'listen_addr = ""',
        f'socket = "{folder}/api.sock"',
        'rest_listen_addr = ""',
        f'rest_socket = "{folder}/rest.sock"',
        "[storage]",
        f'path = "{folder}/store.db"',
    ]
    lines += ["[network]"]
    if external is not None:
        lines += [f'external_cidrs = ["{external[0]}"]', f'external_gateway = "{external[1]}"']
    if backend:
        lines += [f'backend = "{backend}"']
    if layout:
        lines += [f'layout = "{layout}"']
    return "\n".join(lines) + "\n"
