"""What is kept on a machine: images from disk, names, what is in use, what a dying process leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weftwork.base.errors import Refusal
from weftwork.images.cache import Image, Images
from weftwork.images.oci import Platform
from weftwork.testing.container_images import every_trick, file, make_image, make_tar, write_layout, write_saved
from weftwork.testing.registry_server import RegistryServer

AMD64 = Platform("amd64")


def load(images: Images, path: Path, name: str | None = None) -> Image:
    return asyncio.run(images.load(path, name, AMD64, lambda what, done, whole: None))


def files_below(folder: Path) -> set[str]:
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in files} - {"lock", "names"}


def test_a_layout_its_tar_and_what_docker_saves_are_one_image(images: Images, tmp_path: Path) -> None:
    made = make_image(every_trick(), "none")
    layout = write_layout(made, tmp_path / "layout", "v1")
    subprocess.run(["tar", "-C", layout, "-cf", tmp_path / "layout.tar", "."], check=True)
    saved = write_saved(made, tmp_path / "saved.tar", "app:1")

    taken = [load(images, layout, "v1"), load(images, tmp_path / "layout.tar"), load(images, saved, "app:1")]

    assert len({image.id for image in taken}) == len({image.disk for image in taken}) == 1
    assert images.list()[0].names == ("app:1", "layout", "v1")


@pytest.mark.parametrize("what", ["nothing", "text", "empty", "a tar of something else"])
def test_what_is_no_image_is_refused(images: Images, tmp_path: Path, what: str) -> None:
    place = tmp_path / "image"
    match what:
        case "text":
            place.write_text("not an image")
        case "empty":
            place.mkdir()
        case "a tar of something else":
            place.write_bytes(make_tar([file("hello")]))

    with pytest.raises(Refusal) as refused:
        load(images, place)

    assert refused.value.code in ("IMAGE_NOT_FOUND", "IMAGE_INVALID")
    assert files_below(tmp_path / "images") == set()


@pytest.mark.parametrize("stolen", ["/etc/hostname", "../secret", "link"])
def test_an_image_on_disk_names_no_files_beside_it(images: Images, tmp_path: Path, stolen: str) -> None:
    (tmp_path / "secret").write_text("{}")
    place = tmp_path / "hostile"
    place.mkdir()
    (place / "link").symlink_to(tmp_path / "secret")
    (place / "manifest.json").write_text(f'[{{"Config": "{stolen}", "Layers": [], "RepoTags": []}}]')

    with pytest.raises(Refusal) as refused:
        load(images, place)

    assert refused.value.code == "IMAGE_INVALID"


def test_an_image_goes_with_its_last_name_and_leaves_nothing(
    images: Images, registry: RegistryServer, tmp_path: Path
) -> None:
    layout = write_layout(make_image([make_tar([file("f", b"f")])]), tmp_path / "app", "one")
    load(images, layout, "one")
    load(images, layout)

    images.remove("one")
    assert [image.names for image in images.list()] == [("app",)]
    images.remove("app")

    assert images.list() == ()
    assert files_below(tmp_path / "images") == set()


def test_what_is_in_use_stays_even_in_another_process(images: Images, tmp_path: Path) -> None:
    image = load(images, write_layout(make_image([make_tar([file("f")])]), tmp_path / "app", "one"))
    with images.use(image) as disk:
        user = subprocess.Popen(["sleep", "60"], stdin=disk)
    try:
        with pytest.raises(Refusal) as refused:
            images.remove("app")
        assert refused.value.code == "IMAGE_IN_USE"
        images.prune()
        assert images.disk(image).exists()
    finally:
        user.kill()
        user.wait()

    images.remove("app")
    assert not images.disk(image).exists()


def test_two_images_of_one_disk_lose_it_with_the_second(images: Images, tmp_path: Path) -> None:
    tar = make_tar([file("f")])
    first = load(images, write_layout(make_image([tar], Cmd=["/one"]), tmp_path / "one"))
    second = load(images, write_layout(make_image([tar], Cmd=["/two"]), tmp_path / "two"))
    assert first.disk == second.disk

    images.remove("one")
    assert images.disk(second).exists()
    images.remove("two")
    assert not images.disk(second).exists()


@pytest.mark.parametrize("name", ["nothing", "", "a1b2", "sha256:", "../x"])
def test_an_image_that_is_not_here_is_told(images: Images, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        images.find(name)

    assert refused.value.code == "IMAGE_NOT_FOUND"


def test_many_who_pull_images_of_the_same_layers_at_once_all_get_them(
    registry: RegistryServer, images: Images, tmp_path: Path
) -> None:
    layers = [make_tar([file(f"{number}", os.urandom(400_000))]) for number in range(3)]
    names = [registry.push(f"shared-layers/{n}", "1", make_image(layers, Cmd=[f"/{n % 3}"])) for n in range(6)]

    async def pull_all() -> None:
        await asyncio.gather(*(images.pull(name, AMD64, lambda what, done, whole: None) for name in names))

    asyncio.run(pull_all())

    assert sorted(name for image in images.list() for name in image.names) == sorted(names)
    assert len(images.list()) == 3 and len({image.disk for image in images.list()}) == 1
    assert list((tmp_path / "images" / "blobs" / "partial").iterdir()) == []


def test_a_process_that_dies_at_any_moment_leaves_what_the_next_one_puts_right(
    registry: RegistryServer, tmp_path: Path
) -> None:
    """Killed 8 times, later and later; then it goes through, and what is there is exactly what belongs there."""
    layers = [make_tar([file(f"{n}/{m}", os.urandom(20_000)) for m in range(60)]) for n in range(4)]
    name = registry.push("killed", "1", make_image(layers))
    folder = tmp_path / "images"
    pull = [sys.executable, "-m", "weftwork.apps.weft", "image", "pull", name, "--folder", str(folder)]
    pull += ["--platform", "linux/amd64"]
    started = time.monotonic()
    subprocess.run([*pull[:-4], "--folder", str(tmp_path / "once"), *pull[-2:]], check=True, capture_output=True)
    whole = time.monotonic() - started

    for number in range(8):
        process = subprocess.Popen(pull, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.communicate(timeout=whole * (number + 1) / 9)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        for image in Images(folder).list():
            assert Images(folder).disk(image).exists()
    subprocess.run(pull, check=True, capture_output=True)

    images = Images(folder)
    images.prune()
    (image,) = images.list()
    assert files_below(folder) == files_below(tmp_path / "once")
    assert images.disk(image).read_bytes() == Images(tmp_path / "once").disk(image).read_bytes()
    images.remove(name)
    assert files_below(folder) == set()
