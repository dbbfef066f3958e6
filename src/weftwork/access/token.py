"""API tokens as texts: `weft_<id>_<secret>`. Of the secret nothing is kept but its hash.

The secret has 256 random bits, so one SHA-256 is enough: salts and slow hashes are for what people can guess.
"""

from hashlib import sha256
from hmac import compare_digest

MARK = "weft_"
ID_LENGTH = 12
SECRET_BYTES = 32
_ID = frozenset("0123456789abcdef")


def written(token_id: str, secret: str) -> str:
    return f"{MARK}{token_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """The id and the secret; None for what is no token of ours."""
    token_id, underscore, secret = text.removeprefix(MARK).partition("_")
    if not text.startswith(MARK) or len(token_id) != ID_LENGTH or not set(token_id) <= _ID or not underscore:
        return None
    return token_id, secret


def hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def matches(secret: str, hash_: str) -> bool:
    """In the same time whatever differs."""
    return compare_digest(hashed(secret), hash_)
