"""Container images with every trick, made by hand: tars entry by entry, OCI layouts, and `docker save` as it was."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"

Entry = tuple[tarfile.TarInfo, bytes]


def folder(name: str, mode: int = 0o755, **rest: Any) -> Entry:
    return _entry(name, tarfile.DIRTYPE, mode, **rest)


def file(name: str, data: bytes = b"", mode: int = 0o644, **rest: Any) -> Entry:
    return _entry(name, tarfile.REGTYPE, mode, data, **rest)


def link(name: str, to: str, **rest: Any) -> Entry:
    return _entry(name, tarfile.SYMTYPE, 0o777, linkname=to, **rest)


def hard_link(name: str, to: str) -> Entry:
    return _entry(name, tarfile.LNKTYPE, 0o644, linkname=to)


def fifo(name: str, mode: int = 0o600) -> Entry:
    return _entry(name, tarfile.FIFOTYPE, mode)


def device(name: str, major: int, minor: int, *, block: bool = False, mode: int = 0o660) -> Entry:
    return _entry(name, tarfile.BLKTYPE if block else tarfile.CHRTYPE, mode, devmajor=major, devminor=minor)


def whiteout(name: str) -> Entry:
    above, _, last = name.rpartition("/")
    return file(f"{above}/.wh.{last}" if above else f".wh.{last}")


def opaque(name: str) -> Entry:
    return file(f"{name}/.wh..wh..opq")


def _entry(name: str, kind: bytes, mode: int, data: bytes = b"", **rest: Any) -> Entry:
    """`time` is in seconds and may have a fraction as text; `attributes` are extended ones, their values in bytes."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, mode, len(data)
    time = str(rest.pop("time", "1700000000"))
    info.mtime = int(time.partition(".")[0])
    headers = {"mtime": time} if "." in time else {}
    for key, value in rest.pop("attributes", {}).items():
        headers[f"SCHILY.xattr.{key}"] = value.decode("utf-8", "surrogateescape")
    info.pax_headers = headers
    for key, value in rest.items():
        setattr(info, key, value)
    return info, data


def make_tar(entries: Iterable[Entry]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


@dataclass(frozen=True, slots=True)
class MadeImage:
    """`blobs` by digest; the manifest's descriptor; and what `docker save` would have called it."""

    blobs: Mapping[str, bytes]
    manifest: Mapping[str, object]
    tars: tuple[bytes, ...]
    config: bytes

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])


def make_image(
    layers: Sequence[bytes],
    compression: str = "gzip",
    *,
    architecture: str = "amd64",
    diff_ids: Sequence[str] | None = None,
    **config: object,
) -> MadeImage:
    """An image of the tars `layers`, lowest first; `compression` is gzip, zstd or none. `config` is its `config`."""
    blobs: dict[str, bytes] = {}

    def add(data: bytes, media_type: str) -> dict[str, object]:
        blobs[_digest(data)] = data
        return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}

    packed = [add(_compress(tar, compression), _LAYER + _SUFFIX[compression]) for tar in layers]
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], **config},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids or map(_digest, layers))},
    }
    encoded = json.dumps(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": add(encoded, _CONFIG),
        "layers": packed,
    }
    return MadeImage(blobs, add(json.dumps(manifest).encode(), OCI_MANIFEST), tuple(layers), encoded)


_SUFFIX = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}


def _compress(tar: bytes, compression: str) -> bytes:
    match compression:
        case "gzip":
            return gzip.compress(tar, 6, mtime=0)
        case "zstd":
            return zstandard.compress(tar)
    return tar


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_layout(image: MadeImage, place: Path, name: str = "latest") -> Path:
    """As an OCI layout."""
    (place / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in image.blobs.items():
        (place / "blobs" / digest.replace(":", "/")).write_bytes(data)
    (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    named = {**image.manifest, "annotations": {"org.opencontainers.image.ref.name": name}}
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return place


def write_saved(image: MadeImage, place: Path, tag: str) -> Path:
    """As `docker save` did before it wrote OCI layouts."""
    names = [f"{number}/layer.tar" for number in range(len(image.tars))]
    listed = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
    members = {"manifest.json": json.dumps(listed).encode(), "config.json": image.config}
    members |= dict(zip(names, image.tars, strict=True))
    place.write_bytes(make_tar(file(name, data) for name, data in members.items()))
    return place


CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""security.capability for cap_net_raw+ep (version 2)."""


def every_trick() -> tuple[bytes, ...]:
    """Three layers with what images do to each other's files, and with every kind of entry there is."""
    long = "/".join(f"{'deep' * 20}-{number}" for number in range(8))
    lowest = [
        folder("./"),
        *(folder(name) for name in ("bin0", "usr", "usr/bin", "etc", "opt", "opt/dir", "opt/dir/sub", "var", "dev")),
        folder("tmp", 0o1777, time="1600000000.123456789"),
        folder("root", 0o700),
        link("bin", "usr/bin"),
        link("abs", "/usr/bin"),
        link("dangling", "/nowhere/at/all"),
        file("usr/bin/tool", b"#!tool", 0o4755),
        file("usr/bin/ping", b"ping", 0o755, attributes={"security.capability": CAPABILITY}),
        file("etc/a", b"a", 0o640, uid=1234, gid=5678, time="1699999999.5"),
        file("etc/large-ids", b"x", uid=3_000_000_000, gid=4_000_000_000),
        hard_link("etc/a-again", "etc/a"),
        hard_link("etc/link-again", "bin"),
        file("etc/noted", b"n", attributes={"user.note": b"\xff\x00raw", "user.empty": b""}),
        file("etc/selinux", b"s", attributes={"security.selinux": b"system_u:object_r:etc_t:s0"}),
        file("opt/dir/x", b"x"),
        file("opt/dir/sub/y", b"y"),
        folder("opt/opaque"),
        file("opt/opaque/old", b"old"),
        folder("opt/opaque/both"),
        file("opt/opaque/both/old", b"old"),
        file("opt/becomes-folder", b"file"),
        folder("opt/becomes-file"),
        file("opt/becomes-file/inside", b"i"),
        link("opt/becomes-real", "dir"),
        fifo("var/fifo", 0o622),
        device("dev/null", 1, 3, mode=0o666),
        device("dev/loop9", 7, 9, block=True),
        file("etc/grüße – 𝄞", "ünï".encode()),
        file("etc/empty"),
        file("etc/large", os.urandom(300_000) + bytes(200_000)),
        file(f"{long}/end", b"far"),
    ]
    middle = [
        whiteout("etc/empty"),
        whiteout("opt/dir"),
        file("opt/opaque/new", b"new"),
        folder("opt/opaque/both", 0o711),
        file("opt/opaque/both/new", b"new"),
        opaque("opt/opaque"),
        folder("opt/becomes-folder", 0o750),
        file("opt/becomes-folder/inside", b"now"),
        file("opt/becomes-file", b"now"),
        folder("opt/becomes-real"),
        file("opt/becomes-real/own", b"own"),
        file("bin/through-link", b"t", 0o755),
        file("abs/through-absolute", b"t", 0o755),
        hard_link("etc/of-below", "usr/bin/tool"),
        folder("root", 0o711, time="1650000000"),
        file("made/without/parents", b"p"),
    ]
    highest = [
        file("etc/a", b"another", 0o600),
        file("etc/again", b"again"),
        whiteout("etc/noted"),
        file("etc/empty", b"back"),
        folder("opt/dir"),
        file("opt/dir/fresh", b"fresh"),
        whiteout("never-was"),
    ]
    return tuple(make_tar(entries) for entries in (lowest, middle, highest))


@dataclass(frozen=True, slots=True)
class Seen:
    """One path of a tree, with everything that is to be the same. `links` names the paths of the same inode."""

    kind: str
    mode: int
    owner: tuple[int, int]
    time_ns: int
    content: str
    attributes: tuple[tuple[str, bytes], ...]


def look(root: Path) -> dict[str, Seen]:
    """Every path below `root`. Of hard links each says the first path of the same inode."""
    seen: dict[str, Seen] = {}
    inodes: dict[int, str] = {}
    for path in (root, *sorted(root.rglob("*"))):
        there = path.lstat()
        name = str(path.relative_to(root))
        kind = stat.filemode(there.st_mode)[0]
        first = inodes.setdefault(there.st_ino, name)
        match kind:
            case "-":
                content = f"{hashlib.sha256(path.read_bytes()).hexdigest()} {first}"
            case "l":
                content = f"{path.readlink()} {first}"
            case "c" | "b":
                content = f"{os.major(there.st_rdev)}:{os.minor(there.st_rdev)}"
            case _:
                content = ""
        names = sorted(os.listxattr(path, follow_symlinks=False))
        attributes = tuple((one, os.getxattr(path, one, follow_symlinks=False)) for one in names)
        seen[name] = Seen(
            kind, stat.S_IMODE(there.st_mode), (there.st_uid, there.st_gid), there.st_mtime_ns, content, attributes
        )
    return seen
