"""Images come whole out of registries that are slow, broken or hostile, or not at all."""

import asyncio
import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_front import RegistryFront

from weftwork.base.errors import Refusal
from weftwork.images.cache import Image, Images
from weftwork.images.oci import Platform
from weftwork.testing.container_images import MadeImage, every_trick, file, make_image, make_tar
from weftwork.testing.registry_server import RegistryServer

AMD64 = Platform("amd64")


@pytest.fixture
def front(registry: RegistryServer) -> Iterator[RegistryFront]:
    with RegistryFront(registry) as front:
        yield front


@pytest.fixture(autouse=True)
def no_login_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "no-such-file"))


def pull(images: Images, name: str, platform: Platform = AMD64) -> Image:
    return asyncio.run(images.pull(name, platform, lambda what, done, whole: None))


def some_image(content: bytes = b"x", **config: object) -> MadeImage:
    return make_image([make_tar([file("f", content)])], **config)  # type: ignore[arg-type]


def large_image() -> MadeImage:
    return make_image([make_tar([file("large", os.urandom(3_000_000))])])


def code(refused: pytest.ExceptionInfo[Refusal]) -> str:
    return refused.value.code


def test_an_image_comes_whole_and_says_what_it_runs(registry: RegistryServer, images: Images) -> None:
    name = registry.push("team/app", "1", make_image(every_trick(), Entrypoint=["/bin/app"], User="1000"))

    image = pull(images, name)

    assert image.names == (name,)
    assert images.config(image).entrypoint == ("/bin/app",)
    assert images.config(image).user == "1000"
    assert images.disk(image).stat().st_mode & 0o777 == 0o400
    assert images.list() == (image,)


def test_the_same_layers_give_the_same_disk_byte_by_byte(
    registry: RegistryServer, images: Images, tmp_path: Path
) -> None:
    tars = every_trick()
    first = pull(images, registry.push("same/gzip", "1", make_image(tars)))
    elsewhere = Images(tmp_path / "elsewhere")
    second = pull(elsewhere, registry.push("same/zstd", "1", make_image(tars, "zstd")))

    assert first.disk == second.disk
    assert images.disk(first).read_bytes() == elsewhere.disk(second).read_bytes()


def test_what_is_here_is_not_fetched_again(registry: RegistryServer, front: RegistryFront, images: Images) -> None:
    name = front.name(registry.push("again", "1", some_image(os.urandom(9))))
    pull(images, name)
    front.requests.clear()

    pull(images, name)

    assert [path for path, _ in front.requests] == ["/v2/again/manifests/1"]


def test_an_index_is_followed_to_the_platform_and_says_which_there_are(
    registry: RegistryServer, images: Images
) -> None:
    ours, other = some_image(b"amd64"), some_image(b"arm64", architecture="arm64")
    for image in (ours, other):
        registry.push("many", "part", image)
    entries = [
        {**image.manifest, "platform": {"os": "linux", "architecture": architecture}}
        for image, architecture in ((other, "arm64"), (ours, "amd64"))
    ]
    name = registry.push_index("many", "1", json.dumps({"schemaVersion": 2, "manifests": entries}).encode())

    assert pull(images, name).manifest == ours.digest
    assert pull(images, name, Platform("arm64")).manifest == other.digest
    with pytest.raises(Refusal, match=r"not made for linux/s390x; it is for: linux/amd64, linux/arm64") as refused:
        pull(images, name, Platform("s390x"))
    assert code(refused) == "IMAGE_PLATFORM_MISSING"


def test_an_image_of_another_architecture_is_refused(registry: RegistryServer, images: Images) -> None:
    with pytest.raises(Refusal) as refused:
        pull(images, registry.push("foreign", "1", some_image(architecture="arm64")))

    assert code(refused) == "IMAGE_PLATFORM_MISSING"


def test_by_digest_it_is_that_image_whatever_the_tag_is_now(registry: RegistryServer, images: Images) -> None:
    old = some_image(b"old")
    name = registry.push("moving", "1", old)
    registry.push("moving", "1", some_image(b"new"))

    assert pull(images, f"{registry.host}/moving@{old.digest}").manifest == old.digest
    assert pull(images, name).manifest != old.digest


def test_a_name_moves_to_the_image_that_has_it_now(registry: RegistryServer, images: Images) -> None:
    name = registry.push("newer", "1", some_image(b"one"))
    old = pull(images, name)
    registry.push("newer", "1", some_image(b"two"))

    new = pull(images, name)

    assert images.find(name) == new
    assert images.find(old.short_id).names == ()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    registry: RegistryServer, front: RegistryFront, images: Images
) -> None:
    front.cut_after = 1_200_000

    pull(images, front.name(registry.push("breaks", "1", large_image())))

    ranges = [asked for path, asked in front.requests if "/blobs/" in path and asked]
    assert ranges == ["bytes=1200000-", "bytes=2400000-"]


def test_a_pull_that_was_given_up_is_gone_on_with(
    registry: RegistryServer, front: RegistryFront, images: Images
) -> None:
    name = front.name(registry.push("given-up", "1", large_image()))
    front.cut_after = 0
    half = {"left": 1}

    def cut_once(path: str, body: bytes) -> bytes:
        front.cut_after = 1_000_000 if half["left"] else 0
        half["left"] = 0
        return body

    front.changed = lambda path, body: cut_once(path, body) if len(body) > 1_000_000 else body
    with pytest.raises(Refusal) as refused:
        pull(images, name)
    assert code(refused) == "REGISTRY_UNAVAILABLE"
    front.cut_after, front.changed = None, lambda path, body: body
    front.requests.clear()

    pull(images, name)

    assert "bytes=1000000-" in [asked for _, asked in front.requests]


@pytest.mark.parametrize("kept", [b"wrong", bytes(3_000_000), bytes(5_000_000)], ids=["a bit", "much", "too much"])
def test_what_was_kept_of_an_earlier_pull_and_is_wrong_does_no_harm(
    registry: RegistryServer, images: Images, tmp_path: Path, kept: bytes
) -> None:
    image = large_image()
    name = registry.push("kept", "1", image)
    for digest in image.blobs:
        (tmp_path / "images" / "blobs" / "partial" / digest.removeprefix("sha256:")).write_bytes(kept)

    assert pull(images, name).names == (name,)


def test_a_registry_without_ranges_starts_over(registry: RegistryServer, front: RegistryFront, images: Images) -> None:
    name = front.name(registry.push("no-ranges", "1", large_image()))
    front.takes_ranges = False
    cuts = iter([1_000_000])

    def cut_once(path: str, body: bytes) -> bytes:
        front.cut_after = next(cuts, None) if len(body) > 1_000_000 else front.cut_after
        return body

    front.changed = cut_once

    assert pull(images, name).names == (name,)


@pytest.mark.parametrize("what", ["/blobs/", "/manifests/sha256:"])
def test_other_bytes_than_those_asked_for_are_refused_and_not_kept(
    registry: RegistryServer, front: RegistryFront, images: Images, what: str
) -> None:
    image = some_image(os.urandom(20))
    registry.push("swapped", "1", image)
    front.changed = lambda path, body: body[:-1] + bytes([body[-1] ^ 1]) if what in path else body

    with pytest.raises(Refusal) as refused:
        pull(images, f"{front.host}/swapped@{image.digest}")

    assert code(refused) == "IMAGE_INVALID"
    assert images.list() == ()
    front.changed = lambda path, body: body
    assert pull(images, f"{front.host}/swapped@{image.digest}").manifest == image.digest


def test_more_bytes_than_announced_are_refused(registry: RegistryServer, front: RegistryFront, images: Images) -> None:
    name = front.name(registry.push("endless", "1", some_image(os.urandom(20))))
    front.changed = lambda path, body: body + bytes(10_000_000) if "/blobs/" in path else body

    with pytest.raises(Refusal, match="is larger than its") as refused:
        pull(images, name)

    assert code(refused) == "IMAGE_INVALID"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"[]", "no JSON object"),
        (b"{" * 100_000, "no JSON object"),
        (b"{}", "schema version 2"),
        (b'{"schemaVersion": 1}', "schema version 2"),
        (b'{"schemaVersion": 2, "layers": [], "config": {"digest": "sha256:../../x", "size": 1}}', "sha256 digest"),
        (b'{"schemaVersion": 2, "layers": [], "config": {"digest": 7, "size": -1}}', "sha256 digest"),
        (b'{"schemaVersion": 2, "layers": [' + b"{}," * 600 + b'{}], "config": {}}', "601 layers"),
        (b" " * (5 << 20), "more than"),
    ],
    ids=range(8),
)
def test_a_manifest_that_is_none_is_refused(
    registry: RegistryServer, front: RegistryFront, images: Images, document: bytes, why: str
) -> None:
    name = front.name(registry.push("odd", "1", some_image()))
    front.changed = lambda path, body: document

    with pytest.raises(Refusal, match=why) as refused:
        pull(images, name)

    assert code(refused) == "IMAGE_INVALID"


def test_layers_that_are_not_as_many_as_the_configuration_says_are_refused(
    registry: RegistryServer, images: Images
) -> None:
    image = make_image([make_tar([file("f")])], diff_ids=[f"sha256:{'0' * 64}"] * 2)

    with pytest.raises(Refusal, match="differ in the number of layers"):
        pull(images, registry.push("uneven", "1", image))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, "IMAGE_NOT_FOUND"),
        (403, "IMAGE_ACCESS_DENIED"),
        (429, "REGISTRY_UNAVAILABLE"),
        (500, "REGISTRY_UNAVAILABLE"),
    ],
)
def test_what_a_registry_refuses_is_told(front: RegistryFront, images: Images, status: int, expected: str) -> None:
    front.answers = {"/v2/": status}

    with pytest.raises(Refusal) as refused:
        pull(images, f"{front.host}/refused:1")

    assert code(refused) == expected
    assert str(status) in refused.value.message


def test_a_registry_that_is_not_there_is_told(images: Images) -> None:
    with pytest.raises(Refusal) as refused:
        pull(images, "127.0.0.1:1/app")

    assert code(refused) == "REGISTRY_UNAVAILABLE"


def test_a_login_buys_a_token_and_without_one_access_is_denied(
    registry: RegistryServer,
    front: RegistryFront,
    images: Images,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name = front.name(registry.push("private", "1", some_image(b"private")))
    front.login = ("robot", "secret")
    with pytest.raises(Refusal) as refused:
        pull(images, name)
    assert code(refused) == "IMAGE_ACCESS_DENIED"
    assert "secret" not in str(refused.value)

    auth = base64.b64encode(b"robot:secret").decode()
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {front.host: {"auth": auth}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))

    assert pull(images, name).names == (name,)


def test_a_blob_may_lie_elsewhere_and_the_token_does_not_go_there(
    registry: RegistryServer, front: RegistryFront, images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = front.name(registry.push("elsewhere", "1", some_image(b"elsewhere")))
    with RegistryFront(registry) as other:
        front.sends_to = f"http://{other.host}"
        other.login = ("nobody", "knows")  # it would ask who we are, and refuse

        with pytest.raises(Refusal) as refused:
            pull(images, name)

        assert code(refused) == "IMAGE_ACCESS_DENIED"
        other.login = None
        assert pull(images, name).names == (name,)
        assert any("/blobs/" in path for path, _ in other.requests)


def test_a_layer_that_is_packed_twice_is_a_damaged_one(registry: RegistryServer, images: Images) -> None:
    tar = make_tar([file("f")])

    with pytest.raises(Refusal) as refused:
        pull(images, registry.push("twice", "1", make_image([gzip.compress(tar)])))

    assert code(refused) == "IMAGE_REFUSED"
    assert images.list() == ()
    assert images.prune() > 0
