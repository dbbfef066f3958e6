"""The embedded store: one SQLite file, one process. See docs/explain/store.md."""

from weftwork.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
