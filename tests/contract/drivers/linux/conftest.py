"""Guests' namespaces and a driver; afterwards nothing of the tests is left."""

import subprocess
from collections.abc import Iterator

import pytest
from linux_programs import EXTERNAL, GUESTS, PREFIX, SCOPES

from weftwork.drivers.linux import namespaces
from weftwork.drivers.linux.driver import LinuxDriver


def _remove_everything() -> None:
    for name in namespaces.names():
        if name.startswith(PREFIX):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def guests() -> Iterator[tuple[str, ...]]:
    _remove_everything()
    for name in GUESTS:
        subprocess.run(["ip", "netns", "add", name], check=True)
    yield GUESTS
    left = [name for name in namespaces.names() if name in (*SCOPES, EXTERNAL)]
    _remove_everything()
    assert not left, f"left behind: {left}"


@pytest.fixture
def driver(guests: tuple[str, ...]) -> Iterator[LinuxDriver]:
    one = LinuxDriver()
    yield one
    one.close()
