"""Logins: what an issuer has signed for this server is believed, and nothing else is."""

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from weftwork.access.caller import Principal
from weftwork.api.identity.issuer import KEPT_S, PAUSE_S, Issuer, fetcher
from weftwork.api.identity.logins import LoginRules, Logins
from weftwork.base.errors import Refusal
from weftwork.testing.certificates import Authority
from weftwork.testing.issuer import TestIssuer

NOW = int(time.time())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVED = ec.generate_private_key(ec.SECP256R1())


class Hours:
    """Time that a test moves; of the issuer's pauses, not of tokens."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def logins(issuer: TestIssuer, hours: Hours) -> Logins:
    return Logins(Issuer(issuer.url, fetcher(issuer.ca.certificate), hours), LoginRules())


async def refused(logins: Logins, token: str) -> str:
    with pytest.raises(Refusal) as caught:
        await logins.principal(token)
    assert token not in str(caught.value)
    return caught.value.code


async def test_who_has_logged_in_has_the_roles_that_the_issuer_says(issuer: TestIssuer, logins: Logins) -> None:
    ada = await logins.principal(issuer.token(groups=["/weft/acme/viewer", "/others"]))

    assert ada.name == "ada (f1a2)"
    assert [str(one) for one in ada.grants] == ["operator@acme/web", "viewer@acme"]


def _tampered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(urlsafe_b64decode(body + "=="))
    claims["realm_access"] = {"roles": ["weft:fleet-admin"]}
    return f"{head}.{_encoded(json.dumps(claims).encode())}.{signature}"


def _shared_secret(issuer: TestIssuer) -> str:
    """HS256 with the public key as the secret: what a verifier that believes the header would accept."""
    kid, key = next(iter(issuer.keys.items()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = _encoded(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    signed = f"{head}.{issuer.token().split('.')[1]}"
    return f"{signed}.{_encoded(hmac.digest(public, signed.encode(), 'sha256'))}"


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


BAD: dict[str, Callable[[TestIssuer], str]] = {
    "another issuer": lambda it: it.token(iss="https://elsewhere.example"),
    "no issuer": lambda it: it.token(iss=None),
    "another audience": lambda it: it.token(aud="account"),
    "no audience": lambda it: it.token(aud=None),
    "another client": lambda it: it.token(azp="shop"),
    "no client": lambda it: it.token(azp=None),
    "expired": lambda it: it.token(exp=NOW - 60),
    "without an end": lambda it: it.token(exp=None),
    "not valid yet": lambda it: it.token(nbf=NOW + 600),
    "issued in the future": lambda it: it.token(iat=NOW + 600),
    "without a time of issue": lambda it: it.token(iat=None),
    "without a subject": lambda it: it.token(sub=None),
    "an ID token": lambda it: it.token(typ="ID"),
    "a refresh token": lambda it: it.token(typ="Refresh"),
    "of no kind": lambda it: it.token(typ=None),
    "a header of another kind": lambda it: it.token(header={"typ": "logout+jwt"}),
    "an unknown key": lambda it: it.token(kid="nobodys"),
    "no key id": lambda it: it.token(header={"kid": None}),
    "another's key under a known id": lambda it: it.token(key=STRANGER),
    "another kind of key": lambda it: it.token(key=CURVED, algorithm="ES256"),
    "unsigned": lambda it: it.token(key="", algorithm="none"),
    "a shared secret": _shared_secret,
    "an unknown extension": lambda it: it.token(header={"crit": ["b64"], "b64": False}),
    "changed after it was signed": lambda it: _tampered(it.token()),
    "another algorithm of the same key": lambda it: it.token(algorithm="PS256"),
    "a subject that commands terminals": lambda it: it.token(preferred_username="\x1b[2J"),
    "no token": lambda it: "not.a.token",
    "nothing like one": lambda it: "x" * 9000,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_what_is_not_right_in_everything_is_not_believed(
    issuer: TestIssuer, logins: Logins, bad: Callable[[TestIssuer], str]
) -> None:
    await logins.principal(issuer.token())

    assert await refused(logins, bad(issuer)) == "NOT_AUTHENTICATED"


async def test_an_access_token_by_its_header_need_not_say_it_again(issuer: TestIssuer, logins: Logins) -> None:
    assert (await logins.principal(issuer.token(typ=None, header={"typ": "at+jwt"}))).grants


async def test_keys_rotate_without_a_restart_and_the_old_ones_end(
    issuer: TestIssuer, logins: Logins, hours: Hours
) -> None:
    old = issuer.token()
    await logins.principal(old)
    issuer.rotate()
    hours.now += PAUSE_S

    assert (await logins.principal(issuer.token())).name == "ada (f1a2)"
    assert await refused(logins, old) == "NOT_AUTHENTICATED"


async def test_a_key_that_the_issuer_took_back_ends_though_nobody_names_a_new_one(
    issuer: TestIssuer, logins: Logins, hours: Hours
) -> None:
    old = issuer.token()
    await logins.principal(old)
    issuer.rotate()
    assert await logins.principal(old)

    hours.now += KEPT_S + 1
    assert await refused(logins, old) == "NOT_AUTHENTICATED"


async def test_unknown_keys_make_nobody_ask_the_issuer_again_and_again(
    issuer: TestIssuer, logins: Logins, hours: Hours
) -> None:
    await logins.principal(issuer.token())
    for _ in range(50):
        await refused(logins, issuer.token(kid="nobodys"))
    assert issuer.asked["/realms/weft/certs"] == 1

    hours.now += PAUSE_S
    for _ in range(50):
        await refused(logins, issuer.token(kid="nobodys"))
    assert issuer.asked["/realms/weft/certs"] == 2


async def test_known_keys_last_while_the_issuer_is_away(issuer: TestIssuer, logins: Logins, hours: Hours) -> None:
    await logins.principal(issuer.token())
    issuer.is_down = True
    hours.now += 10 * KEPT_S

    assert (await logins.principal(issuer.token(sub="later"))).name == "ada (later)"


async def test_without_any_keys_nobody_is_believed_and_the_issuer_is_asked_rarely(
    issuer: TestIssuer, logins: Logins, hours: Hours
) -> None:
    issuer.is_down = True
    for _ in range(20):
        assert await refused(logins, issuer.token()) == "IDENTITY_PROVIDER_UNAVAILABLE"
    assert issuer.asked["/realms/weft/.well-known/openid-configuration"] == 1

    issuer.is_down = False
    hours.now += PAUSE_S
    assert (await logins.principal(issuer.token())).grants


async def test_an_issuer_that_calls_itself_otherwise_is_not_the_one(issuer: TestIssuer, logins: Logins) -> None:
    issuer.called = "https://elsewhere.example"

    assert await refused(logins, issuer.token()) == "IDENTITY_PROVIDER_UNAVAILABLE"


async def test_an_issuer_is_believed_by_its_certificate_only(issuer: TestIssuer, tmp_path: Any) -> None:
    other = Authority(tmp_path, "another authority")
    logins = Logins(Issuer(issuer.url, fetcher(other.certificate)), LoginRules())

    assert await refused(logins, issuer.token()) == "IDENTITY_PROVIDER_UNAVAILABLE"
    assert not issuer.asked


async def test_an_issuer_is_not_asked_without_tls() -> None:
    with pytest.raises(ValueError, match="not https"):
        await fetcher(None)("http://127.0.0.1:1/keys")


async def test_a_login_ends_while_it_is_used(issuer: TestIssuer) -> None:
    now = float(NOW)
    logins = Logins(Issuer(issuer.url, fetcher(issuer.ca.certificate)), LoginRules(), lambda: now)
    ada: Principal = await logins.principal(issuer.token())
    assert logins.is_valid(ada)

    now += 3600
    assert not logins.is_valid(ada)


def test_the_test_issuer_signs_as_it_says(issuer: TestIssuer) -> None:
    assert jwt.get_unverified_header(issuer.token())["alg"] == "RS256"
