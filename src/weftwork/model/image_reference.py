"""Names of images as people write them: `nginx`, `ghcr.io/org/app:1.2`, `127.0.0.1:5000/app@sha256:…`.

The grammar is that of the distribution project's `reference` package; short names mean Docker Hub, as everywhere.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from weftwork.base import codes

HUB = "docker.io"
_HUB_SERVER = "registry-1.docker.io"
_LONGEST_NAME = 255

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is: `digest` says exactly which, `tag` which it is today."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Raises INVALID_IMAGE_REFERENCE."""
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _refusal(text, "behind the @ stands no sha256 digest")
        first, slash, _ = rest.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost" or first.startswith("["))
        registry = first if named else HUB
        path = rest[len(first) + 1 :] if named else rest
        repository, colon, tag = path.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise _refusal(text, "behind the : stands no tag")
        if not _REGISTRY.fullmatch(registry):
            raise _refusal(text, "the part before the first / is no name of a registry")
        if not _REPOSITORY.fullmatch(repository) or len(registry) + len(repository) > _LONGEST_NAME:
            raise _refusal(text, "names are of a-z, 0-9, and . _ - between them, with / between the parts")
        if registry == HUB and "/" not in repository:
            repository = f"library/{repository}"
        return cls(registry, repository, tag if colon else None if at else "latest", digest if at else None)

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest if there is one."""
        return self.digest or self.tag or "latest"

    @property
    def server(self) -> str:
        return _HUB_SERVER if self.registry == HUB else self.registry

    @property
    def on_loopback(self) -> bool:
        host = self.registry.rsplit(":", 1)[0] if not self.registry.endswith("]") else self.registry
        if host == "localhost":
            return True
        try:
            return ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def _refusal(text: str, why: str) -> Exception:
    return codes.INVALID_IMAGE_REFERENCE.refusal(f"{text!r} is no name of an image: {why}")
