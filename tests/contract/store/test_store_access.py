"""TLS, certificates of clients, users and passwords: who is let in, and whom we believe."""

import asyncio
import json
import subprocess
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from weftwork.base.errors import Failure
from weftwork.seams.store import Put, Store, Transaction
from weftwork.store.etcd import EtcdPlace, EtcdStore
from weftwork.store.postgres import PostgresPlace, PostgresStore
from weftwork.testing.etcd_cluster import EtcdCluster
from weftwork.testing.postgres_server import PostgresServer


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def make(self) -> "Authority":
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", f"/CN={self.name}", "-keyout", self.folder / f"{self.name}.key", "-out", self.certificate),
        )
        return self

    def issue(self, name: str, host: str = "127.0.0.1") -> tuple[Path, Path]:
        """A certificate for the host, and its key."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:{host}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate),
        )
        return certificate, key


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


Open = Callable[[], Awaitable[Store]]


async def works(opening: Open) -> None:
    store = await opening()
    revision = await store.commit(Transaction((), (Put("k", b"v"),)))
    record = await store.get("k")
    assert record is not None
    assert record.revision == revision
    await store.close()


async def is_refused(opening: Open, *never_said: str) -> None:
    with pytest.raises(Failure) as failure:
        await opening()
    assert failure.value.code == "STORE_UNAVAILABLE"
    assert not any(word in str(failure.value) for word in never_said)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is not good enough looks like a server that is away: we would try for long."""
    monkeypatch.setattr("weftwork.store.etcd.client.Etcd.call.__kwdefaults__", {"patience_s": 1.5}, raising=True)


def test_etcd_is_believed_by_its_certificate_and_believes_us_by_ours(tmp_path: Path, impatient: None) -> None:
    ours, foreign = Authority(tmp_path, "ours").make(), Authority(tmp_path, "foreign").make()
    certificate, key = ours.issue("server")
    client, client_key = ours.issue("client")
    stranger, stranger_key = foreign.issue("stranger")
    tls = ("--cert-file", str(certificate), "--key-file", str(key), "--client-cert-auth")
    with EtcdCluster(tmp_path / "etcd", tls=(*tls, "--trusted-ca-file", str(ours.certificate))) as cluster:
        good = EtcdPlace(cluster.endpoints, authority=ours.certificate, certificate=client, private_key=client_key)

        async def story() -> None:
            await works(lambda: EtcdStore.open(good))
            await is_refused(lambda: EtcdStore.open(replace(good, authority=foreign.certificate)))
            await is_refused(lambda: EtcdStore.open(replace(good, certificate=None, private_key=None)))
            await is_refused(lambda: EtcdStore.open(replace(good, certificate=stranger, private_key=stranger_key)))

        asyncio.run(story())


def test_etcd_is_told_who_we_are_and_again_when_it_forgot(tmp_path: Path, impatient: None) -> None:
    with EtcdCluster(tmp_path / "etcd") as cluster:

        def auth(path: str, **asked: object) -> None:
            request = Request(f"{cluster.endpoints[0]}/v3/auth/{path}", data=json.dumps(asked).encode())
            with urlopen(request, timeout=10):
                pass

        def words(text: str) -> str:
            return b64encode(text.encode()).decode()

        auth("user/add", name="root", password="secret-of-root")
        auth("user/grant", user="root", role="root")
        auth("user/add", name="weft", password="secret-of-weft")
        auth("role/add", name="weft")
        permission = {"permType": "READWRITE", "key": words("/weftwork/"), "range_end": words("/weftwork0")}
        auth("role/grant", name="weft", perm=permission)
        auth("user/grant", user="weft", role="weft")
        auth("enable")
        good = EtcdPlace(cluster.endpoints, user="weft", password="secret-of-weft")

        async def story() -> None:
            await works(lambda: EtcdStore.open(good))
            wrong = replace(good, password="secret-of-nobody")
            await is_refused(lambda: EtcdStore.open(wrong), "secret")
            await is_refused(lambda: EtcdStore.open(replace(good, user="", password="")))
            await is_refused(lambda: EtcdStore.open(replace(good, prefix="/elsewhere/")))
            store = await EtcdStore.open(good)
            watch = store.watch("", after=(await store.range("")).revision)
            await asyncio.to_thread(cluster.restart)  # Its tokens are in memory.
            revision = await store.commit(Transaction((), (Put("k", b"again"),)))
            assert (await anext(watch)).revision == revision
            await store.close()
            assert "secret" not in repr(good)

        asyncio.run(story())


def test_postgres_is_believed_by_its_certificate_and_we_by_our_password(server_folder: Path) -> None:
    ours, foreign = Authority(server_folder, "ours").make(), Authority(server_folder, "foreign").make()
    certificate, key = ours.issue("server")
    elsewhere, elsewhere_key = ours.issue("elsewhere", host="127.0.0.9")

    def server_with(number: int, certificate: Path, key: Path) -> PostgresServer:
        subprocess.run(["chown", "nobody", str(key)], check=True)
        settings = ("ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}")
        return PostgresServer(server_folder / f"postgres{number}", settings=settings)

    with server_with(0, certificate, key) as server:
        password = server.password_file.read_text().strip()
        good = PostgresPlace(server.dsn, password=password, authority=ours.certificate)

        async def story() -> None:
            await works(lambda: PostgresStore.open(good))
            assert server.sql(
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE application_name = 'weftwork'"
            ) in ("t", "")
            await is_refused(lambda: PostgresStore.open(replace(good, authority=foreign.certificate)), password)
            await is_refused(lambda: PostgresStore.open(replace(good, password="secret")), "secret")
            assert password not in repr(good)
            assert password not in str(good)

        asyncio.run(story())
        assert password not in server.log.read_text(errors="replace")
    with server_with(1, elsewhere, elsewhere_key) as server:
        place = PostgresPlace(server.dsn, password=server.password_file.read_text().strip(), authority=ours.certificate)
        asyncio.run(is_refused(lambda: PostgresStore.open(place)))
