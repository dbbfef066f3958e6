"""Names of images, as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.base.errors import Refusal
from weftwork.model.image_reference import Reference

DIGEST = f"sha256:{'a1' * 32}"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("ghcr.io/team/group/app:v1.2_3", "ghcr.io/team/group/app:v1.2_3"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"reg.example/app:1@{DIGEST}", f"reg.example/app:1@{DIGEST}"),
    ],
)
def test_short_names_are_made_whole(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full
    assert Reference.parse(full) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "@",
            "/",
            "nginx:",
            "nginx@",
            "Nginx",
            "nginx:a b",
            "a//b",
            "../etc/passwd",
            "nginx/../x",
            "-x",
            "x-",
        ),
        *("nginx@sha256:12", "nginx@md5:12", f"nginx@{DIGEST.upper()}", "reg.example:port/x", "http://reg.example/x"),
        *("reg.example/", "a" * 300, f"x:{'t' * 129}", "nginx\n", "nginx?x=1", "user@host/x", "reg.example:999999/x"),
    ],
)
def test_what_is_no_name_is_refused_and_says_so(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        Reference.parse(text)

    assert refused.value.code == "INVALID_IMAGE_REFERENCE"


@given(st.text(max_size=80))
def test_whatever_is_taken_stays_what_it_is_and_leads_nowhere_else(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except Refusal:
        return

    assert Reference.parse(str(reference)) == reference
    assert not set("?#\\ \n@") & set(reference.repository + reference.registry)
    assert ".." not in reference.repository.split("/")


@pytest.mark.parametrize(("text", "loopback"), [("localhost:5000/x", True), ("127.9.9.9/x", True), ("[::1]:5/x", True)])
def test_tls_is_off_on_loopback(text: str, loopback: bool) -> None:
    assert Reference.parse(text).on_loopback is loopback


@pytest.mark.parametrize("text", ["nginx", "localhost.example.com/x", "127.0.0.1.example.com/x", "10.0.0.1:5000/x"])
def test_tls_is_on_everywhere_else(text: str) -> None:
    assert not Reference.parse(text).on_loopback
