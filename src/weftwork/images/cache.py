"""Images of this machine: one record per image, blobs and disks beside them. What is in use is never removed.

A disk is in use while somebody holds a shared lock (flock) on its file; the lock goes with its holder, however it ends.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.images import files, registry
from weftwork.images.blobs import Blobs
from weftwork.images.disk import make_ext4
from weftwork.images.oci import Descriptor, ImageConfig, Manifest, Platform, decode_config, decode_manifest
from weftwork.images.oci import decode_document as decode
from weftwork.images.unpacking import Limits, unpack
from weftwork.model.image_reference import Reference

SPARE_BYTES = 512 << 20
_FORM = "1"
"""Of the disks: another one when the same layers are to give other bytes."""

Told = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is here whole. `id` is the digest of its configuration; `manifest` is the manifest's."""

    id: str
    manifest: str
    names: tuple[str, ...]
    platform: str
    disk: str
    entries: int
    bytes: int
    taken_at: str

    @property
    def short_id(self) -> str:
        return self.id.removeprefix("sha256:")[:12]


class Images:
    """The images below one folder, for every process of this machine. Root's alone: it holds what strangers wrote."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._records, self._disks, self._trees = (folder / name for name in ("images", "disks", "trees"))
        for part in (folder, self._records, self._disks, self._trees):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._blobs = Blobs(folder / "blobs")

    async def pull(self, text: str, platform: Platform, told: Told) -> Image:
        """Nothing is fetched that is here. Raises what `Reference.parse`, `registry.pull` and `unpack` raise."""
        reference = Reference.parse(text)
        with self._locked(fcntl.LOCK_SH):
            here: dict[str, tuple[int, int]] = {}

            def count(blob: Descriptor, received: int) -> None:
                here[blob.digest] = (received, blob.size)
                told("fetched", sum(one for one, _ in here.values()), sum(size for _, size in here.values()))

            manifest, content = await registry.pull(reference, self._blobs, platform, count)
            return await self._take(manifest, content, str(reference), platform, told)

    async def load(self, path: Path, name: str | None, platform: Platform, told: Told) -> Image:
        """From an OCI layout or an archive of `docker save`; raises what `files.take` and `unpack` raise."""
        with self._locked(fcntl.LOCK_SH):
            manifest, content = files.take(path, name, platform, self._blobs)
            return await self._take(manifest, content, name or path.name.partition(".")[0], platform, told)

    def list(self) -> tuple[Image, ...]:
        read = (_decode(record.read_text()) for record in self._records.glob("*.json"))
        return tuple(sorted(read, key=lambda image: (image.names, image.id)))

    def find(self, text: str) -> Image:
        """By name, or by the beginning of its id. Raises IMAGE_NOT_FOUND, also when several begin so."""
        there = self.list()
        with contextlib.suppress(Refusal):
            name = str(Reference.parse(text))
            if found := [image for image in there if name in image.names]:
                return found[0]
        named = [image for image in there if text in image.names]
        found = named or [
            image for image in there if len(text) >= 4 and image.id.removeprefix("sha256:").startswith(text)
        ]
        if len(found) != 1:
            why = "several images have ids that begin so" if found else "there is no such image here"
            raise codes.IMAGE_NOT_FOUND.refusal(f"{text}: {why}")
        return found[0]

    def config(self, image: Image) -> ImageConfig:
        return decode_config(self._blobs.path(image.id).read_bytes())

    def disk(self, image: Image) -> Path:
        """Its root file system: ext4, read-only to everybody; copies are made of it or laid over it."""
        return self._disks / image.disk

    @contextlib.contextmanager
    def use(self, image: Image) -> Iterator[IO[bytes]]:
        """The disk, which stays as long as the file is open here or where it was passed on to."""
        with self.disk(image).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield file

    def remove(self, text: str) -> Image:
        """Forget a name; with its last name, or by its id, the image goes. Raises IMAGE_NOT_FOUND, IMAGE_IN_USE."""
        with self._locked(fcntl.LOCK_EX):
            image = self.find(text)
            names = tuple(name for name in image.names if name not in (text, _full(text)))
            if names and len(names) < len(image.names):
                self._write(replace(image, names=names))
                return image
            if self._in_use(self.disk(image)):
                raise codes.IMAGE_IN_USE.refusal(f"{text}: its disk is in use")
            self._record(image.id).unlink()
            self._sweep()
        return image

    def prune(self) -> int:
        """Remove images without a name that nobody uses, and whatever belongs to no image. Bytes that were freed."""
        with self._locked(fcntl.LOCK_EX):
            for image in self.list():
                if not image.names and not self._in_use(self.disk(image)):
                    self._record(image.id).unlink()
            return self._sweep()

    def _sweep(self) -> int:
        images = self.list()
        kept = {blob for image in images for blob in self._blobs_of(image)}
        freed = self._blobs.keep_only(kept)
        disks = {image.disk for image in images}
        for disk in self._disks.iterdir():
            if disk.name not in disks and not self._in_use(disk):
                freed += disk.stat().st_blocks * 512
                disk.unlink()
        for tree in self._trees.iterdir():
            shutil.rmtree(tree)
        return freed

    def _blobs_of(self, image: Image) -> set[str]:
        manifest = decode_manifest(decode(self._blobs.path(image.manifest).read_bytes(), "manifest"))
        return {image.manifest, image.id, *(layer.digest for layer in manifest.layers)}

    async def _take(self, blob: Descriptor, manifest: Manifest, name: str, platform: Platform, told: Told) -> Image:
        config = decode_config(self._blobs.read(manifest.config))
        if len(config.diff_ids) != len(manifest.layers):
            raise codes.IMAGE_INVALID.refusal("the configuration and the manifest differ in the number of layers")
        if (config.platform.os, config.platform.architecture) != (platform.os, platform.architecture):
            raise codes.IMAGE_PLATFORM_MISSING.refusal(f"the image is for {config.platform}, not for {platform}")
        disk = f"{hashlib.sha256(' '.join((_FORM, *config.diff_ids)).encode()).hexdigest()}.ext4"
        image = self._read(manifest.config.digest)
        if image is None or not self.disk(image).exists():
            entries, size = await self._make_disk(manifest, config, self._disks / disk, told)
            taken_at = datetime.now(UTC).isoformat(timespec="seconds")
            image = Image(manifest.config.digest, blob.digest, (), str(config.platform), disk, entries, size, taken_at)
        return self._name(image, name)

    async def _make_disk(self, manifest: Manifest, config: ImageConfig, disk: Path, told: Told) -> tuple[int, int]:
        paths = [self._blobs.path(layer.digest) for layer in manifest.layers]
        with tempfile.TemporaryDirectory(dir=self._trees) as made:
            root = Path(made) / "root"
            root.mkdir(mode=0o755)
            layers = list(zip(paths, config.diff_ids, strict=True))
            tree = await unpack(layers, root, self._limits, lambda done: told("unpacked", done, len(layers)))
            told("writing the disk", 0, 1)
            building = Path(made) / disk.name
            await make_ext4(
                root,
                building,
                name=disk.name,
                entries=tree.entries,
                size_bytes=tree.bytes,
                spare_bytes=SPARE_BYTES,
            )
            building.chmod(0o400)
            building.rename(disk)
        return tree.entries, tree.bytes

    def _name(self, image: Image, name: str) -> Image:
        """A name is one image's: who had it before loses it, as after a newer pull of a tag."""
        with (self._folder / "names").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for other in self.list():
                if name in other.names and other.id != image.id:
                    self._write(replace(other, names=tuple(one for one in other.names if one != name)))
            names = {*(self._read(image.id) or image).names, name}
            named = replace(image, names=tuple(sorted(names)))
            self._write(named)
            return named

    def _read(self, identity: str) -> Image | None:
        record = self._record(identity)
        return _decode(record.read_text()) if record.exists() else None

    def _write(self, image: Image) -> None:
        record = self._record(image.id)
        partial = record.with_suffix(f".{os.getpid()}")
        with partial.open("w") as file:
            json.dump(asdict(image), file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(record)

    def _record(self, identity: str) -> Path:
        return self._records / f"{identity.removeprefix('sha256:')}.json"

    @staticmethod
    def _in_use(disk: Path) -> bool:
        if not disk.exists():
            return False
        with disk.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Shared while something comes, alone while something goes. Raises IMAGES_BUSY instead of waiting for hours."""
        with (self._folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                raise codes.IMAGES_BUSY.refusal("another process adds or removes images at this moment") from None
            yield


def _full(text: str) -> str:
    with contextlib.suppress(Refusal):
        return str(Reference.parse(text))
    return text


def _decode(text: str) -> Image:
    fields: dict[str, Any] = json.loads(text)
    return Image(**fields | {"names": tuple(fields["names"])})
