"""Which store: by settings, with who leads over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure
from weftwork.seams.lease import Leadership
from weftwork.seams.store import Store
from weftwork.store.sqlite import SqliteStore
from weftwork.store.term import AlwaysLeader

if TYPE_CHECKING:
    from weftwork.store.etcd import EtcdPlace
    from weftwork.store.postgres import PostgresPlace


@dataclass(frozen=True, slots=True)
class OpenedStore:
    store: Store
    leadership: Leadership


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[OpenedStore]:
    """Raises Failure when it is out of reach, or not ours to open. The other kinds are not even imported."""
    opened = await _open(settings)
    try:
        yield opened
    finally:
        await opened.store.close()


async def _open(settings: Settings) -> OpenedStore:
    match settings.storage_backend:
        case "etcd":
            from weftwork.store.etcd import EtcdStore
            from weftwork.store.etcd.lease import EtcdLeadership

            etcd = await EtcdStore.open(etcd_place(settings))
            return OpenedStore(etcd, EtcdLeadership(etcd, settings.storage_lease_s))
        case "postgres":
            from weftwork.store.postgres import PostgresStore
            from weftwork.store.postgres.lease import PostgresLeadership

            postgres = await PostgresStore.open(postgres_place(settings))
            return OpenedStore(postgres, PostgresLeadership(postgres, settings.storage_lease_s))
        case "sqlite":
            return OpenedStore(await SqliteStore.open(Path(settings.storage_path)), AlwaysLeader())


def etcd_place(settings: Settings) -> "EtcdPlace":
    from weftwork.store.etcd import EtcdPlace

    return EtcdPlace(
        endpoints=settings.storage_etcd_endpoints,
        prefix=settings.storage_etcd_prefix,
        user=settings.storage_etcd_user,
        password=_password(settings),
        authority=_path(settings.storage_ca_certificate),
        certificate=_path(settings.storage_certificate),
        private_key=_path(settings.storage_private_key),
    )


def postgres_place(settings: Settings) -> "PostgresPlace":
    from weftwork.store.postgres import PostgresPlace

    return PostgresPlace(
        dsn=settings.storage_postgres_dsn,
        schema=settings.storage_postgres_schema,
        password=_password(settings),
        authority=_path(settings.storage_ca_certificate),
        certificate=_path(settings.storage_certificate),
        private_key=_path(settings.storage_private_key),
    )


def _password(settings: Settings) -> str:
    """Failure STORE_UNAVAILABLE when the file cannot be read."""
    file = settings.storage_password_file
    try:
        return Path(file).read_text().strip() if file else ""
    except OSError as error:
        raise Failure("STORE_UNAVAILABLE", f"{file}: {error.strerror}") from None


def _path(text: str) -> Path | None:
    return Path(text) if text else None
