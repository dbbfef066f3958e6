"""Over TLS: who has no certificate of our authority is not spoken to, and neither are we without one."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clusters import DATABASE, run

from weftwork.base.errors import Failure
from weftwork.drivers.ovn.private import NORTHBOUND_SCHEMA
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint, Tls

START_S = 10.0


@dataclass(frozen=True, slots=True)
class Authority:
    folder: Path

    def make(self) -> "Authority":
        self.folder.mkdir()
        words = [
            "-subj",
            f"/CN={self.folder.name}",
            "-keyout",
            str(self.folder / "ca.key"),
            "-out",
            str(self.certificate),
        ]
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *words)
        return self

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str) -> Tls:
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        words = ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)]
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *words)
        signed_by = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial"]
        run("openssl", "x509", "-req", "-in", str(request), *signed_by, "-out", str(certificate))
        return Tls(certificate, key, self.certificate)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours").make()


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Iterator[Endpoint]:
    file, mine = tmp_path / "nb.db", authority.issue("server")
    run("ovsdb-tool", "create", str(file), str(NORTHBOUND_SCHEMA))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = [f"--private-key={mine.private_key}", f"--certificate={mine.certificate}", f"--ca-cert={mine.authority}"]
    flags += [f"--remote=pssl:{port}:127.0.0.1", f"--unixctl={tmp_path}/ctl", "--no-chdir"]
    running = subprocess.Popen(["ovsdb-server", *flags, str(file)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "ovsdb-server does not start"
        yield Endpoint("ssl", f"127.0.0.1:{port}")
    finally:
        running.kill()
        running.wait()


async def speak(server: Endpoint, tls: Tls) -> int:
    client = Client((server,), DATABASE, {"NB_Global": ("nb_cfg",)}, tls=tls)
    try:
        return len(await client.rows("NB_Global"))
    finally:
        await client.close()


async def test_with_certificates_of_one_authority_both_speak(server: Endpoint, authority: Authority) -> None:
    assert await speak(server, authority.issue("client")) == 0


async def test_a_server_of_another_authority_is_not_spoken_to(
    server: Endpoint, authority: Authority, tmp_path: Path
) -> None:
    mine, stranger = authority.issue("client"), Authority(tmp_path / "strangers").make()
    with pytest.raises(Failure, match="CERTIFICATE_VERIFY_FAILED"):
        await speak(server, Tls(mine.certificate, mine.private_key, stranger.certificate))


async def test_a_server_does_not_speak_to_a_client_of_another_authority(
    server: Endpoint, authority: Authority, tmp_path: Path
) -> None:
    theirs = Authority(tmp_path / "strangers").make().issue("client")
    with pytest.raises(Failure) as caught:
        await speak(server, Tls(theirs.certificate, theirs.private_key, authority.certificate))
    assert caught.value.code == "OVN_CONNECTION_FAILED"
