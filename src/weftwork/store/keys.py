"""What every store asks of keys, values and transactions. Breaking a rule is our mistake."""

from weftwork.seams.store import Empty, Put, Transaction, Unchanged

KEY_BYTES_MAX = 1024
VALUE_BYTES_MAX = 1024 * 1024
TRANSACTION_BYTES_MAX = 64 * 1024 * 1024
"""All values of one transaction together: it is held in memory more than once, and logged as one row."""

_HIGHEST = "\U0010ffff"
_SURROGATES = range(0xD800, 0xE000)


def check_key(key: str) -> None:
    """AssertionError unless `key` is 1 to 1024 bytes of UTF-8."""
    if len(key) <= KEY_BYTES_MAX and key.isascii() and key:
        return
    assert key, "a key is empty"
    check_prefix(key)
    size = len(key.encode())
    assert size <= KEY_BYTES_MAX, f"a key has {size} bytes, at most {KEY_BYTES_MAX} fit: {key[:64]!r}…"


def check_prefix(prefix: str) -> None:
    """AssertionError for text that has no UTF-8 (lone surrogates)."""
    assert prefix.isascii() or not any(ord(c) in _SURROGATES for c in prefix), f"{prefix!r} is not Unicode text"


def check_transaction(transaction: Transaction) -> None:
    """AssertionError when a key is written twice, or a key or value is out of bounds."""
    for compare in transaction.compares:
        if isinstance(compare, Unchanged):
            check_key(compare.key)
        elif isinstance(compare, Empty):
            check_prefix(compare.prefix)
    total = 0
    for write in transaction.writes:
        check_key(write.key)
        if isinstance(write, Put):
            assert type(write.value) is bytes, f"the value of {write.key!r} is {type(write.value)}, not bytes"
            size = len(write.value)
            assert size <= VALUE_BYTES_MAX, (
                f"the value of {write.key!r} has {size} bytes, at most {VALUE_BYTES_MAX} fit"
            )
            total += size
    seen = {write.key for write in transaction.writes}
    assert len(seen) == len(transaction.writes), f"a key is written twice: {_repeated(transaction)!r}"
    assert total <= TRANSACTION_BYTES_MAX, f"a transaction has {total} bytes, at most {TRANSACTION_BYTES_MAX} fit"


def first_after(prefix: str, after: str) -> str:
    """The lowest text that starts with `prefix` and sorts behind `after`."""
    return max(prefix, after + "\0") if after else prefix


def end_of(prefix: str) -> str | None:
    """The lowest text above all that starts with `prefix`; None when there is none (`prefix` is empty)."""
    stem = prefix.rstrip(_HIGHEST)
    if not stem:
        return None
    successor = ord(stem[-1]) + 1
    return stem[:-1] + chr(_SURROGATES.stop if successor in _SURROGATES else successor)


def _repeated(transaction: Transaction) -> str:
    keys = [write.key for write in transaction.writes]
    return next(key for key in keys if keys.count(key) > 1)
