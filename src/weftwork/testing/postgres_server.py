"""A real PostgreSQL in a private folder, on loopback and a Unix socket: started, killed, started again, taken away.

It refuses to be run by root, so it runs as `nobody`; its password lies in a file.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from weftwork.testing.patience import patient
from weftwork.testing.ports import free_ports

BINARIES = Path("/usr/lib/postgresql/15/bin")
OWNER = "nobody"
USER = "weft"
START_S = patient(60.0)


class PostgresServer:
    """The folder must be one that `nobody` can reach, so not below a folder of root's alone."""

    def __init__(self, folder: Path, *, settings: Sequence[str] = ()) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.password_file = folder / "password"
        (self.port,) = free_ports(1)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.remove()

    def start(self) -> None:
        """Make the cluster if it is not there, start, and wait until it takes connections."""
        if not self.data.exists():
            self._make()
        command = [
            *(str(BINARIES / "postgres"), "-D", str(self.data), "-k", str(self.folder)),
            *("-h", "127.0.0.1", "-p", str(self.port)),
            *("-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "max_wal_size=256MB"),
            *(part for setting in self._settings for part in ("-c", setting)),
        ]
        with self.log.open("ab") as log:
            self._process = self._spawn(command, log)
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to all of its processes at once, as a machine that loses its power."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)  # so that it starts no other one meanwhile
        all_of_them = [*_children(process.pid), process.pid]
        for pid in all_of_them:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + patient(20.0)
        while any(map(_lives, all_of_them)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self) -> None:
        """Whether it ended by itself or not."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patient(20.0))
        self.kill()

    def remove(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)

    def sql(self, statement: str) -> str:
        """What psql says of it."""
        command = [str(BINARIES / "psql"), "-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", "postgres"]
        environment = os.environ | {"PGPASSFILE": str(self.folder / "pgpass")}
        done = subprocess.run(
            [*command, "-XAtqc", statement], capture_output=True, text=True, check=True, env=environment
        )
        return done.stdout.strip()

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(secrets.token_hex(16) + "\n")
        pgpass = self.folder / "pgpass"
        pgpass.touch(mode=0o600)
        pgpass.write_text(f"*:*:*:{USER}:{self.password_file.read_text().strip()}\n")
        self.log.touch()
        if os.geteuid() == 0:
            for path in (self.folder, self.password_file, self.log):
                shutil.chown(path, OWNER)
        self.password_file.chmod(0o600)
        command = [
            *(str(BINARIES / "initdb"), "-D", str(self.data), "-U", USER, "-A", "scram-sha-256"),
            *("--pwfile", str(self.password_file), "-E", "UTF8", "--no-locale", "--no-sync"),
        ]
        with self.log.open("ab") as log:
            made = self._spawn(command, log).wait(START_S)
        if made:
            raise RuntimeError(f"initdb failed: {self.log.read_text(errors='replace')[-3000:]}")

    def _spawn(self, command: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
        """By setpriv, not by Popen's own `user`: that forks, and gRPC's threads do not outlive a fork."""
        other = ("setpriv", "--reuid", OWNER, "--regid", "nogroup", "--clear-groups", "--")
        return subprocess.Popen(
            [*(other if os.geteuid() == 0 else ()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )

    def _is_ready(self) -> bool:
        command = [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if int(_stat(int(entry.name))[1]) == parent:
                    found.append(int(entry.name))
    return found


def _lives(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """From the process' state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
