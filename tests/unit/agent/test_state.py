from pathlib import Path

import pytest

from weftwork.agent.state import Identity, Kept, StateFolder
from weftwork.program.linux import Namespace

KEPT = Kept(7, 2, frozenset({Namespace("weft-1001", "vpc acme/web")}))
IDENTITY = Identity("h1", "192.0.2.1:8084", "abc", "ca", "certificate", "key")


def test_what_is_kept_is_found_again_and_for_our_eyes_only(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "agent")
    folder.prepare()

    folder.keep_program(KEPT)
    folder.keep_identity(IDENTITY)

    assert StateFolder(tmp_path / "agent").program() == KEPT
    assert StateFolder(tmp_path / "agent").identity() == IDENTITY
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "agent").iterdir()} == {0o600}


def test_of_what_was_never_kept_there_is_nothing(tmp_path: Path) -> None:
    assert StateFolder(tmp_path).program() is None
    assert StateFolder(tmp_path).identity() is None


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:40], lambda data: b"", None])
def test_a_program_that_is_damaged_is_none(tmp_path: Path, damage: object) -> None:
    """The server tells it again; a half program would take networks away."""
    StateFolder(tmp_path).keep_program(KEPT)
    file = tmp_path / "program"
    data = file.read_bytes()

    file.write_bytes(damage(data) if callable(damage) else data[:-1] + bytes([data[-1] ^ 1]))

    assert StateFolder(tmp_path).program() is None


def test_what_was_half_written_leaves_the_old_one(tmp_path: Path) -> None:
    StateFolder(tmp_path).keep_program(KEPT)

    (tmp_path / "program.new").write_bytes(b"half")

    assert StateFolder(tmp_path).program() == KEPT
