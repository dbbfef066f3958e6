"""Being active, held by a thread of its own: the kernel may keep whoever changes its networks waiting for longer than
the other gateways wait for a beat."""

import contextlib
import logging
import threading
import time
from ipaddress import IPv4Address

from weftwork.base.addresses import Mac
from weftwork.drivers.gate.files import GateFiles
from weftwork.drivers.gate.leases import OPEN_MS, Leases
from weftwork.drivers.linux import nft

log = logging.getLogger(__name__)

_EVERY_S = 0.1
_ANNOUNCED_AGAIN_S = (0.0, 0.1, 0.5, 2.0)
"""After taking over: a frame may get lost, and bridges may still be learning."""


class Holding:
    """`want` says whether to be active. What cannot be renewed ends by itself, and `has_lapsed` tells."""

    def __init__(self, leases: Leases, files: GateFiles) -> None:
        self._leases = leases
        self._files = files
        self._wanted = False
        self._renewed_s = 0.0
        self._changed = threading.Event()
        self._ends = False
        self._thread = threading.Thread(target=self._hold, name="holding", daemon=True)
        self._thread.start()

    def want(self, is_active: bool) -> None:
        if is_active != self._wanted:
            self._renewed_s = time.monotonic()
            self._wanted = is_active
            self._changed.set()

    def has_lapsed(self) -> bool:
        return self._wanted and time.monotonic() - self._renewed_s > OPEN_MS / 1000

    def end(self) -> None:
        self._wanted, self._ends = False, True
        self._changed.set()
        self._thread.join(5)

    def _hold(self) -> None:
        is_held, announcements = False, list[float]()
        while not self._ends:
            self._changed.wait(_EVERY_S if self._wanted else None)
            self._changed.clear()
            if self._wanted:
                began = time.monotonic()
                try:
                    self._leases.renew()
                except (OSError, nft.NftError) as error:
                    log.warning("cannot be active: %s", error)
                    continue
                self._renewed_s = began
                if not is_held:
                    is_held, announcements = True, [began + later for later in _ANNOUNCED_AGAIN_S]
                while announcements and announcements[0] <= time.monotonic():
                    announcements.pop(0)
                    self._announce()
            elif is_held:
                is_held = False
                self._leases.give_back()
        if is_held:
            self._leases.give_back()

    def _announce(self) -> None:
        announced = self._files.announced().items()
        with contextlib.suppress(OSError):
            self._leases.announce([(IPv4Address(address), Mac(mac)) for address, mac in announced])
