"""Layers become the tree that umoci makes of them; hostile ones are refused, and touch nothing but their tree."""

import asyncio
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from weftwork.base.errors import Refusal
from weftwork.images.unpacking import Limits, Unpacked, unpack
from weftwork.testing.container_images import (
    Entry,
    Seen,
    device,
    every_trick,
    file,
    folder,
    hard_link,
    link,
    look,
    make_image,
    make_tar,
    whiteout,
    write_layout,
)

LIMITS = Limits(entries=10_000, bytes=64 << 20, ratio=200)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "above" / "root"
    place.mkdir(parents=True)
    (place.parent / "neighbour").write_text("untouched")
    return place


def unpack_tars(
    tars: Iterable[bytes], root: Path, compression: str = "gzip", limits: Limits = LIMITS, **rest: object
) -> Unpacked:
    image = make_image(list(tars), compression, **rest)  # type: ignore[arg-type]
    layout = write_layout(image, root.parent / "layout")
    manifest = json.loads(image.blobs[image.digest])
    blobs = [layout / "blobs" / layer["digest"].replace(":", "/") for layer in manifest["layers"]]
    return asyncio.run(
        unpack(list(zip(blobs, json.loads(image.config)["rootfs"]["diff_ids"], strict=True)), root, limits)
    )


def number_of_entries(tar: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return len(opened.getmembers())


def without_times_of_folders(tree: dict[str, Seen]) -> dict[str, Seen]:
    """umoci leaves to a folder the time at which something was last put into it or taken out of it."""
    return {name: replace(seen, time_ns=0) if seen.kind == "d" else seen for name, seen in tree.items()}


@pytest.mark.parametrize("compression", ["gzip", "none", "zstd"])
def test_a_tree_is_the_one_that_umoci_makes_path_by_path(root: Path, tmp_path: Path, compression: str) -> None:
    tars = every_trick()
    layout = write_layout(make_image(tars), tmp_path / "for-umoci", "v1")
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:v1", str(tmp_path / "bundle")], check=True, capture_output=True
    )

    unpacked = unpack_tars(tars, root, compression)

    ours, theirs = look(root), look(tmp_path / "bundle" / "rootfs")
    assert without_times_of_folders(ours) == without_times_of_folders(theirs)
    assert len(ours) > 50
    assert unpacked.entries == sum(map(number_of_entries, tars))
    assert ours["tmp"].time_ns == 1_600_000_000_123_456_789
    assert ours["root"].time_ns == 1_650_000_000_000_000_000


def leads_out(name: str) -> list[Entry]:
    return [file(name, b"escaped")]


HOSTILE: dict[str, Callable[[], list[Entry]]] = {
    "a name that leads upwards": lambda: leads_out("../neighbour"),
    "a name that leads upwards from within": lambda: leads_out("a/../../neighbour"),
    "a hard link to above": lambda: [hard_link("stolen", "../neighbour")],
    "a hard link to nothing": lambda: [hard_link("stolen", "nothing")],
    "a hard link to a folder": lambda: [folder("d"), hard_link("loop", "d")],
    "a whiteout of the folder above": lambda: [folder("d"), file("d/.wh...", b"")],
    "a whiteout of nothing": lambda: [file(".wh.", b"")],
    "something below a file": lambda: [file("f", b"x"), file("f/inside", b"x")],
    "something below a device": lambda: [device("d", 1, 3), file("d/inside", b"x")],
    "something below a link into a loop": lambda: [link("a", "b"), link("b", "a"), file("a/inside", b"x")],
    "something below a link to a file": lambda: [file("f", b"x"), link("l", "f"), file("l/inside", b"x")],
    "a file for a root": lambda: [file("./", b"x")],
    "a path beyond every length": lambda: [file("/".join(["x" * 200] * 30), b"x")],
    "more entries than there may be": lambda: [file(f"f{number}") for number in range(10_001)],
    "files larger than there may be": lambda: [file(f"f{number}", os.urandom(11 << 20)) for number in range(6)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_layer_is_refused(root: Path, what: str) -> None:
    with pytest.raises(Refusal) as refused:
        unpack_tars([make_tar(HOSTILE[what]())], root)

    assert refused.value.code == "IMAGE_REFUSED"
    assert (root.parent / "neighbour").read_text() == "untouched"
    assert {entry.name for entry in root.parent.iterdir()} == {"root", "neighbour", "layout"}


def test_a_bomb_is_refused_long_before_it_is_unpacked(root: Path) -> None:
    zeros = tarfile.TarInfo("zeros")
    zeros.size = 1 << 30
    tar = zeros.tobuf() + bytes(zeros.size + 1024)

    with pytest.raises(Refusal, match="grows to more than 200 times"):
        unpack_tars([tar], root, "zstd", Limits(entries=10, bytes=2 << 30))

    assert (root / "zeros").stat().st_size <= 300 << 20


@pytest.mark.parametrize(
    "through", ["/etc", "../../../etc", "/proc/self/root/etc", "chain1"], ids=["absolute", "upwards", "proc", "chained"]
)
def test_links_that_lead_out_lead_back_in(root: Path, through: str) -> None:
    """What images do all day, with /bin and /lib: followed, but inside."""
    entries = [
        *(link(f"chain{number}", f"chain{number + 1}") for number in range(1, 5)),
        link("chain5", "../../../../../../../../etc"),
        folder("etc"),
        folder("proc/self/root/etc"),
        link("way", through),
    ]

    unpack_tars([make_tar(entries), make_tar([file("way/weft-was-here", b"inside")])], root)

    assert not Path("/etc/weft-was-here").exists()
    found = [path for path in root.rglob("weft-was-here") if not path.is_symlink()]
    assert [path.read_bytes() for path in found] == [b"inside"]


def test_a_file_in_the_place_of_a_link_or_a_device_is_not_written_through_it(root: Path) -> None:
    below = [link("out", "../neighbour"), device("sink", 1, 3, mode=0o666), link("into", "other"), file("other", b"o")]

    unpack_tars([make_tar(below), make_tar([file(name, b"new") for name in ("out", "sink", "into")])], root)

    assert {name: (root / name).read_bytes() for name in ("out", "sink", "into", "other")} == {
        **dict.fromkeys(("out", "sink", "into"), b"new"),
        "other": b"o",
    }
    assert not any((root / name).is_symlink() for name in ("out", "sink", "into"))
    assert (root.parent / "neighbour").read_text() == "untouched"


def test_what_a_whiteout_takes_away_is_of_the_layers_below_whatever_the_order(root: Path) -> None:
    below = [folder("d"), file("d/old", b"old"), file("old", b"old")]
    above = [file("d/new", b"new"), whiteout("d"), whiteout("old")]

    unpack_tars([make_tar(below), make_tar(above)], root)

    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/new"]


def test_bytes_that_the_configuration_does_not_name_are_refused(root: Path) -> None:
    with pytest.raises(Refusal, match="layer 1 does not hold what the image's configuration says"):
        unpack_tars([make_tar([file("f", b"x")])], root, diff_ids=[f"sha256:{'0' * 64}"])


@pytest.mark.parametrize("broken", [b"no tar at all" * 100, b"\x1f\x8b\x08 cut", b"\x28\xb5\x2f\xfd cut"])
def test_a_damaged_layer_is_refused(root: Path, broken: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        unpack_tars([broken], root, "none")

    assert refused.value.code == "IMAGE_REFUSED"


def test_a_header_larger_than_memory_is_refused(root: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 8 << 30

    with pytest.raises(Refusal) as refused:
        unpack_tars([header.tobuf() + bytes(1 << 20)], root)

    assert refused.value.code == "IMAGE_REFUSED"


def test_nobody_who_unpacks_has_a_network_or_more_rights_than_it_takes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at from inside: the confined program is replaced by one that tells what it may."""
    from weftwork.images import unpacking

    script = (
        "import json; status = open('/proc/self/status').read(); devices = open('/proc/net/dev').read();"
        "print(json.dumps({'refused': json.dumps([status, devices])}))"
    )
    start = asyncio.create_subprocess_exec

    async def replace_program(*arguments: str, **rest: object) -> asyncio.subprocess.Process:
        return await start(*arguments[:-3], "-I", "-c", script, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(unpacking.asyncio, "create_subprocess_exec", replace_program)
    with pytest.raises(Refusal) as refused:
        unpack_tars([make_tar([file("f")])], root)

    told, devices = json.loads(refused.value.message)
    status = dict(line.split(":", 1) for line in told.splitlines())
    chown, dac_override, fowner, fsetid, sys_chroot, mknod, setfcap = 0, 1, 3, 4, 18, 27, 31
    may = sum(1 << one for one in (chown, dac_override, fowner, fsetid, sys_chroot, mknod, setfcap))
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == may
    assert status["NoNewPrivs"].strip() == "1"
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
