"""Our tables: made when they are not there, refused when a newer version of us made them.

Keys are bytea: their order is that of code points whatever the database's collation, and they may hold a zero.
`position` has one row; whoever writes locks it first, so that revisions are given and seen in one order.
"""

import asyncpg

from weftwork.base.errors import Failure
from weftwork.store.postgres.place import PostgresPlace

VERSION = 1

_TABLES = """
CREATE TABLE position (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version integer NOT NULL,
    revision bigint NOT NULL,
    compacted bigint NOT NULL
);
CREATE TABLE latest (key bytea PRIMARY KEY, revision bigint NOT NULL, value bytea NOT NULL);
CREATE TABLE history (revision bigint PRIMARY KEY, events bytea NOT NULL);
CREATE TABLE batches (mark uuid PRIMARY KEY, revision bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE leader (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    holder uuid,
    term bigint NOT NULL,
    until timestamptz NOT NULL
);
INSERT INTO leader VALUES (true, NULL, 0, '-infinity');
ALTER TABLE latest ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE history ALTER COLUMN events SET STORAGE EXTERNAL;
"""
# What was updated a moment ago is looked at by every writer: keep it short.
_OFTEN = "ALTER TABLE position SET (fillfactor = 10, autovacuum_vacuum_cost_delay = 0)"


async def prepare(connection: "asyncpg.Connection[asyncpg.Record]", place: PostgresPlace) -> None:
    """Failure STORE_TOO_NEW; several servers may do this at once."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", place.lock_number())
        if not await connection.fetchval(
            "SELECT to_regclass(format('%I.position', $1::text)) IS NOT NULL", place.schema
        ):
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{place.schema}"')
            await connection.execute(_TABLES)
            await connection.execute(_OFTEN)
            await connection.execute("INSERT INTO position VALUES (true, $1, 0, 0)", VERSION)
        version = await connection.fetchval("SELECT version FROM position")
        if version > VERSION:
            raise Failure("STORE_TOO_NEW", f"{place}: version {version}, this one knows {VERSION}")
