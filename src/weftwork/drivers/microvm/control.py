"""What a guest's init says of itself and is asked for, a line of JSON each: `guest/control.go` is the other side."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weftwork.drivers.microvm import sockets

_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """`run` is starting, running, stopping, halted or failed; `service` none, running or exited."""

    run: str
    service: str = "none"
    exit_code: int | None = None
    starts: int = 0
    why: str = ""


def parse_report(line: bytes) -> Report | None:
    """Written by a stranger: None for what is no report."""
    try:
        said = json.loads(line)
        run, service, code = said["run"], said.get("service", "none"), said.get("exit_code")
        starts, why = said.get("starts", 0), said.get("why", "")
    except (ValueError, KeyError, AttributeError, RecursionError, TypeError):
        return None
    texts = all(isinstance(one, str) and len(one) <= 1000 for one in (run, service, why))
    numbers = isinstance(starts, int) and (code is None or isinstance(code, int))
    if not texts or not numbers or abs(starts) > 1 << 31 or abs(code or 0) > 1 << 31:
        return None
    return Report(run, service, code, starts, why)


class Control:
    """Holds the line to one guest, and takes it up again when it breaks."""

    def __init__(self, path: Path, told: Callable[[Report], None]) -> None:
        self._path = path
        self._told = told
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(OSError, ValueError):
                reader, self._writer = await sockets.connect(self._path)
                try:
                    self._say({"time_ns": time.time_ns()})
                    while line := await reader.readline():
                        if report := parse_report(line):
                            self._told(report)
                finally:
                    self._writer.close()
                    self._writer = None
            await asyncio.sleep(_AGAIN_S)

    def stop(self, grace_s: float) -> bool:
        """Ask it to end; whether there was a line to say it on."""
        return self._say({"stop": True, "grace_s": grace_s, "time_ns": time.time_ns()})

    def _say(self, request: dict[str, object]) -> bool:
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(json.dumps(request).encode() + b"\n")
        return True
