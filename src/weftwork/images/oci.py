"""Manifests, indexes and configurations (OCI image specification 1.1; Docker's schema 2), read with suspicion."""

import json
import platform as machine
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weftwork.base import codes

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
LARGEST_DOCUMENT = 4 << 20
"""Bytes of a manifest, an index or a configuration: what the distribution specification tells registries to take."""
MOST_LAYERS = 512

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64", "ppc64le": "ppc64le"}


@dataclass(frozen=True, slots=True)
class Platform:
    architecture: str
    os: str = "linux"
    variant: str = ""

    @classmethod
    def of_this_machine(cls) -> "Platform":
        return cls(_ARCHITECTURES.get(machine.machine(), machine.machine()))

    @classmethod
    def parse(cls, text: str) -> "Platform":
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise codes.INVALID_ARGUMENT.refusal(f"{text!r} is no platform such as linux/amd64")
        return cls(parts[1], parts[0], parts[2] if len(parts) == 3 else "")

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob: its name is the digest of its bytes."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself. `diff_ids` are the digests of its layers' tars, unpacked, lowest first."""

    platform: Platform
    diff_ids: tuple[str, ...]
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""
    exposed: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def decode_document(data: bytes, what: str) -> dict[str, Any]:
    """Raises IMAGE_INVALID."""
    if len(data) > LARGEST_DOCUMENT:
        raise codes.IMAGE_INVALID.refusal(f"the {what} has {len(data)} bytes, more than {LARGEST_DOCUMENT}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise codes.IMAGE_INVALID.refusal(f"the {what} is no JSON object")
    return document


def is_index(document: Mapping[str, Any], media_type: str = "") -> bool:
    return (document.get("mediaType") or media_type) in INDEXES or (
        "manifests" in document and "layers" not in document
    )


def decode_manifest(document: Mapping[str, Any]) -> Manifest:
    """Raises IMAGE_INVALID, also for what is no image: signatures, charts and other artifacts."""
    layers = document.get("layers")
    if document.get("schemaVersion") != 2 or not isinstance(layers, list):
        raise codes.IMAGE_INVALID.refusal("the manifest is not of schema version 2")
    if len(layers) > MOST_LAYERS:
        raise codes.IMAGE_INVALID.refusal(f"the manifest lists {len(layers)} layers, more than {MOST_LAYERS}")
    return Manifest(
        decode_descriptor(document.get("config"), "manifest"),
        tuple(decode_descriptor(layer, "manifest") for layer in layers),
    )


def decode_descriptor(value: object, where: str) -> Descriptor:
    fields = value if isinstance(value, dict) else {}
    digest, size, media_type = fields.get("digest"), fields.get("size"), fields.get("mediaType", "")
    named = isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(media_type, str)
    if not named or not isinstance(size, int) or size < 0:
        raise codes.IMAGE_INVALID.refusal(f"the {where} names a blob without a sha256 digest and a size")
    return Descriptor(str(digest), size, media_type, _platform(fields.get("platform")))


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    texts = [value.get(name, "") for name in ("architecture", "os", "variant")]
    return Platform(*texts) if all(isinstance(text, str) for text in texts) else None


def choose(index: Mapping[str, Any], wanted: Platform) -> Descriptor:
    """The manifest of an index for a platform. Raises IMAGE_PLATFORM_MISSING, naming those there are."""
    listed = index.get("manifests")
    entries = [decode_descriptor(entry, "index") for entry in listed] if isinstance(listed, list) else []
    for entry in entries:
        if entry.platform is None and len(entries) == 1:
            return entry
        if entry.platform and _fits(entry.platform, wanted):
            return entry
    there = ", ".join(sorted({str(entry.platform) for entry in entries if entry.platform})) or "none"
    raise codes.IMAGE_PLATFORM_MISSING.refusal(f"the image is not made for {wanted}; it is for: {there}")


def _fits(there: Platform, wanted: Platform) -> bool:
    same = (there.os, there.architecture) == (wanted.os, wanted.architecture)
    return same and wanted.variant in ("", there.variant)


def decode_config(data: bytes) -> ImageConfig:
    """Raises IMAGE_INVALID."""
    document = decode_document(data, "configuration")
    rootfs, config = _object(document.get("rootfs")), _object(document.get("config"))
    diff_ids = _texts(rootfs.get("diff_ids"))
    if not all(_DIGEST.fullmatch(digest) for digest in diff_ids):
        raise codes.IMAGE_INVALID.refusal("the configuration lists layers that have no sha256 digest")
    return ImageConfig(
        platform=_platform(document) or Platform("", ""),
        diff_ids=diff_ids,
        env=_texts(config.get("Env")),
        entrypoint=_texts(config.get("Entrypoint")),
        command=_texts(config.get("Cmd")),
        working_dir=_text(config.get("WorkingDir")) or "/",
        user=_text(config.get("User")),
        exposed=tuple(sorted(_object(config.get("ExposedPorts")))),
        labels={name: _text(text) for name, text in _object(config.get("Labels")).items()},
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
