"""A private OVN in a namespace of its own, with two guests' namespaces; afterwards nothing of it is left."""

import subprocess
from collections.abc import Iterator

import pytest
from ovn_programs import GUESTS, OVN_NETNS

from weftwork.drivers.linux import namespaces
from weftwork.drivers.ovn.private import PrivateOvn


def _remove_namespaces() -> None:
    for name in (OVN_NETNS, *GUESTS):
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def ovn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOvn]:
    _remove_namespaces()
    for name in (OVN_NETNS, *GUESTS):
        subprocess.run(["ip", "netns", "add", name], check=True)
    private = PrivateOvn(tmp_path_factory.mktemp("ovn") / "run", OVN_NETNS)
    try:
        private.start()
        yield private
    finally:
        private.stop()
        _remove_namespaces()
    assert not private.folder.exists()
    assert not {OVN_NETNS, *GUESTS} & set(namespaces.names())
