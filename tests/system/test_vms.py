"""The demo of VMs: real machines of two tenants with the same address, gone into by name, and nothing left of them."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from weftwork.testing.patience import patient

TIMEOUT_S = patient(400.0)
TOOLS = ("qemu-system-x86_64", "docker-registry", "go", "ssh")
pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"one of {', '.join(TOOLS)} is not installed")


def test_two_vms_with_the_same_address_are_two_and_leave_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "weftwork.apps.demo_vms"],
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("^  ✓ ", done.stdout, re.MULTILINE)) == 6
    assert "Residue on this machine: none." in done.stdout
