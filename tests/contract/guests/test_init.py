"""The guest's init: its own tests in Go, and what it is built to be."""

import subprocess
import sys
from pathlib import Path

from weftwork.testing.microvms import REPOSITORY, guest_init

BUILD = REPOSITORY / "tools" / "build_guest.py"


def test_its_unit_tests_pass() -> None:
    result = subprocess.run([sys.executable, BUILD, "--test"], capture_output=True, text=True)

    assert result.returncode == 0, result.stdout + result.stderr


def test_it_needs_nothing_of_the_image_it_runs_in() -> None:
    program = guest_init().read_bytes()

    assert program.startswith(b"\x7fELF")
    assert b"/lib64/ld-linux" not in program, "it is linked to a library"


def test_it_is_the_same_wherever_it_is_built(tmp_path: Path) -> None:
    first, second = guest_init(), tmp_path / "other" / "init"

    subprocess.run([sys.executable, BUILD, "--output", second], check=True)

    assert first.read_bytes() == second.read_bytes()
    assert str(REPOSITORY).encode() not in first.read_bytes()
