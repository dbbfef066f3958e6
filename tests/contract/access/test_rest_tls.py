"""REST over TLS: who is let in, certificates that change while the server runs, and clients that are slow or broken."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from access_world import Served, served

from weftwork.api.rest import protocol, tls_listener
from weftwork.api.rest.server import serve_rest
from weftwork.api.rest.tls_listener import Places
from weftwork.base.errors import Failure, Refusal
from weftwork.testing.certificates import Authority, Pair

SLOW = 100
"""Connections that do nothing, beside the one that wants an answer."""


def trusting(ca: Path, certificate: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


async def get(
    server: Served, path: str = "/v1/me", bearer: str = "", certificate: Pair | None = None, ca: Path | None = None
) -> httpx.Response:
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    async with httpx.AsyncClient(verify=trusting(ca or server.ca.certificate, certificate), timeout=10) as client:
        return await client.get(f"https://{server.rest}{path}", headers=headers)


async def test_a_token_counts_over_tls_and_nobody_is_the_administrator_without_one(
    tmp_path: Path, ca: Authority
) -> None:
    async with served(tmp_path, ca) as server:
        await server.admin.create_vpc("acme/web")
        made = await server.admin.access.create_token("ci", role="viewer", org="acme", project="web")

        mine = await get(server, "/v1/orgs/acme/projects/web/vpc", made.secret)
        assert (mine.status_code, mine.json()["id"]) == (200, "acme/web")
        nobody = await get(server, "/v1/orgs/acme/projects/web/vpc")
        assert (nobody.status_code, nobody.json()["code"]) == (401, "NOT_AUTHENTICATED")
        assert (await get(server, "/health")).status_code == 200
        assert (await get(server, "/metrics")).status_code == 401


async def test_plain_http_gets_no_answer_from_a_tls_door(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server, httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(f"http://{server.rest}/health")
        assert (await get(server, "/health")).status_code == 200


async def test_mtls_lets_in_whom_its_authority_has_signed_as_grpc_does(tmp_path: Path, ca: Authority) -> None:
    settings = {"server_tls_client_ca": str(ca.certificate), "access_certificates": ("ops-laptop=viewer@acme/web",)}
    async with served(tmp_path, ca, **settings) as server:
        await server.admin.create_vpc("acme/web")
        foreign = Authority(tmp_path, "foreign").issue("ops-laptop")

        known = await get(server, "/v1/orgs/acme/projects/web/vpc", certificate=ca.issue("ops-laptop"))
        assert known.status_code == 200
        unknown = await get(server, "/v1/orgs/acme/projects/web/vpc", certificate=ca.issue("stranger"))
        assert unknown.status_code == 401
        for refused in (foreign, None):
            with pytest.raises(httpx.HTTPError):
                await get(server, "/health", certificate=refused)


async def test_certificates_and_authorities_are_new_at_the_next_connection(tmp_path: Path, ca: Authority) -> None:
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(ca.certificate.read_bytes())
    async with served(tmp_path, ca, server_tls_client_ca=str(client_ca)) as server:
        other = Authority(tmp_path, "other authority")
        mine, new = ca.issue("me"), other.issue("me")
        assert (await get(server, "/health", certificate=mine)).status_code == 200
        with pytest.raises(httpx.HTTPError):
            await get(server, "/health", certificate=new)

        other.issue("server", "127.0.0.1", into=server.pair)
        client_ca.write_bytes(other.certificate.read_bytes())

        assert (await get(server, "/health", certificate=new, ca=other.certificate)).status_code == 200
        with pytest.raises(httpx.HTTPError):
            await get(server, "/health", certificate=mine, ca=other.certificate)


async def test_a_half_written_certificate_changes_nothing_for_rest(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        server.pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nMIIB")

        assert (await get(server, "/health")).status_code == 200


async def test_what_others_reach_needs_tls_for_rest_too(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        with pytest.raises(Refusal, match="TLS_REQUIRED"):
            await serve_rest(server.admin, ["0.0.0.0:0"])  # type: ignore[arg-type]
        with pytest.raises(Failure, match="TLS_UNAVAILABLE"):
            nothing = tls_listener.TlsFiles(tmp_path / "nothing.pem", tmp_path / "nothing.key")
            await serve_rest(server.admin, ["0.0.0.0:0"], tls=nothing)  # type: ignore[arg-type]


# --- Slow and broken clients ------------------------------------------------------------------------------------------


async def connect(
    server: Served, stack: AsyncExitStack, *, tls: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.rest.rpartition(":")
    context = trusting(server.ca.certificate) if tls else None
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    stack.callback(writer.close)
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> None:
    """The server has hung up; what it may have said before is read."""
    async with asyncio.timeout(10):
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_listener, "SHARE", 1)


async def test_handshakes_that_never_end_are_ended_and_hold_nobody_up(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch, roomy: None
) -> None:
    monkeypatch.setattr(tls_listener, "HANDSHAKE_S", 1.5)
    async with served(tmp_path, ca) as server, AsyncExitStack() as stack:
        slow = [await connect(server, stack, tls=False) for _ in range(SLOW)]
        for number, (_, writer) in enumerate(slow):
            if number % 2:
                writer.write(b"\x16\x03\x01\x02\x00\x01")  # half a ClientHello

        async with asyncio.timeout(1.4):
            assert (await get(server, "/health")).status_code == 200
        for reader, _ in slow:
            await ended(reader)


async def test_heads_that_never_end_are_ended_and_hold_nobody_up(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch, roomy: None
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 1.5)
    async with served(tmp_path, ca) as server, AsyncExitStack() as stack:
        slow = [await connect(server, stack, tls=True) for _ in range(SLOW // 4)]
        for _, writer in slow:
            writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ")

        assert (await get(server, "/health")).status_code == 200
        for reader, _ in slow:
            await ended(reader)


async def test_a_huge_head_and_garbage_end_their_connection_alone(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server, AsyncExitStack() as stack:
        reader, writer = await connect(server, stack, tls=True)
        writer.write(b"GET /health HTTP/1.1\r\nx-huge: " + b"a" * (2 * protocol.HEAD_BYTES_MAX))
        await ended(reader)
        for garbage in (b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000, b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 10):
            reader, writer = await connect(server, stack, tls=False)
            writer.write(garbage)
            await ended(reader)

        assert (await get(server, "/health")).status_code == 200


async def test_one_address_has_a_share_of_the_places_and_gets_them_back(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_listener, "PLACES_MAX", 4 * tls_listener.SHARE)
    async with served(tmp_path, ca) as server, AsyncExitStack() as stack:
        held = [await connect(server, stack, tls=True) for _ in range(4)]
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await connect(server, stack, tls=True)

        held[0][1].close()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await get(server, "/health")).status_code == 200
                    return
                except httpx.HTTPError:
                    await asyncio.sleep(0.01)


def test_the_places_of_one_address_are_not_those_of_another() -> None:
    places = Places(8)
    mine = [places.take("192.0.2.1") for _ in range(3)]

    assert [place is not None for place in mine] == [True, True, False]
    assert places.take("192.0.2.2") is not None
    assert mine[0]
    mine[0].leave()
    mine[0].leave()
    assert places.take("192.0.2.1") is not None
    assert places.take("192.0.2.1") is None
