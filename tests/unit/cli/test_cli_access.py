"""Logins, tokens, quotas and the audit log at a terminal, against a real server and an issuer of our own."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_server import Weft, running_server

from weftwork.api.identity.issuer import Issuer, fetcher
from weftwork.api.identity.logins import LoginRules, Logins
from weftwork.testing.certificates import Authority
from weftwork.testing.issuer import TestIssuer, issuing


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[TestIssuer]:
    with issuing(Authority(tmp_path)) as issuer:
        issuer.approved.set()
        issuer.claims = {"realm_access": {"roles": ["weft:admin@acme"]}}
        yield issuer


@pytest.fixture
def closed(tmp_path: Path, issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weft]:
    """A server that asks for logins, and a home of one's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    logins = Logins(Issuer(issuer.url, fetcher(issuer.ca.certificate)), LoginRules())
    with running_server(tmp_path, logins) as weft:
        weft.begin()
        yield weft


def test_one_logs_in_and_out(closed: Weft, issuer: TestIssuer, tmp_path: Path) -> None:
    assert closed("vpc", "create").exit_code == 5
    assert "weft login" in closed("vpc", "create").stderr

    login = closed("login", "--ca", str(issuer.ca.certificate))
    assert login.exit_code == 0, login.output
    assert "confirm the code WXYZ-1234" in login.stderr
    assert "logged in as ada (f1a2) with admin@acme" in login.stderr
    closed.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    assert closed.ok("whoami").splitlines() == ["ada (f1a2)", "  admin@acme"]
    kept = tmp_path / "state/weft/logins.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700

    assert closed("logout").exit_code == 0
    assert closed("whoami").exit_code == 5
    assert "access_token" not in kept.read_text()


def test_a_login_is_renewed_before_it_ends(closed: Weft, issuer: TestIssuer) -> None:
    issuer.lifetime_s = 10
    assert closed("login", "--ca", str(issuer.ca.certificate)).exit_code == 0
    before = issuer.asked["/realms/weft/token"]

    assert closed("whoami").exit_code == 0
    assert issuer.asked["/realms/weft/token"] == before + 1
    issuer.refreshes.clear()
    assert closed("whoami").exit_code == 5


def test_who_is_not_let_in_by_the_issuer_is_told_so(closed: Weft, issuer: TestIssuer) -> None:
    issuer.refused = True

    result = closed("login", "--ca", str(issuer.ca.certificate))
    assert (result.exit_code, "access_denied" in result.stderr) == (5, True)


def test_an_issuer_whose_certificate_nobody_knows_gets_nothing(closed: Weft, issuer: TestIssuer) -> None:
    result = closed("login")

    assert result.exit_code == 1
    assert "ISSUER_UNREACHABLE" in result.stderr
    assert not issuer.asked["/realms/weft/device"]


def test_logins_that_others_may_read_are_not_used(closed: Weft, issuer: TestIssuer, tmp_path: Path) -> None:
    assert closed("login", "--ca", str(issuer.ca.certificate)).exit_code == 0
    (tmp_path / "state/weft/logins.json").chmod(0o644)

    result = closed("whoami")
    assert (result.exit_code, "LOGINS_EXPOSED" in result.stderr) == (5, True)


def test_a_token_is_shown_once_used_listed_and_revoked(weft: Weft) -> None:
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    secret = weft.ok("token", "create", "ci", "--role", "member", "--expires", "30d").strip()
    (row,) = weft.rows("token", "list")
    assert row[:3] == [secret.split("_")[1], "ci", f"member@{weft.project}"]

    assert weft("whoami", WEFT_TOKEN=secret).stdout.splitlines()[1] == f"  member@{weft.project}"
    denied = weft("subnet", "create", "back", WEFT_TOKEN=secret)
    assert (denied.exit_code, "ROLE_TOO_LOW" in denied.stderr) == (5, True)
    assert weft("port", "create", "p1", WEFT_TOKEN=secret).exit_code == 0

    weft.ok("token", "revoke", row[0])
    assert weft("whoami", WEFT_TOKEN=secret).exit_code == 5
    assert weft.rows("token", "list") == []


def test_a_quota_is_shown_with_what_is_used_and_set(weft: Weft) -> None:
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    assert ["subnet", "1", "256", "default"] in weft.rows("quota", "show")
    assert ["subnet", "1", "1", "project"] in weft.rows("quota", "set", "subnet=1", "--range", "10.20.0.0/16")

    result = weft("subnet", "create", "back")
    assert (result.exit_code, "QUOTA_EXCEEDED" in result.stderr) == (1, True)
    assert "ranges of the VPC allowed: 10.20.0.0/16" in weft("quota", "show").stderr
    assert ["subnet", "1", "256", "default"] in weft.rows("quota", "set", "subnet=default", "--any-range")


def test_the_audit_log_is_listed_and_exported(weft: Weft) -> None:
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    weft.ok("port", "create", "p1")

    rows = weft.rows("audit", "list")
    assert [("CreatePort" in row, "done" in row) for row in rows] == [(True, True), (False, True)]
    lines: list[Any] = [json.loads(line) for line in weft.ok("audit", "export", "--about", "CreatePort").splitlines()]
    assert len(lines) == 1
    assert lines[0]["changes"][0]["before"] is None
    assert lines[0]["changes"][0]["after"]["name"] == "p1"
    assert weft.rows("audit", "list", "--since", "2030-01-01T00:00Z") == []


@pytest.mark.parametrize(
    "words",
    [
        ("quota", "set", "port"),
        ("quota", "set", "port=many"),
        ("token", "create", "x", "--role", "king"),
        ("token", "create", "x", "--role", "viewer", "--expires", "soon"),
        ("audit", "list", "--since", "yesterday"),
    ],
)
def test_what_cannot_be_meant_is_told_before_any_server_is_asked(weft: Weft, words: tuple[str, ...]) -> None:
    assert weft(*words).exit_code == 2
