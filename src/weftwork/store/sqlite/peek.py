"""One value out of a store that another process may have open, or that is damaged."""

import sqlite3
from contextlib import closing
from pathlib import Path


def peek(path: Path, key: str) -> bytes | None:
    """None when it cannot be had, for whatever reason. Changes nothing."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=1.0, uri=True)) as connection:
            row = connection.execute("SELECT value FROM latest WHERE key = ?", (key,)).fetchone()
    except sqlite3.Error:
        return None
    return bytes(row[0]) if row else None
