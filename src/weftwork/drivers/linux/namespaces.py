"""Network namespaces by name, as `ip netns` keeps them; ours carry our mark in the alias of their `lo`.

A file of ours in /run/netns carries its deployment as an extended attribute too, so that one whose namespace was never
mounted (we were killed in between) is found again.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NETNS = Path("/run/netns")
_OWN = Path("/proc/self/ns/net")
_NAME_BYTES_MAX = 150
_ATTRIBUTE = "trusted.weftwork"
_NO_DEPLOYMENT = b"1"
"""The attribute's value before there were deployments."""

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def path_of(name: str) -> Path:
    """Where the namespace is mounted; ValueError for a name that is no single path component."""
    if not name or name in (".", "..") or "/" in name or "\0" in name or len(name.encode()) > _NAME_BYTES_MAX:
        raise ValueError(f"{name!r} cannot be the name of a network namespace")
    return NETNS / name


@contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of the named namespace, of the one our process stands in for "". Raises FileNotFoundError."""
    path = path_of(name) if name else _OWN
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not _is_namespace(descriptor):
            raise FileNotFoundError(errno.ENOENT, f"{path} is not a network namespace")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """The calling thread stands in that namespace; it always comes back."""
    with _back_home():
        _check(_libc.setns(descriptor, _CLONE_NEWNET), "setns")
        yield


@contextmanager
def inside_a_new_one() -> Iterator[None]:
    """The calling thread stands in a namespace without a name, which ends with its last user."""
    with _back_home():
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        yield


@contextmanager
def _back_home() -> Iterator[None]:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(home, _CLONE_NEWNET), "setns back")
        finally:
            os.close(home)


def names() -> list[str]:
    """Every name in /run/netns, ours or not, mounted or not."""
    try:
        return sorted(path.name for path in NETNS.iterdir())
    except FileNotFoundError:
        return []


def is_mounted(name: str) -> bool:
    try:
        return path_of(name).stat().st_dev == _OWN.stat().st_dev
    except FileNotFoundError:
        return False


def inode(name: str) -> int:
    """The number of the namespace that has the name now; 0 for none."""
    try:
        return path_of(name).stat().st_ino if is_mounted(name) else 0
    except (FileNotFoundError, ValueError):
        return 0


def owner_of_empty_file(name: str) -> str | None:
    """The deployment that made the name and never mounted it, or unmounted and never removed it; None for nobody."""
    try:
        value = os.getxattr(path_of(name), _ATTRIBUTE) if not is_mounted(name) else b""
    except OSError:
        return None
    return ("" if value == _NO_DEPLOYMENT else value.decode(errors="replace")) if value else None


def give_empty_file(name: str, deployment: str) -> None:
    os.setxattr(path_of(name), _ATTRIBUTE, deployment.encode() or _NO_DEPLOYMENT)


def prepare_folder() -> None:
    """/run/netns as `ip netns` wants it: a shared mount, so that every mount namespace sees what we add."""
    NETNS.mkdir(mode=0o755, exist_ok=True)
    folder = os.fsencode(NETNS)
    if _libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None) == 0:
        return
    _check(_libc.mount(folder, folder, b"none", _MS_BIND | _MS_REC, None), "bind /run/netns")
    _check(_libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None), "share /run/netns")


def name_the_present_one(name: str, deployment: str) -> None:
    """Mount the namespace the calling thread stands in. FileExistsError when a stranger has the name."""
    path = path_of(name)
    if owner_of_empty_file(name) != deployment:
        _make_marked_file(path, deployment)
    source = f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net".encode()
    _check(_libc.mount(source, os.fsencode(path), b"none", _MS_BIND, None), f"mount {path}")


def remove(name: str) -> None:
    """Take the name away; the namespace ends with its last user. Nothing to do is fine."""
    path = path_of(name)
    while is_mounted(name):
        if _libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
            _check(-1, f"unmount {path}")
    with suppress(FileNotFoundError):
        path.unlink()


def _make_marked_file(path: Path, deployment: str) -> None:
    """The file gets its mark before its name, so none of ours is ever seen without."""
    file = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o444)
    try:
        with suppress(OSError):  # a file system without extended attributes: one empty file may be left behind
            os.setxattr(file, _ATTRIBUTE, deployment.encode() or _NO_DEPLOYMENT)
        # src_dir_fd only makes Python use linkat(2), the one that follows this link.
        os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
    finally:
        os.close(file)


def _is_namespace(descriptor: int) -> bool:
    return os.fstat(descriptor).st_dev == _OWN.stat().st_dev
