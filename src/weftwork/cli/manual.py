"""`weft man`: the manual page weft(1), made from the commands themselves."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click

from weftwork.cli.command import Command, Group, Root
from weftwork.cli.reference import every_command

_SEE_ALSO = "The project's documentation: docs/README.md of its source, and the answers of an error's `next:` line."
_FILES = (
    (".weft.toml", "The project's: found here or above. Names a context, a project, an output and colours; no server."),
    (
        "~/.config/weft/config.toml",
        "One's own settings: context or server, project, output, color, ca, certificate, key.",
    ),
    ("~/.config/weft/contexts.toml", "One's own contexts, with their tokens; mode 0600, written by weft context."),
    ("~/.local/state/weft/logins.json", "Logins, by server; mode 0600."),
    ("/etc/weft/", "The same two files for everybody on this machine."),
)
_VARIABLES = (
    ("WEFT_SERVER, WEFT_CONTEXT", "Where the server is."),
    ("WEFT_PROJECT", "The project to work in."),
    ("WEFT_OUTPUT", "How to print data."),
    ("WEFT_TOKEN", "An API token; shown to the server in force unless a project's file has chosen that."),
    ("WEFT_CA, WEFT_CERTIFICATE, WEFT_KEY", "Files in PEM, for TLS and mTLS."),
    ("WEFT_PROJECT_FILE", "The project's file, instead of a search for it; empty: none."),
    ("NO_COLOR", "As --color never."),
)
_EXIT_CODES = (
    ("0", "Done."),
    ("1", "An error."),
    ("2", "Wrong usage, or a value that cannot be."),
    ("3", "A conflict: it exists, it is in use, or somebody was faster."),
    ("4", "Not found."),
    ("5", "Denied."),
    ("6", "The time was over; it is stored, and still being worked on."),
    ("10", "Only with --exit-code: there is a difference."),
    ("130", "Interrupted."),
)


@click.command(cls=Command, examples=("weft man", "weft man > weft.1", "weft man > /usr/local/share/man/man1/weft.1"))
def man() -> None:
    """Show the manual page. Into a pipe or a file it goes as roff, for `man` to install."""
    page = roff(click.get_current_context().find_root().command)
    viewer = shutil.which("man")
    if viewer and sys.stdout.isatty():
        subprocess.run([viewer, "-l", "-"], input=page, text=True, check=False)
    else:
        print(page, end="")


def roff(root: click.Command) -> str:
    assert isinstance(root, Root)
    return "\n".join(_lines(root)) + "\n"


def _lines(root: Root) -> Iterator[str]:
    yield '.TH WEFT 1 "" "weftwork" "User Commands"'
    yield from (".SH NAME", r"weft \- a self-hosted cloud network: isolated tenant networks on real kernels")
    yield from (".SH SYNOPSIS", r"\fBweft\fR [\fIOPTIONS\fR] \fINOUN\fR \fIVERB\fR [\fIARGUMENTS\fR]")
    yield ".SH DESCRIPTION"
    yield _text("Data goes to stdout, everything else to stderr. Names and ids are accepted alike.")
    yield from (".SH OPTIONS", _text("These may stand before the noun or after the verb; the last place wins."))
    yield from _options(click.Context(root, info_name="weft"), root.params)
    yield ".SH COMMANDS"
    for ctx, command in every_command(root):
        if isinstance(command, Group) or ctx.parent is None:
            continue
        yield from _command(ctx, command)
    for title, entries in (("EXIT STATUS", _EXIT_CODES), ("ENVIRONMENT", _VARIABLES), ("FILES", _FILES)):
        yield f".SH {title}"
        yield from (line for word, text in entries for line in (".TP", rf"\fB{_text(word)}\fR", _text(text)))
    yield from (".SH SEE ALSO", _text(_SEE_ALSO))


def _command(ctx: click.Context, command: click.Command) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    yield rf".SS {_text(ctx.command_path)} {_text(pieces)}"
    for paragraph in (command.help or command.short_help or "").split("\n\n"):
        yield from (_text(" ".join(paragraph.split())), ".PP")
    shared = getattr(command, "shared", ())
    yield from _options(ctx, [param for param in command.get_params(ctx) if param not in shared])
    examples = getattr(command, "examples", ())
    if examples:
        yield from (".PP", "Examples:", ".PP", ".nf", *(rf"    {_text(example)}" for example in examples), ".fi")


def _options(ctx: click.Context, params: "list[click.Parameter] | list[click.Option]") -> Iterator[str]:
    for param in params:
        record = param.get_help_record(ctx)
        if record and record[0] != "--help":
            yield from (".TP", rf"\fB{_text(record[0])}\fR", _text(record[1]))


def _text(text: str) -> str:
    """Neither a backslash nor a dot at the beginning means anything to roff; a dash can be searched and copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
    return re.sub(r"^(?=[.'])", r"\\&", escaped)
