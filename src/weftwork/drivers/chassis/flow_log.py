"""Follows the log of ovn-controller for packets that ACLs logged.

So much is read a second and no more: of what comes faster, the oldest is left out. What was written before we came, and
while nobody wanted any, is not told.
"""

import asyncio
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.chassis.acl_log import seen_in
from weftwork.seams.flows import Seen, TakeSeen

log = logging.getLogger(__name__)

LOOK_S = 0.1
READ_BYTES = 128 * 1024
"""At a look: some 3,500 packets a second."""
BEHIND_BYTES = 4 * READ_BYTES
"""What is further behind is left out."""
KEPT_BYTES = 16 * 1024 * 1024
"""Of a log that is ours, before it is begun anew; the one before stays."""


class OvnFlowSource:
    """Implements `seams.flows.FlowSource`, in a thread of its own. `begin_anew` is given for a log that is ours."""

    followed_kinds = frozenset({"vpc"})

    def __init__(self, path: Path, take: TakeSeen, *, begin_anew: Callable[[], None] | None = None) -> None:
        self._path = path
        self._take = take
        self._begin_anew = begin_anew
        self._loop = asyncio.get_running_loop()
        self._wanted: frozenset[str] = frozenset()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._tail = _Tail(path)

    def follow(self, scopes: frozenset[str]) -> None:
        """Without any scope there is no thread."""
        if scopes and not self._wanted:
            self._tail.let_go()
            self._tail.open(at_end=True)
        self._wanted = scopes
        if self._thread is None and scopes:
            self._thread = threading.Thread(target=self._run, name="weft-flow-log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._ends.set()
        if self._thread is not None:
            self._thread.join()
        self._tail.let_go()

    def _run(self) -> None:
        while not self._ends.wait(LOOK_S):
            if not self._wanted:
                continue
            seen = [one for one in map(self._seen, self._tail.lines()) if one is not None]
            if seen:
                with suppress(RuntimeError):  # The loop is gone: the server ends.
                    self._loop.call_soon_threadsafe(self._take, seen)
            if self._begin_anew is not None and self._tail.place > KEPT_BYTES:
                try:
                    self._begin_anew()
                except Failure as failure:
                    log.warning("the log of ovn-controller grows on: %s", failure)

    def _seen(self, line: str) -> Seen | None:
        found = seen_in(line)
        if found is None or found[0].scope not in self._wanted:
            return None
        seen, sample = found
        return seen if sample == 1 or random.randrange(sample) == 0 else None  # noqa: S311  # no secret


class _Tail:
    """The end of a file that another writes, and begins anew under the same name now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._begun = b""
        self.place = 0

    def open(self, *, at_end: bool) -> None:
        with suppress(OSError):
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._begun, self.place = b"", os.fstat(self._file).st_size if at_end else 0

    def let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def lines(self) -> Iterator[str]:
        """What came since, as far as it is to be read now."""
        if self._file is None:
            self.open(at_end=False)
            if self._file is None:
                return
        size = os.fstat(self._file).st_size
        if size < self.place or size - self.place > BEHIND_BYTES:
            self._begun, self.place = b"", 0 if size < self.place else size - READ_BYTES
        data = os.pread(self._file, READ_BYTES, self.place)
        self.place += len(data)
        *whole, self._begun = (self._begun + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole if b"|acl_log(" in line)
        if not data and self._is_another():
            self.let_go()

    def _is_another(self) -> bool:
        assert self._file is not None
        with suppress(OSError):
            return self._path.stat().st_ino != os.fstat(self._file).st_ino
        return False
