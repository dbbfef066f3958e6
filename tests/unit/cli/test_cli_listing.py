"""Lists: the columns one asks for, every change as it comes; waiting for several things, and what a terminal shows."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_kit import run
from cli_server import PROGRAMMED, STUCK, Weft

from weftwork.apps.weft import weft as make_weft
from weftwork.cli.manual import roff

SRC = Path(__file__).parents[3] / "src"


@pytest.fixture
def net(weft: Weft) -> Weft:
    weft.ok("vpc", "create", "--cidr", "10.20.0.0/16")
    return weft


def environment(net: Weft) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "WEFT_SERVER": net.server,
        "WEFT_PROJECT": net.project,
        "XDG_CONFIG_HOME": "/nonexistent",
        "PYTHONIOENCODING": "utf-8",
    }


@contextmanager
def running(net: Weft, *args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "weftwork.apps.weft", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(net)
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().rstrip("\n")


def test_a_list_has_the_columns_one_asks_for_in_that_order(net: Weft) -> None:
    net.ok("port", "create", "web1", "--address", "10.20.0.10")

    assert net.ok("port", "list", "--columns", "address,name") == "ADDRESS     NAME/ID\n10.20.0.10  web1\n"
    assert net.ok("port", "list", "--columns", "ID,revision").split()[:2] == ["ID", "REVISION"]
    assert net.ok("history", "list", "--columns", "call").splitlines()[:2] == ["CALL", "CreatePort"]


def test_a_column_that_is_not_there_is_told_with_the_nearest_one() -> None:
    result = run("port", "list", "--columns", "adress")

    assert (result.exit_code, "Did you mean address?" in result.stderr) == (2, True)
    assert run("port", "list", "--columns", "name", "-o", "json").exit_code == 2


def test_a_watched_list_says_what_comes_changes_and_goes(net: Weft) -> None:
    net.ok("port", "create", "web1", "--address", "10.20.0.10")
    with running(net, "port", "list", "--watch", "--columns", "name,address,attached") as process:
        assert line_of(process).split() == ["NAME/ID", "ADDRESS", "ATTACHED"]
        assert line_of(process).split() == ["web1", "10.20.0.10", "-"]
        net.ok("port", "create", "web2", "--address", "10.20.0.11")
        assert line_of(process).split() == ["web2", "10.20.0.11", "-"]
        net.ok("port", "attach", "web2", "--vm", "vm-1")
        assert line_of(process).split() == ["web2", "10.20.0.11", "vm", "vm-1"]
        net.ok("port", "delete", "web1")
        assert line_of(process).split() == ["web1", "deleted"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_a_watched_list_as_json_is_one_document_a_line(net: Weft) -> None:
    with running(net, "port", "list", "-w", "-o", "json") as process:
        assert process.stderr
        assert process.stderr.readline() == "no ports\n"
        net.ok("port", "create", "web1")
        assert json.loads(line_of(process))["name"] == "web1"
        net.ok("port", "delete", "web1")
        assert json.loads(line_of(process))["kind"] == "Deleted"


def test_one_waits_for_several_things_at_once(net: Weft) -> None:
    for name in ("web1", "web2"):
        net.ok("port", "create", name)
    net.hosts.programmed = PROGRAMMED

    assert [row[0] for row in net.rows("wait", "port", "web1", "web2", "--for=condition=Programmed")] == [
        "web1",
        "web2",
    ]
    net.hosts.programmed = STUCK
    late = net("wait", "port", "web1", "web2", "--timeout", "0.05")
    assert (late.exit_code, "and 1 more" in late.stderr) == (6, True)
    assert net("wait", "port", "gone1", "gone2", "--for", "deleted").exit_code == 0


def test_who_waits_at_a_terminal_sees_for_what_and_nothing_of_it_stays(net: Weft) -> None:
    net.ok("port", "create", "web1")
    net.hosts.programmed = STUCK
    reader, writer = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "weftwork.apps.weft", "wait", "port", "web1", "--timeout", "1.2"],
        stdout=subprocess.PIPE,
        stderr=writer,
        text=True,
        env=environment(net),
    )
    os.close(writer)
    out, _ = process.communicate(timeout=60)
    shown = read_all(reader)

    assert "port web1: waiting for Programmed, 1 s" in shown
    assert shown.rsplit("\r\x1b[K", 1)[1].startswith("error: STILL_RUNNING")
    assert "waiting" not in out


def read_all(reader: int) -> str:
    """What stands in a terminal whose other side is closed."""
    pieces = []
    try:
        while piece := os.read(reader, 4096):
            pieces.append(piece)
    except OSError:
        pass
    os.close(reader)
    return b"".join(pieces).decode()


def test_a_mistyped_name_is_answered_with_the_one_that_may_be_meant() -> None:
    for words, meant in (
        (("tokn", "list"), "token"),
        (("port", "lst"), "list"),
        (("dwon",), "down"),
        (("dnta",), "dnat"),
    ):
        assert f"Did you mean '{meant}'" in run(*words).stderr


def test_the_manual_page_has_every_command() -> None:
    page = roff(make_weft())

    for line in (".SS weft port create", ".SS weft up", ".SH EXIT STATUS", r"\fB\-\-columns A,B\fR"):
        assert f"\n{line}" in page


@pytest.mark.skipif(not shutil.which("man"), reason="this machine shows no manual pages")
def test_roff_finds_no_fault_in_the_manual_page() -> None:
    page = roff(make_weft())

    shown = subprocess.run(["man", "-l", "--warnings", "-"], input=page, capture_output=True, text=True, check=True)
    assert "weft port create" in shown.stdout
    assert shown.stderr == ""
