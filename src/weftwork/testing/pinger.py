"""Pings without pause, to see what a change loses."""

import threading
import time
from types import TracebackType
from typing import Self

from weftwork.testing.guests import Guest


class Pinger:
    """Pings from a thread of its own while the block runs, and counts what is lost."""

    def __init__(self, source: Guest, to: str) -> None:
        self.sent = self.lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source, to))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self, source: Guest, to: str) -> None:
        while not self._stop.is_set():
            self.sent += 1
            self.lost += not source.ping(to)
            time.sleep(0.005)
