"""What an agent keeps on its disk: who it is, and the last program it was told.

Files are written beside their place and renamed into it, so that each is whole or as it was; the program carries a
checksum, for a disk may lie.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from weftwork.base.errors import Failure
from weftwork.model.stack import Stack
from weftwork.program.resource import Program
from weftwork.rpc import programs

_IDENTITY, _PROGRAM, _STACKS = "identity.json", "program", "stacks"
_DEPLOYMENT = "deployment"


class Identity(msgspec.Struct, frozen=True):
    """`authority`, `certificate` and `key` are PEM; `server` is where agents connect, HOST:PORT."""

    host: str
    server: str
    deployment: str
    authority: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A program as it was told, with its generation and the term of who told it."""

    generation: int
    term: int
    program: Program


class StateFolder:
    """Readable by us alone: it holds a private key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def identity(self) -> Identity | None:
        """None before the host has joined. Raises Failure."""
        data = self._read(_IDENTITY)
        try:
            return msgspec.json.decode(data, type=Identity) if data else None
        except msgspec.DecodeError as error:
            raise Failure("STATE_DAMAGED", f"{self._folder / _IDENTITY}: {error}") from None

    def keep_identity(self, identity: Identity) -> None:
        self._write(_IDENTITY, msgspec.json.encode(identity))

    def own_deployment(self) -> str:
        """What networks of a host without a server are marked with: chosen once. Raises Failure."""
        there = self._read(_DEPLOYMENT).decode(errors="replace").strip()
        if there:
            return there
        chosen = str(uuid.uuid4())
        self._write(_DEPLOYMENT, f"{chosen}\n".encode())
        return chosen

    def program(self) -> Kept | None:
        """None without one, and for one that is damaged: then the server tells it again. Raises Failure."""
        data = self._read(_PROGRAM)
        if not data or data[:32] != sha256(data[32:]).digest():
            return None
        try:
            generation, term, resources = msgspec.msgpack.decode(data[32:], type=tuple[int, int, bytes])
            return Kept(generation, term, programs.decode(resources))
        except (msgspec.DecodeError, ValueError):
            return None

    def keep_program(self, kept: Kept) -> None:
        body = msgspec.msgpack.encode((kept.generation, kept.term, programs.encode(kept.program)))
        self._write(_PROGRAM, sha256(body).digest() + body)

    def stacks(self) -> Mapping[int, Stack]:
        """What was asked at the host itself. Failure STATE_DAMAGED: whose they are could not be told any more."""
        data = self._read(_STACKS)
        if not data:
            return {}
        if data[:32] != sha256(data[32:]).digest():
            raise Failure("STATE_DAMAGED", f"{self._folder / _STACKS}: the checksum is another one")
        try:
            found = msgspec.json.decode(data[32:], type=list[Stack], dec_hook=lambda kind, text: kind(text))
        except (msgspec.DecodeError, ValueError) as error:
            raise Failure("STATE_DAMAGED", f"{self._folder / _STACKS}: {error}") from None
        return {one.vpc_id: one for one in found}

    def keep_stacks(self, stacks: Mapping[int, Stack]) -> None:
        body = msgspec.json.encode(list(stacks.values()), enc_hook=str)
        self._write(_STACKS, sha256(body).digest() + body)

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise Failure("STATE_UNREADABLE", f"{self._folder / name}: {error.strerror}") from None

    def _write(self, name: str, data: bytes) -> None:
        place, beside = self._folder / name, self._folder / f"{name}.new"
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise Failure("STATE_UNWRITABLE", f"{place}: {error.strerror}") from None
