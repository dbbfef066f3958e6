"""A pinger in a process of its own: `python -m bench.watch NETNS ADDRESS PAUSE_S`, told to end by SIGTERM.

It prints `up T` and `down T` when answers begin and cease to come, with the time (CLOCK_MONOTONIC, which all
processes share) at which the first ping of that kind was sent, and in the end `sent N lost N`.
"""

import os
import select
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from bench.echo import Echo

MISSES = 3
"""As many pings in a row without an answer are a silence."""
LATE_S = 1.0
WAIT_S = 30.0


def main(netns: str, to: str, pause_s: float) -> None:
    stopping: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    echo, identifier = Echo(netns, to), os.getpid() & 0xFFFF
    waiting: dict[tuple[int, int], float] = {}
    is_up, sent, lost, answered_until = False, 0, 0, 0.0
    while not stopping:
        now = time.monotonic()
        try:
            waiting[echo.send(identifier)] = now
            sent += 1
        except OSError:
            lost, sent = lost + 1, sent + 1
        end = now + pause_s
        while True:
            for at in [waiting.pop(one) for one in echo.answers() if one in waiting]:
                answered_until = max(answered_until, at)
                if not is_up:
                    is_up = True
                    print(f"up {at}", flush=True)
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, pause_s / 2))
        for key in [key for key, at in waiting.items() if at < now - LATE_S]:
            lost += 1
            del waiting[key]
        silent = [at for at in waiting.values() if at > answered_until]
        if is_up and len(silent) >= MISSES:
            is_up = False
            print(f"down {silent[0]}", flush=True)
    time.sleep(pause_s)
    late = {one for one in echo.answers() if one in waiting}
    print(f"sent {sent} lost {lost + len(waiting) - len(late)}", flush=True)


class Watch:
    """The process, as those who wait for it see it."""

    def __init__(self, netns: str, to: str, pause_s: float) -> None:
        self._command = [sys.executable, "-m", "bench.watch", netns, to, str(pause_s)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=False, bufsize=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def until(self, state: str) -> float:
        """When the next `up` or `down` came, on time.monotonic()'s clock."""
        word, at = self._line().split()
        assert word == state, f"expected {state}, saw {word}"
        return float(at)

    def end(self) -> tuple[int, int]:
        """Pings sent and lost."""
        self._process.terminate()
        while True:
            words = self._line().split()
            if words[0] == "sent":
                return int(words[1]), int(words[3])

    def _line(self) -> str:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], WAIT_S)
        assert ready, "the pinger saw no change in time"
        line = self._process.stdout.readline().decode()
        assert line, "the pinger died"
        return line


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
