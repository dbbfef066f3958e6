"""libnftables in this process: one transaction per call.

A context costs 12 µs and its socket keeps a namespace alive, so each call makes its own, in the namespace of its
thread.
"""

import ctypes
import json
import threading
from functools import cache

_CONTEXT_DEFAULT = 0
_TEXT, _JSON = 0, 1 << 4
_one_at_a_time = threading.Lock()
"""libnftables keeps static tables (its cache of interfaces): two contexts must not run at once."""


class NftError(Exception):
    """The transaction was refused and nothing of it is in place; the text is libnftables' own."""


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_ctx_get_output_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def is_available() -> bool:
    try:
        _library()
    except OSError:
        return False
    return True


_COMPLAINT_CHARACTERS_MAX = 300


def _first_complaint(words: str) -> str:
    """libnftables quotes the line it means and underlines it; a program's line can be very long."""
    lines = [line.strip()[:_COMPLAINT_CHARACTERS_MAX] for line in words.splitlines() if line.strip(" ^~")]
    return " | ".join(lines[:2])


def version() -> str:
    """Of the library, `1.0.6`."""
    listing = json.loads(run("list tables", _JSON))
    return str(listing["nftables"][0]["metainfo"]["version"])


def run(script: str, output: int = _TEXT) -> str:
    """Commit the script in the namespace of the calling thread, all of it or nothing; what it printed.

    Raises NftError.
    """
    library = _library()
    with _one_at_a_time:
        context = library.nft_ctx_new(_CONTEXT_DEFAULT)
        if not context:
            raise NftError("libnftables gave no context")
        try:
            library.nft_ctx_output_set_flags(context, output)
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            if library.nft_run_cmd_from_buffer(context, script.encode()) != 0:
                words = library.nft_ctx_get_error_buffer(context) or b""
                raise NftError(_first_complaint(words.decode(errors="replace")))
            return (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
        finally:
            library.nft_ctx_free(context)
