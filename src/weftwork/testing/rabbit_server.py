"""A real RabbitMQ in a private folder, on loopback: started, killed, started again, taken away."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from weftwork.testing.patience import patient
from weftwork.testing.ports import free_ports

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_S = patient(90.0)


class RabbitServer:
    """Its name, its ports, its cookie and its epmd are its own: it meets no other RabbitMQ of the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._dist_port, self._epmd_port = free_ports(3)
        self.log = folder / "rabbit.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq.conf").write_text(
            "loopback_users.guest = true\nvm_memory_high_watermark.relative = 0.9\n"
        )
        (self.folder / "enabled_plugins").write_text("[].\n")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._kill_epmd()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Waits until it takes connections."""
        self._output = self.log.open("ab")
        self._process = subprocess.Popen(
            [str(PROGRAM)],
            env=self._environment(),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut: SIGKILL to all of it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._output is not None:
            self._output.close()

    def _answers(self) -> bool:
        """A broker greets who sends the protocol's head; a port alone is open before that."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\0\0\x09\x01")
                return bool(connection.recv(8))
        except OSError:
            return False

    def _kill_epmd(self) -> None:
        """It was started with ours, as a daemon: the one that listens at our port."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"epmd") and f"ERL_EPMD_PORT={self._epmd_port}" in _environment_of(folder):
                    os.kill(int(folder.name), signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"weft{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


def _environment_of(folder: Path) -> list[str]:
    return (folder / "environ").read_bytes().decode(errors="replace").split("\0")
