"""libnftables in this process: one transaction per call.

A transaction takes 0.1 ms, but closing the socket of one that deleted something waits for every reader in the
kernel, 8 to 16 ms, and holds up the next. So contexts are kept, one per namespace; each keeps its namespace alive until
it is forgotten.
"""

import ctypes
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

_CONTEXT_DEFAULT = 0
_TEXT, _JSON = 0, 1 << 4
_KEPT_MAX = 256
_COMPLAINT_CHARACTERS_MAX = 300
_HERE = Path("/proc/thread-self/ns/net")

_one_at_a_time = threading.Lock()
"""libnftables keeps static tables (its cache of interfaces): two contexts must not run at once."""
_closing = ThreadPoolExecutor(4, thread_name_prefix="nft-closing")


class NftError(Exception):
    """The transaction was refused and nothing of it is in place; the text is libnftables' own."""


class Transactions:
    """Contexts by the name of their namespace. One thread at a time may work in one namespace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def run(self, scope: str, script: str) -> None:
        """Commit the script in the namespace of the calling thread, which is `scope`'s. Raises NftError."""
        commit(self._context(scope), script)

    def forget(self, scope: str, *, unless: int = 0) -> None:
        """Let go of the scope's namespace, unless it is the one of that inode number."""
        with self._lock:
            inode, context = self._kept.get(scope, (0, 0))
            if not context or inode == unless:
                return
            del self._kept[scope]
        _closing.submit(_library().nft_ctx_free, context)

    def close(self) -> None:
        for scope in list(self._kept):
            self.forget(scope)

    def _context(self, scope: str) -> int:
        here = _HERE.stat().st_ino
        self.forget(scope, unless=here)
        with self._lock:
            if scope in self._kept:
                self._kept.move_to_end(scope)
                return self._kept[scope][1]
            oldest = next(iter(self._kept)) if len(self._kept) >= _KEPT_MAX else ""
        if oldest:
            self.forget(oldest)
        context = _new_context()
        with self._lock:
            self._kept[scope] = (here, context)
        return context


def run(script: str, output: int = _TEXT) -> str:
    """A single transaction in the namespace of the calling thread; what it printed. Raises NftError."""
    context = _new_context()
    try:
        return commit(context, script, output)
    finally:
        _closing.submit(_library().nft_ctx_free, context)


def commit(context: int, script: str, output: int = _TEXT) -> str:
    """All of the script or nothing; what it printed. Raises NftError."""
    library = _library()
    with _one_at_a_time:
        library.nft_ctx_output_set_flags(context, output)
        failed = library.nft_run_cmd_from_buffer(context, script.encode()) != 0
        # Reading the buffers empties them.
        complaint = library.nft_ctx_get_error_buffer(context) or b""
        printed = library.nft_ctx_get_output_buffer(context) or b""
    if failed:
        raise NftError(_first_complaint(complaint.decode(errors="replace")))
    return str(printed.decode(errors="replace"))


def version() -> str:
    """Of the library, `1.0.6`."""
    listing = json.loads(run("list tables", _JSON))
    return str(listing["nftables"][0]["metainfo"]["version"])


def is_available() -> bool:
    try:
        _library()
    except OSError:
        return False
    return True


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def _new_context() -> int:
    library = _library()
    context = library.nft_ctx_new(_CONTEXT_DEFAULT)
    if not context:
        raise NftError("libnftables gave no context")
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    return int(context)


def _first_complaint(words: str) -> str:
    """libnftables quotes the line it means and underlines it; a program's line can be very long."""
    lines = [line.strip()[:_COMPLAINT_CHARACTERS_MAX] for line in words.splitlines() if line.strip(" ^~")]
    return " | ".join(lines[:2])
