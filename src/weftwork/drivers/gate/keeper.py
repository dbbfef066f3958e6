"""The keeper of a gate: a process with one loop and nothing else to do, for being late is being dead.

It outlives the agent, which only tells it what the gate is.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import time
from pathlib import Path

from weftwork.drivers.gate import beats
from weftwork.drivers.gate.election import Beat, Election
from weftwork.drivers.gate.files import GateFiles
from weftwork.drivers.gate.holding import Holding
from weftwork.drivers.gate.leases import Leases
from weftwork.drivers.linux import namespaces
from weftwork.program.gate import Gate

log = logging.getLogger(__name__)

_PRIORITY = 50
"""Of SCHED_RR, as for those who must not be late and do little."""
_OPEN_AGAIN_S = 1.0


class Keeper:
    def __init__(self, gate: Gate, files: GateFiles) -> None:
        self._gate = gate
        self._files = files
        self._seat = gate.seats.index(gate.underlay)
        self._beat_s = gate.beat_ms / 1000
        self._patience_s = self._beat_s * gate.missed_max
        self._election = Election(self._seat, len(gate.seats), self._patience_s)
        self._signed = beats.Signed(gate.address, gate.secret, time.time_ns())
        self._holding = Holding(Leases(gate.address, gate.underlay, gate.bridge_scope, gate.bridge), files)
        self._underlay = beats.underlay_socket(gate.underlay)
        self._external: socket.socket | None = None
        self._opened_s = 0.0
        self._is_active = False
        self._ends = False

    def stop(self, *_: object) -> None:
        self._ends = True

    def run(self) -> None:
        """Until `stop`. Nothing that goes wrong ends it: what it cannot renew, ends by itself."""
        self._files.write_state("standby")
        due = last = time.monotonic()
        while not self._ends:
            now = time.monotonic()
            if now >= due:
                if now - last > self._patience_s and self._is_active:
                    log.warning("was held up for %.0f ms: another one may be active", (now - last) * 1000)
                    self._election.slept(now)
                last = now
                self._take_in(now)
                self._decide(now)
                self._send(leaves=False)
                due = max(due + self._beat_s, now)
            self._wait(max(0.0, due - time.monotonic()))
        self._holding.end()
        self._send(leaves=True)
        self._files.write_state("standby")

    def _wait(self, seconds: float) -> None:
        hearing = [self._underlay, *([self._external] if self._external else [])]
        with contextlib.suppress(InterruptedError):
            ready, _, _ = select.select(hearing, [], [], seconds)
            if ready:
                self._take_in(time.monotonic())

    def _take_in(self, now: float) -> None:
        for one in (self._underlay, self._external):
            for data in beats.payloads(one) if one else ():
                if beat := self._signed.read(data):
                    self._election.hear(beat, now)

    def _decide(self, now: float) -> None:
        if self._holding.has_lapsed():
            log.warning("the kernel does not let this gateway be active")
            self._election.slept(now)
        was, self._is_active = self._is_active, self._election.decide(now)
        if self._is_active != was:
            self._holding.want(self._is_active)
            log.warning("this gateway is %s", "active" if self._is_active else "standing by")
            self._files.write_state("active" if self._is_active else "standby")

    def _send(self, *, leaves: bool) -> None:
        said = self._signed.write(Beat(self._seat, self._is_active and not leaves, leaves))
        for seat in self._gate.seats:
            if seat != self._gate.underlay:
                with contextlib.suppress(OSError):
                    self._underlay.sendto(said, (str(seat), beats.PORT))
        self._open_external()
        if self._external is not None:
            try:
                self._external.send(beats.frame(self._own_mac(), said))
            except OSError:
                self._external.close()
                self._external = None

    def _own_mac(self) -> bytes:
        """Nobody answers to it."""
        return bytes((2, 0x57)) + self._gate.underlay.packed

    def _open_external(self) -> None:
        now = time.monotonic()
        if self._external is not None or now - self._opened_s < _OPEN_AGAIN_S:
            return
        self._opened_s = now
        with (
            contextlib.suppress(OSError, ValueError),
            namespaces.opened(self._gate.bridge_scope) as there,
            namespaces.inside(there),
        ):
            self._external = beats.external_socket(self._gate.bridge)


def keep(folder: Path) -> None:
    """The gate that is told in the folder's files, until SIGTERM."""
    files = GateFiles(folder)
    gate = files.gate()
    if gate is None:
        return
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    keeper = Keeper(gate, files)
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, keeper.stop)
    gc.collect()
    gc.freeze()
    keeper.run()
