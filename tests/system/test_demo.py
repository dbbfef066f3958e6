"""The demo tells the same story over every data plane: each packet as expected, and as `weft explain` says."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from weftwork.drivers.ovn.private import TOOLS
from weftwork.testing.patience import patient

TIMEOUT_S = patient(120.0)
SITUATIONS = 10
needs_ovn = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="OVN is not installed")


def story(backend: str) -> str:
    environment = os.environ | {"BACKEND": backend, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "weftwork.apps.demo"]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", ["linux", pytest.param("ovn", marks=needs_ovn)])
def test_ten_situations_are_explained_as_packets_show_them(backend: str) -> None:
    explained = re.findall(r"^  ✓ .* (passes|blocked) +explain: [A-Z_, ]+", story(backend), re.MULTILINE)
    assert len(explained) == SITUATIONS and set(explained) == {"passes", "blocked"}
