"""A public key that lets somebody into the VMs of a project."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from weftwork.base.tenancy import ProjectKey

KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
_RSA_BYTES_MIN = 270
"""What a key of 2048 bits has, with its names."""


@dataclass(frozen=True, slots=True)
class SshKey:
    """`text` is one line of OpenSSH's: kind, key, and perhaps a comment."""

    owner: ProjectKey
    name: str
    text: str
    created_at: int

    @property
    def fingerprint(self) -> str:
        digest = sha256(b64decode(self.text.split()[1])).digest()
        return f"SHA256:{b64encode(digest).decode().rstrip('=')}"


def parse_public_key(text: str) -> str:
    """As one clean line. ValueError for what is no public key, and for one that is too weak."""
    words = text.split()
    if "\n" in text.strip() or len(words) < 2:
        raise ValueError("it is not one line of the form `ssh-ed25519 AAAA… comment`")
    kind, encoded, *comment = words
    if kind not in KINDS:
        raise ValueError(f"keys of the kind {kind[:40]!r} are not taken")
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError("behind its kind stands no base64") from None
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind.encode() or len(blob) < 51:
        raise ValueError(f"it is not a whole key of the kind {kind}")
    if kind == "ssh-rsa" and len(blob) < _RSA_BYTES_MIN:
        raise ValueError("an RSA key has at least 2048 bits")
    told = " ".join(comment)
    if not told.isprintable():
        raise ValueError("its comment has characters that cannot be printed")
    return " ".join(filter(None, (kind, encoded, told)))
