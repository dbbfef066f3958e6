"""Hears when a routing daemon's entries go from our namespaces: then ours are to stand in their place, at once.

One socket for all namespaces, as `rules_watch.py` has, by whose numbers the kernel says which it was.
"""

import asyncio
import errno
from collections.abc import Callable

from weftwork.drivers.linux import links as wire
from weftwork.drivers.linux.all_namespaces import listening, receive
from weftwork.drivers.linux.netlink import ROUTE

_GROUP_OF_NEIGHBOURS = 3
_FLAGS_AT = 16 + 10
"""In `struct ndmsg`, behind the message's header."""
_GATHERED_S = 0.02
"""A daemon that ends takes its entries away one by one: the first to go wakes us, the others are seen then."""


class LearnedWatch:
    """`gone` is told the namespaces, on the event loop; `scope_of` names one by the kernel's number for it."""

    def __init__(self, gone: Callable[[frozenset[str]], None], scope_of: Callable[[int], str | None]) -> None:
        """Raises OSError where it cannot listen."""
        self._gone = gone
        self._scope_of = scope_of
        self._suspects: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._gathering: asyncio.TimerHandle | None = None
        # What tells of an entry that is gone.
        self._socket = listening(ROUTE, _GROUP_OF_NEIGHBOURS, wire.DELETE_NEIGHBOUR)
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        if self._gathering is not None:
            self._gathering.cancel()
        self._socket.close()

    def _read(self) -> None:
        try:
            while True:
                data, numbers = receive(self._socket)
                if len(data) > _FLAGS_AT and data[_FLAGS_AT] & wire.NTF_EXT_LEARNED:
                    self._suspects.update(scope for one in numbers if (scope := self._scope_of(one)))
        except BlockingIOError:
            pass
        except OSError as error:
            # Too many to keep: the audit finds them.
            if error.errno != errno.ENOBUFS:
                raise
        if self._suspects and self._gathering is None:
            self._gathering = self._loop.call_later(_GATHERED_S, self._tell)

    def _tell(self) -> None:
        self._gathering = None
        suspects, self._suspects = frozenset(self._suspects), set()
        self._gone(suspects)
