"""A machine with an agent of its own and no server, as tests use it."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from weftwork.client.host_networks import HostClient
from weftwork.testing.guests import Guest
from weftwork.testing.patience import patient

T = TypeVar("T")


class Host:
    """A machine with an agent of its own, and guests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guests = ExitStack()
        self._agent: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "agent.sock")

    def start(self) -> None:
        command = ("-m", "weftwork.apps.weft", "agent", "--alone", "--state", str(self.folder), "--audit", "1")
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        deadline = time.monotonic() + patient(30)
        while not self._answers():
            said = (self.folder / "agent.log").read_text()
            assert time.monotonic() < deadline and self._agent.poll() is None, said
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.ask(lambda client: client.list_stacks())
        except Exception:
            return False
        return True

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._agent is not None:
            self._agent.send_signal(how)
            self._agent.wait(patient(20))
            self._agent = None

    def ask(self, call: Callable[[HostClient], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with HostClient(f"unix:{self.socket}") as client:
                return await call(client)

        return asyncio.run(asked())

    def guest(self, name: str) -> Guest:
        return self.guests.enter_context(Guest.boot(name))
