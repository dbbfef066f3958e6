"""Images that lie on disk: OCI layouts (a folder or its tar) and the archives of `docker save`."""

import hashlib
import json
import tarfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from weftwork.base import codes
from weftwork.images.blobs import Blobs
from weftwork.images.oci import (
    LARGEST_DOCUMENT,
    MANIFESTS,
    MOST_LAYERS,
    Descriptor,
    Manifest,
    Platform,
    choose,
    decode_descriptor,
    decode_document,
    decode_manifest,
    is_index,
)

_NAME = "org.opencontainers.image.ref.name"
_TAR = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20


class _Files(Protocol):
    def open(self, name: str) -> BinaryIO | None:
        """A regular file of the image; None when there is none. Nothing outside of it is ever opened."""


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def open(self, name: str) -> BinaryIO | None:
        place = (self._folder / name).resolve()
        return place.open("rb") if place.is_relative_to(self._folder) and place.is_file() else None


class _Archive(AbstractContextManager["_Archive"]):
    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path)  # noqa: SIM115 - closed by __exit__
        self._members = {member.name.removeprefix("./"): member for member in self._tar if member.isfile()}

    def open(self, name: str) -> BinaryIO | None:
        member = self._members.get(name)
        return self._tar.extractfile(member) if member else None  # type: ignore[return-value]  # typeshed: IO[bytes]

    def __exit__(self, *_: object) -> None:
        self._tar.close()


def take(path: Path, name: str | None, platform: Platform, blobs: Blobs) -> tuple[Descriptor, Manifest]:
    """All blobs of the image at `path` (the one called `name`, when there are several), as after a pull.

    Raises IMAGE_NOT_FOUND, IMAGE_INVALID, IMAGE_PLATFORM_MISSING.
    """
    if path.is_dir():
        return _take(_Folder(path), str(path), name, platform, blobs)
    try:
        with _Archive(path) as archive:
            return _take(archive, str(path), name, platform, blobs)
    except OSError as error:
        raise codes.IMAGE_NOT_FOUND.refusal(f"{path}: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError) as error:
        why = str(error).partition("\n")[0].rstrip(":")  # tarfile goes on with every compression it tried
        raise codes.IMAGE_INVALID.refusal(f"{path} is no archive of an image: {why}") from None


def _take(files: _Files, where: str, name: str | None, platform: Platform, blobs: Blobs) -> tuple[Descriptor, Manifest]:
    if data := _read(files, "index.json"):
        return _take_layout(files, decode_document(data, "index.json"), where, name, platform, blobs)
    if data := _read(files, "manifest.json"):
        return _take_saved(files, data, where, name, blobs)
    raise codes.IMAGE_NOT_FOUND.refusal(f"{where} holds neither an index.json (OCI) nor a manifest.json (docker save)")


def _take_layout(
    files: _Files, index: dict[str, object], where: str, name: str | None, platform: Platform, blobs: Blobs
) -> tuple[Descriptor, Manifest]:
    listed = index.get("manifests")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if name is not None:
        entries = [entry for entry in entries if (entry.get("annotations") or {}).get(_NAME) == name]
        if not entries:
            raise codes.IMAGE_NOT_FOUND.refusal(f"{where} holds no image called {name}")
    names = {str((entry.get("annotations") or {}).get(_NAME)) for entry in entries}
    if len(names) > 1:
        raise codes.IMAGE_NOT_FOUND.refusal(f"{where} holds several images: {', '.join(sorted(names))}; name one")
    if len(entries) == 1:
        blob = decode_descriptor(entries[0], "index.json")
    else:
        blob = choose({"manifests": entries}, platform)
    document = _document(files, blob, blobs)
    if is_index(document, blob.media_type):
        blob = choose(document, platform)
        document = _document(files, blob, blobs)
    manifest = decode_manifest(document)
    for part in (manifest.config, *manifest.layers):
        _copy(files, part, blobs)
    return blob, manifest


def _document(files: _Files, blob: Descriptor, blobs: Blobs) -> dict[str, object]:
    _copy(files, blob, blobs)
    return decode_document(blobs.read(blob), "manifest")


def _copy(files: _Files, blob: Descriptor, blobs: Blobs) -> None:
    source = files.open(f"blobs/{blob.digest.replace(':', '/', 1)}")
    if source is None:
        raise codes.IMAGE_INVALID.refusal(f"the image lacks the blob {blob.digest} that it names")
    with source:
        blobs.copy(source, blob)


def _take_saved(files: _Files, data: bytes, where: str, name: str | None, blobs: Blobs) -> tuple[Descriptor, Manifest]:
    """What `docker save` wrote before it wrote OCI layouts: layers are plain tars, and there is no manifest to name."""
    try:
        listed = [entry for entry in json.loads(data) if isinstance(entry, dict)]
    except (ValueError, TypeError, RecursionError):
        raise codes.IMAGE_INVALID.refusal(f"{where}: manifest.json is no list of images") from None
    if name is not None:
        listed = [entry for entry in listed if name in (entry.get("RepoTags") or ())]
    if len(listed) != 1:
        tags = ", ".join(str(tag) for entry in listed for tag in entry.get("RepoTags") or ()) or "none"
        raise codes.IMAGE_NOT_FOUND.refusal(f"{where} does not hold one image of that name; it holds: {tags}")
    paths = listed[0].get("Layers")
    if not isinstance(paths, list) or len(paths) > MOST_LAYERS:
        raise codes.IMAGE_INVALID.refusal(f"{where}: manifest.json lists no layers, or more than {MOST_LAYERS}")
    config = _read(files, str(listed[0].get("Config")))
    if config is None:
        raise codes.IMAGE_INVALID.refusal(f"{where} lacks the configuration that its manifest.json names")
    layers = tuple(_hashed(files, str(path), where, blobs) for path in paths)
    manifest = Manifest(blobs.add(config, "application/vnd.oci.image.config.v1+json"), layers)
    return blobs.add(_encode(manifest), MANIFESTS[0]), manifest


def _hashed(files: _Files, path: str, where: str, blobs: Blobs) -> Descriptor:
    """A layer whose digest nobody told: it is what its bytes say, and the configuration's diff_ids will judge it."""
    source = files.open(path)
    if source is None:
        raise codes.IMAGE_INVALID.refusal(f"{where} lacks the layer {path!r} that its manifest.json names")
    with source:
        digest, size = hashlib.sha256(), 0
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        blob = Descriptor(f"sha256:{digest.hexdigest()}", size, _TAR)
        source.seek(0)
        blobs.copy(source, blob)
    return blob


def _encode(manifest: Manifest) -> bytes:
    def describe(blob: Descriptor) -> dict[str, object]:
        return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}

    layers = [describe(layer) for layer in manifest.layers]
    document = {"schemaVersion": 2, "mediaType": MANIFESTS[0], "config": describe(manifest.config), "layers": layers}
    return json.dumps(document, sort_keys=True).encode()


def _read(files: _Files, name: str) -> bytes | None:
    source = files.open(name)
    if source is None:
        return None
    with source:
        data = source.read(LARGEST_DOCUMENT + 1)
    if len(data) > LARGEST_DOCUMENT:
        raise codes.IMAGE_INVALID.refusal(f"{name} has more than {LARGEST_DOCUMENT} bytes")
    return data
