"""The tutorial works as it is written: its console blocks are typed into a shell, and what they show must come.

The shell has network namespaces, /run, /var/lib and /etc of its own, so the machine keeps its own.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/tutorial/first-network.md"
READY_ATTEMPTS = 100

_PRIVATE = """
mount -t tmpfs none /run && mkdir /run/netns && mount -t tmpfs none /var/lib
cp -a /etc {folder}/etc && mount --bind {folder}/etc /etc
ip link set lo up && export PATH={folder}/bin:$PATH && exec bash
"""


class Shell:
    """A bash that is told one command after the other."""

    def __init__(self, folder: Path) -> None:
        weft = folder / "bin/weft"
        weft.parent.mkdir()
        weft.write_text(
            f'#!/bin/sh\nPYTHONPATH={ROOT}/src exec {shlex.quote(sys.executable)} -m weftwork.apps.weft "$@"\n'
        )
        weft.chmod(0o755)
        self._log = folder / "up.log"
        self._bash = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-ec", _PRIVATE.format(folder=folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever was left running in the background ends with the shell."""
        if self._bash.poll() is None:
            self._tell("weft down >/dev/null; kill $(jobs -p) 2>/dev/null; wait; exit 0")
        self._bash.communicate(timeout=60)

    def type(self, command: str) -> list[str]:
        """The lines it answers. What goes to the background is waited for until it answers."""
        if command.endswith("&"):
            self._tell(f"{command.removesuffix('&')} >{self._log} 2>&1 &")
            ready = f"for i in $(seq {READY_ATTEMPTS}); do weft target list -o name && break; done"
            return self.type(ready)
        self._tell(f"{command}\necho; echo __done__")
        return list(self._answer())

    def _tell(self, text: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(f"{text}\n")
        self._bash.stdin.flush()

    def _answer(self) -> Iterator[str]:
        assert self._bash.stdout
        for line in self._bash.stdout:
            if line == "__done__\n":
                return
            yield line.rstrip("\n")
        raise AssertionError("the shell ended")


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        for command, shown in steps():
            answer = shell.type(command)
            missing = [line for line in shown if line not in answer]
            assert not missing, f"$ {command}\n" + "\n".join(answer)
