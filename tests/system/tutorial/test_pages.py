"""The tutorial and the how-tos work as they are written: what they type is typed, and what they show must come.

A block marked `console` is typed into a shell; one marked `console no-test` is not (tests/unit/docs counts these).

The shell has network namespaces, /run, /var/lib, /etc and a home of its own, so the machine keeps its own.
"""

import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from weftwork.drivers.linux.probe import probe
from weftwork.testing import patience

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
READY_ATTEMPTS = 100

_PRIVATE = """
mount -t tmpfs none /run && mkdir /run/netns && mount -t tmpfs none /var/lib
cp -a /etc {folder}/etc && mount --bind {folder}/etc /etc
mkdir {folder}/home && cd {folder}/home && export HOME={folder}/home
unset XDG_CONFIG_HOME XDG_STATE_HOME
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
            self._tell("[ ! -d /run/weft-lab ] || weft lab down >/dev/null")
            self._tell("weft down >/dev/null; kill $(jobs -p) 2>/dev/null; wait; exit 0")
        self._bash.communicate(timeout=60)

    def type(self, command: str) -> list[str]:
        """The lines it answers. What goes to the background is waited for until it answers."""
        if command.endswith("&"):
            self._tell(f"{command.removesuffix('&')} >{self._log} 2>&1 &")
            asked = "stack" if command.startswith("weft agent") else "target"
            ready = f"for i in $(seq {READY_ATTEMPTS}); do weft {asked} list -o name && break; done"
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


def fenced(page: Path, language: str) -> list[str]:
    """The page's blocks that are marked with this language alone."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def steps(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that the page shows below it. `> ` continues a command."""
    found: list[tuple[str, list[str]]] = []
    for line in (line for block in fenced(page, "console") for line in block.splitlines()):
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif line.startswith("> "):
            command, shown = found.pop()
            found.append((f"{command}\n{line.removeprefix('> ')}", shown))
        else:
            found[-1][1].append(line)
    return found


def comes(shown: str, answer: list[str]) -> bool:
    """Whether the line is in the answer; where the page has an ellipsis, anything may stand."""
    pattern = ".*".join(re.escape(part) for part in shown.split("…"))
    return any(re.fullmatch(pattern, line) for line in answer)


def pages() -> list[Path]:
    return [page for page in sorted((ROOT / "docs").rglob("*.md")) if fenced(page, "console")]


def is_for_this_machine(page: Path) -> bool:
    """A page that begins with `<!-- needs: layout -->` is for kernels that offer the layout.

    The others say the same on every kernel; where that is emulated, commands take too long to repeat them.
    """
    needs = re.match(r"<!-- needs: (\w+) -->", page.read_text())
    return needs[1] in probe().layouts if needs else patience.FACTOR == 1


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    if not is_for_this_machine(page):
        pytest.skip("this kernel cannot do it, or it is emulated")
    with Shell(tmp_path) as shell:
        for command, shown in steps(page):
            answer = shell.type(command)
            missing = [line for line in shown if not comes(line, answer)]
            assert not missing, f"$ {command}\n" + "\n".join(answer)


def test_the_programs_of_the_sdks_page_run(tmp_path: Path) -> None:
    """One after the other, each as it is."""
    programs = fenced(ROOT / "docs/howto/use-the-sdk.md", "python")
    assert len(programs) >= 4
    with Shell(tmp_path) as shell:
        shell.type("weft up &")
        for number, program in enumerate(programs):
            file = tmp_path / f"program{number}.py"
            file.write_text(program)
            answer = shell.type(f"PYTHONPATH={ROOT}/src {shlex.quote(sys.executable)} {file}; echo exit code $?")
            assert "exit code 0" in answer, "\n".join(answer)


def test_the_examples_of_the_sdk_run(tmp_path: Path) -> None:
    examples = fenced(ROOT / "docs/reference/api.md", "python")
    assert examples
    with Shell(tmp_path) as shell:
        shell.type("weft up &")
        for number, example in enumerate(examples):
            file = tmp_path / f"example{number}.py"
            body = textwrap.indent(example, "    ")
            file.write_text(f"import asyncio\n\n\nasync def main():\n{body}\n\nasyncio.run(main())\n")
            answer = shell.type(f"PYTHONPATH={ROOT}/src {shlex.quote(sys.executable)} {file}; echo exit code $?")
            assert "exit code 0" in answer, "\n".join(answer)
