"""Blobs under the digest of their bytes. One that is there is whole: it was verified before it got its name."""

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from weftwork.base import codes
from weftwork.images.oci import LARGEST_DOCUMENT, Descriptor

_CHUNK = 1 << 20


class Arrival:
    """A blob on its way in. What came before a break is kept, so that the rest can be asked for alone."""

    def __init__(self, blob: Descriptor, partial: Path, place: Path) -> None:
        self._blob = blob
        self._place = place
        self._partial, self._file = _own(partial)
        self._hash = hashlib.sha256()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
        self.received = self._file.tell()

    def write(self, chunk: bytes) -> None:
        """Raises IMAGE_INVALID when more comes than was announced."""
        self.received += len(chunk)
        if self.received > self._blob.size:
            self.forget()
            raise codes.IMAGE_INVALID.refusal(f"blob {self._blob.digest} is larger than its {self._blob.size} bytes")
        self._hash.update(chunk)
        self._file.write(chunk)

    @property
    def is_right(self) -> bool:
        """Whether what is here is the whole blob, byte by byte."""
        return self.received == self._blob.size and f"sha256:{self._hash.hexdigest()}" == self._blob.digest

    def start_over(self) -> None:
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.received = 0

    def commit(self) -> Path:
        """Raises IMAGE_INVALID when the bytes are not those of the name; then nothing is kept of them."""
        found = f"sha256:{self._hash.hexdigest()}"
        if self.received != self._blob.size or found != self._blob.digest:
            self.forget()
            raise codes.IMAGE_INVALID.refusal(
                f"{self.received} bytes with digest {found} came for {self._blob.digest} of {self._blob.size} bytes"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.rename(self._place)
        return self._place

    def forget(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()


def _own(partial: Path) -> tuple[Path, BinaryIO]:
    """The file to write to, for nobody else: another one when somebody else fetches the same blob at this moment."""
    while True:
        file = partial.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            partial = partial.with_suffix(f".{secrets.token_hex(8)}")
            continue
        if partial.exists() and partial.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return partial, file
        file.close()  # it has got its name, or was thrown away, between the opening and the lock


class Blobs:
    """A folder of blobs, `sha256/<hex>` as in an OCI layout; `partial/` holds what is arriving."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "sha256"
        self._partial = folder / "partial"
        for part in (self._blobs, self._partial):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self._blobs / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        place = self.path(blob.digest)
        return place.exists() and place.stat().st_size == blob.size

    @contextlib.contextmanager
    def receive(self, blob: Descriptor) -> Iterator[Arrival]:
        arrival = Arrival(blob, self._partial / self.path(blob.digest).name, self.path(blob.digest))
        try:
            yield arrival
        finally:
            arrival.close()

    def add(self, data: bytes, media_type: str = "") -> Descriptor:
        """A small document that came some other way."""
        blob = Descriptor(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), media_type)
        if not self.has(blob):
            with self.receive(blob) as arrival:
                arrival.start_over()
                arrival.write(data)
                arrival.commit()
        return blob

    def copy(self, source: BinaryIO, blob: Descriptor) -> None:
        """Raises IMAGE_INVALID when the bytes are not those of the name."""
        if self.has(blob):
            return
        with self.receive(blob) as arrival:
            arrival.start_over()
            while chunk := source.read(_CHUNK):
                arrival.write(chunk)
            arrival.commit()

    def read(self, blob: Descriptor) -> bytes:
        """A document, whole. Raises IMAGE_INVALID when it is too large to be one."""
        if blob.size > LARGEST_DOCUMENT:
            raise codes.IMAGE_INVALID.refusal(f"{blob.digest} has {blob.size} bytes: too many for a document")
        return self.path(blob.digest).read_bytes()

    def keep_only(self, digests: set[str]) -> int:
        """Remove every other blob, and what never arrived whole. How many bytes were freed."""
        kept, freed = {digest.removeprefix("sha256:") for digest in digests}, 0
        for place in (*self._blobs.iterdir(), *self._partial.iterdir()):
            if place.parent == self._partial or place.name not in kept:
                freed += place.stat().st_size
                place.unlink()
        return freed
