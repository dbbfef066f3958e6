"""Real etcd members in a private folder, on loopback: started, killed, started again, taken away."""

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from weftwork.testing.patience import patient
from weftwork.testing.ports import free_ports

START_S = patient(30.0)
LIMITS = ("--max-txn-ops", "65536", "--max-request-bytes", "100000000")
"""As docs/howto/run-on-etcd.md asks for: a change may write more than etcd lets through by itself."""


class EtcdCluster:
    """`members` of them. With `tls`, clients need the arguments given there; their endpoints are https."""

    def __init__(
        self, folder: Path, members: int = 1, *, tls: Sequence[str] = (), arguments: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._scheme = "https" if tls else "http"
        self._arguments = (*LIMITS, *tls, *arguments)
        ports = free_ports(3 * members)
        self._clients = ports[:members]
        self._peers = ports[members : 2 * members]
        self._metrics = ports[2 * members :]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * members

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(f"{self._scheme}://127.0.0.1:{port}" for port in self._clients)

    @property
    def log(self) -> Path:
        return self._folder / "etcd.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start those that do not run, and wait until all are healthy."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, process in enumerate(self._processes):
            if process is None or process.poll() is not None:
                self.launch(number)
        for number in range(len(self._processes)):
            self._wait_for(number)

    def launch(self, number: int) -> None:
        """Start one without waiting."""
        client = f"{self._scheme}://127.0.0.1:{self._clients[number]}"
        peers = [f"m{index}=http://127.0.0.1:{port}" for index, port in enumerate(self._peers)]
        peer = peers[number].partition("=")[2]
        command = [
            *("etcd", "--name", f"m{number}", "--data-dir", str(self._folder / f"m{number}")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(peers), "--initial-cluster-state", "new"),
            *("--listen-metrics-urls", f"http://127.0.0.1:{self._metrics[number]}"),
            *("--logger", "zap", "--log-level", "warn"),
            *self._arguments,
        ]
        with self.log.open("ab") as log:
            self._processes[number] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def restart(self) -> None:
        """Those that ended by themselves, and the others too."""
        self.stop()
        self.start()

    def kill(self, number: int, how: signal.Signals = signal.SIGKILL) -> None:
        process = self._processes[number]
        assert process is not None, f"member {number} does not run"
        process.send_signal(how)
        process.wait(patient(20.0))
        self._processes[number] = None

    def leader(self) -> int:
        """The member that leads now."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for number, process in enumerate(self._processes):
                if process is not None and "\netcd_server_is_leader 1\n" in self._read(number, "metrics"):
                    return number
            time.sleep(0.05)
        raise RuntimeError(f"no member of etcd leads: {self._tail()}")

    def stop(self) -> None:
        for number, process in enumerate(self._processes):
            if process is not None:
                self.kill(number)

    def _wait_for(self, number: int) -> None:
        deadline = time.monotonic() + START_S
        while '"true"' not in self._read(number, "health"):
            process = self._processes[number]
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"etcd did not start: {self._tail()}")
            time.sleep(0.02)

    def _read(self, number: int, page: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics[number]}/{page}", timeout=2.0) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return ""

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]
