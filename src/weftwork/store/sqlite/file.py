"""The file on disk: who may open it, what it must look like, and SQLite's errors in our words.

Nothing is written before the file is known to be ours, or empty.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from weftwork.base.errors import Failure

APPLICATION_ID = 0x57454654
"""Our mark in the file's header: "WEFT" in ASCII."""
SCHEMA_VERSION = 1

# `latest` has a rowid on purpose: WITHOUT ROWID, a write of some hundred bytes costs 40 % more.
_SCHEMA = (
    """CREATE TABLE latest (
        key TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL
    ) STRICT""",
    "CREATE TABLE history (revision INTEGER PRIMARY KEY, events BLOB NOT NULL) STRICT",
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO meta VALUES ('compacted', 0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_WAL_PAGES = 4000
"""Checkpoint after 16 MiB of log: hot pages are copied once for many commits, and none waits long for it."""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system as Failure STORE_CORRUPT or STORE_UNAVAILABLE."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure_of(error, path) from error
    except OSError as error:
        raise Failure("STORE_UNAVAILABLE", f"{path}: {error.strerror or error}") from error


def failure_of(error: Exception, path: Path) -> Failure:
    primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    code = "STORE_CORRUPT" if primary_code in _CORRUPT else "STORE_UNAVAILABLE"
    return Failure(code, f"{path}: {error}")


class Lock:
    """Only one process at a time has the file open; the kernel releases the lock of one that dies.

    A file of its own, because SQLite's locks on the database would be lost with any second descriptor of it.
    """

    def __init__(self, path: Path) -> None:
        """Failure STORE_LOCKED when somebody has it."""
        lock_path = path.with_name(path.name + "-lock")
        self._fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise Failure("STORE_LOCKED", f"{path} is open in another server (process {owner})") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def prepare(path: Path) -> None:
    """Make the file when it is missing, 0600 in a directory 0700; refuse one that is not ours or too new.

    Call with the lock held and no connection open.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    with closing(_connect(path)) as connection:
        if not _is_ours(connection, path):
            _create(connection)
            _sync_directory(path.parent)
        _look_at_every_table(connection)


def make_directory(path: Path) -> None:
    """0700 when we make it; a directory that is there keeps the mode its owner gave it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes. A commit returns when the log is on the disk (FULL)."""
    connection = _connect(path)
    for pragma in (
        "synchronous = FULL",
        f"wal_autocheckpoint = {_WAL_PAGES}",
        f"journal_size_limit = {2 * _WAL_PAGES * 4096}",
        "cache_size = -65536",
        "secure_delete = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that sees committed data only and cannot write."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    """Autocommit: transactions begin and end where the code says so."""
    return sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """False for an empty database; Failure for one of another program or of a newer version."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not tables and not application:
        return False
    if application != APPLICATION_ID:
        raise Failure("STORE_FOREIGN", f"{path} is a database of another program; nothing was changed")
    if version > SCHEMA_VERSION:
        raise Failure(
            "STORE_TOO_NEW",
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}; nothing was changed",
        )
    return True


def _create(connection: sqlite3.Connection) -> None:
    """All of the schema or, after a crash in between, none of it."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def _look_at_every_table(connection: sqlite3.Connection) -> None:
    """Finds a truncated or overwritten file now, not at the first write; looks at both ends only."""
    for table, order in (("latest", "key"), ("history", "revision"), ("meta", "name")):
        for direction in ("ASC", "DESC"):
            connection.execute(f"SELECT * FROM {table} ORDER BY {order} {direction} LIMIT 1").fetchall()  # noqa: S608


def _sync_directory(path: Path) -> None:
    """A new file survives power loss only when its directory entry does."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
