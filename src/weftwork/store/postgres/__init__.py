"""The store in a PostgreSQL database: several servers share it. See docs/explain/store.md."""

from weftwork.store.postgres.place import PostgresPlace
from weftwork.store.postgres.store import PostgresStore

__all__ = ["PostgresPlace", "PostgresStore"]
