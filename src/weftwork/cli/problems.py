"""How a command fails: an exit code that scripts can branch on, and text that says what to do next."""

import shutil
from collections.abc import Sequence
from enum import IntEnum

import click


class ExitCode(IntEnum):
    OK = 0
    ERROR = 1
    USAGE = 2
    CONFLICT = 3
    """Somebody was faster, it exists already, or something still depends on it."""
    NOT_FOUND = 4
    DENIED = 5
    STILL_RUNNING = 6
    """Stored, but not yet what was waited for when the time was over."""
    DIFFERENCE = 10
    """Only with `--exit-code`: there is something to see."""
    INTERRUPTED = 130


class Problem(Exception):
    """Ends the command. `dependents` are the objects in the way; listed unless the message names them all."""

    def __init__(
        self,
        exit_code: ExitCode,
        code: str,
        message: str,
        *,
        hint: str = "",
        dependents: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.code = code
        self.hint = hint
        self.dependents = tuple(dependents)

    def show(self) -> None:
        note(f"error: {self.code}: {self.message}")
        if any(dependent not in self.message for dependent in self.dependents):
            for dependent in self.dependents:
                note(f"  used by: {dependent}")
        if self.hint:
            note(f"next: {self.hint}")


def note(text: str) -> None:
    """Whatever is not data: progress, warnings, errors."""
    erase()
    click.echo(printable(text), err=True)


_drawn = [False]
"""Whether stderr, a terminal, shows a line that is to be drawn over."""


def draw(text: str) -> None:
    """A line of a terminal that the next one, or a note, takes the place of."""
    room = shutil.get_terminal_size().columns - 1
    click.echo(f"\r\x1b[K{printable(text)[:room]}", err=True, nl=False)
    _drawn[0] = True


def erase() -> None:
    if _drawn[0]:
        click.echo("\r\x1b[K", err=True, nl=False)
        _drawn[0] = False


def printable(text: str) -> str:
    """Without what would command the terminal: tenants choose descriptions and names."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def usage_problem(error: click.UsageError) -> Problem:
    """A mistake on the command line, in the same form as every other error."""
    hint = f"{error.ctx.command_path} --help" if error.ctx else "weft --help"
    return Problem(ExitCode.USAGE, "USAGE", " ".join(error.format_message().split()), hint=hint)
