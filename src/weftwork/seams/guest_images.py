"""Where a host's guests get their root file systems: the image cache, seen from the driver."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GuestImage:
    """A root file system (ext4, read-only), and what the image says is to run in it."""

    disk: Path
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_dir: str = "/"
    user: str = ""


class GuestImages(Protocol):
    def find(self, manifest: str) -> GuestImage:
        """By the digest of its manifest. Raises Failure IMAGE_NOT_HERE."""
        ...
