"""Unpacks the layers of an image into a tree: the program of a process that can see nothing but that tree.

It is started by `unpacking.py` without a network and with the few capabilities that owners and modes take. It opens
the blobs, makes the tree its root, and only then looks at what they hold: a path that leads out leads back in.

Standard input: a JSON object {root, layers: [{path, diff_id}], most_entries, most_bytes, highest_ratio}.
Standard output: a line of JSON each: {"layer": n} when one is done, at last {"entries", "bytes"} or {"refused": why}.
"""

import bz2  # noqa: F401 - tarfile would look for it when it is in the tree
import errno
import gzip
import hashlib
import json
import os
import resource
import stat
import sys
import tarfile
from contextlib import suppress
from typing import BinaryIO, Protocol

import zstandard

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_OF_THE_HOST = ("security.selinux", "security.ima", "security.evm", "trusted.", "system.")
"""Attributes that speak of the machine where the image was made; capabilities and user.* are the image's own."""
_CHUNK = 1 << 20
_MEMORY = 2 << 30
_DEEPEST = 255
_LONGEST = 4096
_SMALL = 256 << 20
"""Bytes that may come of anything before their ratio counts: the first of a log or a database are all zeros."""


class Refused(Exception):
    """The layer is not one that we unpack."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class _Plain:
    """A layer's tar: hashed whole, and no longer than it may be."""

    def __init__(self, source: BinaryIO, compressed: int, most: int, highest_ratio: int) -> None:
        magic = source.read(4)
        source.seek(0)
        self._from: _Readable = source
        if magic[:2] == b"\x1f\x8b":
            self._from = gzip.GzipFile(fileobj=source)
        elif magic == b"\x28\xb5\x2f\xfd":
            self._from = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
                source, read_across_frames=True
            )
        self._hash = hashlib.sha256()
        self._compressed = max(compressed, 1)
        self._most = most
        self._highest_ratio = highest_ratio
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._from.read(size)
        self._hash.update(data)
        self.read_bytes += len(data)
        if self.read_bytes > self._most:
            raise Refused("the image is larger unpacked than images may be")
        if self.read_bytes > _SMALL and self.read_bytes > self._compressed * self._highest_ratio:
            raise Refused(f"a layer grows to more than {self._highest_ratio} times its size when it is unpacked")
        return data

    def finish(self) -> str:
        """The digest of the whole, with what stands behind the last entry."""
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


class _Tree:
    """The tree so far. Everything is a path below `/`, which is its root."""

    def __init__(self, most_entries: int, most_bytes: int) -> None:
        self._entries_left = most_entries
        self._bytes_left = most_bytes
        self._most = (most_entries, most_bytes)
        self._times: dict[str, int] = {}

    @property
    def used(self) -> tuple[int, int]:
        return self._most[0] - self._entries_left, self._most[1] - self._bytes_left

    def apply(self, plain: _Plain) -> None:
        made: set[str] = set()
        with tarfile.open(fileobj=plain, mode="r|", bufsize=_CHUNK, errorlevel=2) as tar:  # type: ignore[call-overload]
            while entry := tar.next():
                self._entries_left -= 1
                if self._entries_left < 0:
                    raise Refused(f"the image has more than {self._most[0]} entries")
                self._apply(tar, entry, made)
                tar.members.clear()  # it would keep every one of them

    def finish(self) -> None:
        """Set the times of directories, which everything that was put into them has moved."""
        for path, time_ns in self._times.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)

    def _apply(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, made: set[str]) -> None:
        path = _inside(entry.name)
        folder, _, name = path.rpartition("/")
        folder = self._folder(folder, made, _time_ns(entry))
        if name.startswith(_WHITEOUT):
            self._whiteout(folder, name, made)
            return
        path = f"{folder}/{name}" if name else "/"
        self._clear(path, keep_folder=entry.isdir())
        self._create(tar, entry, path)
        made.add(path)
        if entry.islnk():
            return
        self._describe(entry, path)

    def _folder(self, path: str, made: set[str], time_ns: int) -> str:
        """The real path of a folder: made where it is missing, followed where the image has links in the way.

        One that is made is as old as what it is made for: the same layers always give the same tree.
        """
        try:
            real = os.path.realpath(path or "/", strict=True)
        except FileNotFoundError:
            real = os.path.realpath(path or "/")
            if os.path.lexists(real):
                raise Refused(f"{path} goes through a link that leads nowhere") from None
            self._make_folders(real, made, time_ns)
        except OSError as error:
            raise Refused(f"{path} is no folder: {error.strerror}") from None
        if not stat.S_ISDIR(os.lstat(real).st_mode):
            raise Refused(f"{path} is no folder, and something is to be put into it")
        return "" if real == "/" else real

    def _make_folders(self, path: str, made: set[str], time_ns: int) -> None:
        missing = []
        while not os.path.lexists(path):
            missing.append(path)
            path = path.rpartition("/")[0] or "/"
        for one in reversed(missing):
            os.mkdir(one, 0o755)
            made.add(one)
            self._times[one] = time_ns

    def _whiteout(self, folder: str, name: str, made: set[str]) -> None:
        """Take away what layers below put here; what this one did stays, in whatever order it comes."""
        if name == _OPAQUE:
            for entry in os.listdir(folder or "/"):
                self._remove(f"{folder}/{entry}", made)
            return
        hidden = name.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise Refused(f"{folder}/{name} takes away what is no entry")
        self._remove(f"{folder}/{hidden}", made)

    def _remove(self, path: str, made: set[str]) -> bool:
        """Whether nothing is left there."""
        if not os.path.lexists(path):
            return True
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            if path in made:
                return False
            os.unlink(path)
            return True
        gone = [self._remove(f"{path}/{entry}", made) for entry in os.listdir(path)]
        if path in made or not all(gone):
            return False
        os.rmdir(path)
        return True

    def _clear(self, path: str, *, keep_folder: bool) -> None:
        try:
            there = os.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(there.st_mode):
            if not keep_folder:
                if path == "/":
                    raise Refused("an entry wants to be in the place of the root")
                self._remove(path, set())
        else:
            os.unlink(path)

    def _create(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
        elif entry.isreg():
            self._write(tar, entry, path)
        elif entry.issym():
            if not entry.linkname or len(os.fsencode(entry.linkname)) >= _LONGEST:
                raise Refused(f"{path} is a link to nowhere")
            os.symlink(entry.linkname, path)
        elif entry.islnk():
            folder, _, name = _inside(entry.linkname).rpartition("/")
            target = f"{self._folder(folder, set(), _time_ns(entry))}/{name}"
            if not os.path.lexists(target) or stat.S_ISDIR(os.lstat(target).st_mode):
                raise Refused(f"{path} is a hard link to what is not there: {entry.linkname}")
            os.link(target, path, follow_symlinks=False)
        elif entry.isfifo():
            os.mkfifo(path, 0o600)
        elif entry.ischr() or entry.isblk():
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(entry.devmajor, entry.devminor))
        else:
            raise Refused(f"{path} is of a kind that we do not know: {entry.type!r}")

    def _write(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        self._bytes_left -= entry.size
        if self._bytes_left < 0:
            raise Refused(f"the image has files of more than {self._most[1]} bytes")
        source = tar.extractfile(entry)
        assert source is not None, "a regular file has content"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            left = entry.size
            while left:
                chunk = source.read(min(left, _CHUNK))
                if not chunk:
                    raise Refused(f"{path} ends before its {entry.size} bytes")
                file.write(chunk)
                left -= len(chunk)

    def _describe(self, entry: tarfile.TarInfo, path: str) -> None:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        for name, value in entry.pax_headers.items():
            attribute = name.removeprefix(_XATTR)
            if attribute != name and not attribute.startswith(_OF_THE_HOST):
                self._set_attribute(path, attribute, value.encode("utf-8", "surrogateescape"))
        time_ns = _time_ns(entry)
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
        if entry.isdir():
            self._times[path] = time_ns

    def _set_attribute(self, path: str, name: str, value: bytes) -> None:
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
                raise Refused(f"{path} cannot have the attribute {name}: {error.strerror}") from None


def _inside(name: str) -> str:
    """`/a/b` for `a/b`, `./a/b` and `/a/b`. Raises Refused where a name leads upwards, or is none."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"{name!r} leads out of the image")
    if "\0" in name or len(os.fsencode(name)) >= _LONGEST or len(parts) > _DEEPEST:
        raise Refused(f"{name[:64]!r}… is too long or too deep to be a path")
    return "/" + "/".join(parts)


def _time_ns(entry: tarfile.TarInfo) -> int:
    """To the nanosecond where the pax header has it: a float does not hold that."""
    whole, _, fraction = entry.pax_headers.get("mtime", "").partition(".")
    if whole.lstrip("-").isdigit() and (not fraction or fraction.isdigit()):
        nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
        time_ns = int(whole) * 10**9 + (-nanoseconds if whole.startswith("-") else nanoseconds)
    else:
        time_ns = int(entry.mtime) * 10**9
    return max(min(time_ns, 2**63 - 1), -(2**63))


def main() -> None:
    job = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0)
    sources = [open(layer["path"], "rb") for layer in job["layers"]]  # noqa: SIM115 - before the root changes
    sys.path.clear()
    sys.meta_path.clear()  # from here on, what is found below / is the image's
    os.chroot(job["root"])
    os.chdir("/")
    tree = _Tree(job["most_entries"], job["most_bytes"])
    try:
        for number, (source, layer) in enumerate(zip(sources, job["layers"], strict=True)):
            size = os.fstat(source.fileno()).st_size
            plain = _Plain(source, size, job["most_bytes"] + _SMALL, job["highest_ratio"])
            tree.apply(plain)
            if plain.finish() != layer["diff_id"]:
                raise Refused(f"layer {number + 1} does not hold what the image's configuration says")
            _say({"layer": number + 1})
        tree.finish()
    except Refused as refused:
        _say({"refused": str(refused)})
    except MemoryError:
        _say({"refused": "a header of a layer is larger than our memory"})
    except RecursionError:
        _say({"refused": "a folder of the image is too deep"})
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zstandard.ZstdError, ValueError, OverflowError) as error:
        _say({"refused": f"a layer is damaged: {error}"})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _say({"full": os.strerror(error.errno)})
        else:
            _say({"refused": f"an entry cannot be unpacked: {error}"})
    else:
        entries, size = tree.used
        _say({"entries": entries, "bytes": size})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
