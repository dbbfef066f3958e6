"""The server's entrance over the wire: TLS, tokens, watches that end, limits, the audit log."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from access_world import served

from weftwork.api.server import serve
from weftwork.base.errors import Refusal
from weftwork.client import ApiError, Client, access, rule
from weftwork.testing.certificates import Authority
from weftwork.testing.issuer import TestIssuer

FEW = {"access_calls_per_s": 5.0, "access_calls_in_flight": 3}


async def code_of(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except ApiError as error:
        return error.reason
    return "answered"


async def test_a_login_may_what_its_roles_say(tmp_path: Path, ca: Authority, issuer: TestIssuer) -> None:
    settings = {"access_oidc_issuer": issuer.url, "access_oidc_ca": str(ca.certificate)}
    async with served(tmp_path, ca, **settings) as server:
        await server.admin.create_vpc("acme/web")
        await server.admin.create_vpc("rival/lab")
        ada = await server.client(issuer.token())

        assert (await ada.access.who_am_i()).grants == ["operator@acme/web"]
        assert [vpc.id async for vpc in ada.list_vpcs()] == ["acme/web"]
        assert await code_of(ada.create_subnet("acme/web", "data")) == "answered"
        assert await code_of(ada.delete_vpc("acme/web")) == "ROLE_TOO_LOW"
        assert await code_of(ada.get_vpc("rival/lab")) == "VPC_NOT_FOUND"
        assert await code_of((await server.client()).get_vpc("acme/web")) == "NOT_AUTHENTICATED"
        login = await (await server.client()).access.get_login()
        assert (login.issuer, login.client_id) == (issuer.url, "weft")


async def test_a_token_works_until_it_is_revoked_and_its_watch_ends_then(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        await server.admin.create_vpc("acme/web")
        made = await server.admin.access.create_token("ci", role="member", org="acme", project="web")
        machine = await server.client(made.secret)
        assert (await machine.access.who_am_i()).grants == ["member@acme/web"]
        watch = machine.watch_conditions("acme/web")
        await anext(watch)

        await server.admin.access.revoke_token(made.token.id, org="acme", project="web")

        assert await code_of(machine.get_vpc("acme/web")) == "NOT_AUTHENTICATED"
        with pytest.raises(ApiError) as ended:
            async with asyncio.timeout(5):
                async for _ in watch:
                    pass
        assert ended.value.reason == "NOT_AUTHENTICATED"


async def test_of_a_token_nothing_is_kept_that_would_let_anybody_in(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        made = await server.admin.access.create_token("ci", role="viewer", org="acme", project="web")
        secret = made.secret.split("_", 2)[2]
        everything = (await server.network.store.range("/")).records
        audited = [entry async for entry in server.admin.access.audit_entries()]

        assert made.secret.startswith(f"weft_{made.token.id}_")
        assert not any(secret.encode() in record.value for record in everything)
        hashes = [record for record in everything if b'"hash"' in record.value]
        assert [record.key for record in hashes] == [f"/access/tokens/{made.token.id}"]
        assert any(f"token {made.token.id}" == change.what for entry in audited for change in entry.changes)


async def test_the_id_of_a_token_without_its_secret_is_nothing(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        made = await server.admin.access.create_token("ci", role="viewer", org="acme", project="web")
        for guess in (f"weft_{made.token.id}_", f"weft_{made.token.id}_guess", made.secret[:-1], made.secret + "x"):
            assert await code_of((await server.client(guess)).access.who_am_i()) == "NOT_AUTHENTICATED"


async def test_a_token_gives_no_more_than_its_maker_has_and_makes_no_others(
    tmp_path: Path, ca: Authority, issuer: TestIssuer
) -> None:
    settings = {"access_oidc_issuer": issuer.url, "access_oidc_ca": str(ca.certificate)}
    async with served(tmp_path, ca, **settings) as server:
        admin = await server.client(issuer.token(realm_access={"roles": ["weft:admin@acme/web"]}))
        made = await admin.access.create_token("ci", role="admin", org="acme", project="web")
        machine = await server.client(made.secret)

        assert await code_of(admin.access.create_token("x", role="viewer", org="acme")) == "ROLE_TOO_LOW"
        assert (
            await code_of(admin.access.create_token("x", role="viewer", org="rival", project="lab")) == "VPC_NOT_FOUND"
        )
        assert await code_of(admin.access.create_token("x", role="fleet-admin")) == "ROLE_TOO_LOW"
        assert (
            await code_of(machine.access.create_token("y", role="viewer", org="acme", project="web")) == "ROLE_TOO_LOW"
        )
        assert await code_of(admin.access.revoke_token("nothing", org="acme", project="web")) == "TOKEN_NOT_FOUND"


async def test_certificates_are_new_at_the_next_connection_without_a_restart(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        made = await server.admin.access.create_token("ops", role="fleet-admin")
        before = await server.client(made.secret)
        other = Authority(tmp_path, "another authority")
        other.issue("server", "127.0.0.1", into=server.pair)

        after = await server.client(made.secret, ca=other.certificate)
        assert (await after.access.who_am_i()).grants == ["fleet-admin"]
        assert (await before.access.who_am_i()).grants == ["fleet-admin"], "who is connected stays connected"
        assert await code_of(server.client(made.secret)) == "SERVER_UNREACHABLE", (
            "the old authority is not the server's"
        )


async def test_a_half_written_certificate_changes_nothing(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        server.pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nMIIB")

        assert (await (await server.client()).access.get_login()).issuer == ""


async def test_mtls_lets_in_whom_its_authority_has_signed(tmp_path: Path, ca: Authority) -> None:
    settings = {"server_tls_client_ca": str(ca.certificate), "access_certificates": ("ops-laptop=viewer@acme/web",)}
    async with served(tmp_path, ca, **settings) as server:
        known, unknown = ca.issue("ops-laptop"), ca.issue("somebody")
        foreign = Authority(tmp_path, "another authority").issue("ops-laptop")

        assert (await (await server.client(certificate=known)).access.who_am_i()).grants == ["viewer@acme/web"]
        assert await code_of((await server.client(certificate=unknown)).access.who_am_i()) == "NOT_AUTHENTICATED"
        assert await code_of(_who_am_i(server.client(certificate=foreign))) == "SERVER_UNREACHABLE"
        assert await code_of(_who_am_i(server.client())) == "SERVER_UNREACHABLE"


async def _who_am_i(connecting: object) -> None:
    """In TLS 1.3 a client learns of its refusal with its first call."""
    client: Client = await connecting  # type: ignore[misc]
    await client.access.who_am_i()


async def test_loopback_without_tls_needs_no_login_until_logins_are_there(
    tmp_path: Path, ca: Authority, issuer: TestIssuer
) -> None:
    open_, closed, required = (tmp_path / name for name in ("open", "closed", "required"))
    plain = {"server_tls_certificate": "", "server_tls_key": ""}
    for folder, settings, expected in (
        (open_, plain, "answered"),
        (closed, plain | {"access_oidc_issuer": issuer.url}, "NOT_AUTHENTICATED"),
        (required, plain | {"access_login": "required"}, "NOT_AUTHENTICATED"),
    ):
        folder.mkdir()
        async with served(folder, ca, **settings) as server, await Client.connect(server.address) as client:
            assert await code_of(client.access.who_am_i()) == expected
            assert await code_of(server.admin.access.who_am_i()) == "answered"


async def test_what_others_reach_needs_tls(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        with pytest.raises(Refusal, match="TLS_REQUIRED"):
            await serve(
                network=server.network,
                conditions=None,
                insight=None,
                addresses=["0.0.0.0:0"],  # type: ignore[arg-type]
            )


async def test_who_asks_too_often_or_holds_too_much_hurts_nobody_else(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca, **FEW) as server:
        for project in ("acme/web", "rival/lab"):
            await server.admin.create_vpc(project)
        loud, calm = [
            await server.client((await server.admin.access.create_token("t", role="viewer", org=org)).secret)
            for org in ("acme", "rival")
        ]
        # Watches that nobody reads from, as many as there may be, and one more.
        held = [loud.watch_conditions("acme/web") for _ in range(4)]
        opened = await asyncio.gather(*(anext(one) for one in held), return_exceptions=True)
        many = await asyncio.gather(*(code_of(loud.get_vpc("acme/web")) for _ in range(40)))

        assert [isinstance(one, ApiError) for one in opened].count(True) == 1
        assert "TOO_MANY_REQUESTS" in many
        assert await code_of(calm.get_vpc("rival/lab")) == "answered"
        for watch in held:
            await watch.aclose()


async def test_a_stranger_who_asks_too_often_is_told_so_too(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca, **FEW) as server:
        made = await server.admin.access.create_token("t", role="viewer", org="acme")
        stranger = await server.client(made.secret)
        codes = [await code_of(stranger.get_vpc("rival/lab")) for _ in range(40)]

        assert codes[0] == "VPC_NOT_FOUND"
        assert "TOO_MANY_REQUESTS" in codes


async def test_broken_clients_hurt_only_themselves(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        host, port = server.address.rsplit(":", 1)
        halves = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
        for _, writer in halves[:25]:
            writer.write(b"\x16\x03\x01 this is no handshake")
        made = await server.admin.access.create_token("ops", role="fleet-admin")

        async with asyncio.timeout(5):
            assert await code_of((await server.client(made.secret)).access.who_am_i()) == "answered"
        for _, writer in halves:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_guessing_tokens_ends_soon(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        guesser = await server.client("weft_0123456789ab_guess")
        codes = [await code_of(guesser.access.who_am_i()) for _ in range(60)]

        assert codes[0] == "NOT_AUTHENTICATED"
        assert codes[-1] == "TOO_MANY_REQUESTS"


async def test_the_audit_log_says_who_did_what_and_what_was_refused_to_whom(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        await server.admin.create_vpc("acme/web")
        made = await server.admin.access.create_token("ci", role="operator", org="acme", project="web")
        machine = await server.client(made.secret)
        await machine.create_security_group("acme/web", "web", ingress=[rule("tcp", "0.0.0.0/0", 80)])
        assert await code_of(machine.delete_vpc("acme/web")) == "ROLE_TOO_LOW"
        assert await code_of(machine.get_vpc("rival/lab")) == "VPC_NOT_FOUND"
        await server.refusals.flush()

        everything = [entry async for entry in server.admin.access.audit_entries()]
        told = [(entry.who.split(" (")[0], entry.call.rpartition("/")[2], entry.refused) for entry in everything]
        assert sorted(told) == sorted(
            [
                ("token ci", "GetVpc", "VPC_NOT_FOUND"),
                ("token ci", "DeleteVpc", "ROLE_TOO_LOW"),
                ("token ci", "CreateSecurityGroup", ""),
                ("local administrator", "CreateToken", ""),
                ("local administrator", "CreateVpc", ""),
            ]
        )
        made_group = next(entry for entry in everything if entry.call.endswith("CreateSecurityGroup"))
        assert made_group.where.startswith("127.0.0.1:")
        assert made_group.revision
        assert [change.before for change in made_group.changes] == ["null"]
        assert '"web"' in made_group.changes[0].after
        assert not any(made.secret.split("_", 2)[2] in str(entry) for entry in everything)
        networks = [one.revision for one in everything if any(change.what[0] == "/" for change in one.changes)]
        assert networks == sorted(networks, reverse=True)


async def test_an_audit_log_is_read_page_by_page_and_by_what_one_looks_for(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, ca) as server:
        for project in ("acme/web", "acme/shop", "rival/lab"):
            await server.admin.create_vpc(project)
            for name in ("a", "b", "c"):
                await server.admin.create_subnet(project, name)
        whole = [entry async for entry in server.admin.access.audit_entries()]
        monkeypatch.setattr(access, "PAGE_SIZE", 2)
        pages = [entry async for entry in server.admin.access.audit_entries()]
        of_acme = [entry async for entry in server.admin.access.audit_entries(org="acme")]
        of_shop = [
            entry async for entry in server.admin.access.audit_entries(org="acme", project="shop", about="/subnets/")
        ]

        assert pages == whole
        assert len(whole) == 12
        assert len(of_acme) == 8
        assert [entry.project_id for entry in of_shop] == ["shop"] * 4
        assert not [entry async for entry in server.admin.access.audit_entries(since=2**32)]


async def test_being_refused_again_and_again_does_not_fill_the_store(tmp_path: Path, ca: Authority) -> None:
    async with served(tmp_path, ca) as server:
        for _ in range(300):
            assert await code_of(server.admin.get_vpc("acme/none")) == "VPC_NOT_FOUND"
        await server.refusals.flush()

        lines = [entry async for entry in server.admin.access.audit_entries(refused=True)]
        assert 50 <= len(lines) <= 120
