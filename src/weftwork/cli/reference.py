"""`weft reference`: every command's help as one Markdown page, which is docs/reference/cli.md."""

from collections.abc import Iterator

import click

from weftwork.cli.command import HELP_WIDTH, Command, Group

_INTRODUCTION = """# The command line

Written by `weft reference` from the commands themselves; a test keeps it current.

Data goes to stdout, everything else to stderr. Global options may stand before the noun or after the verb. Names and
ids are accepted alike. `-o json` and `-o yaml` print `apiVersion`, `kind` and the fields of the API's messages; a list
has `items`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error |
| 2 | wrong usage, or a value that cannot be |
| 3 | a conflict: it exists, it is in use (what uses it is listed), or somebody was faster |
| 4 | not found |
| 5 | denied |
| 6 | the time was over; it is stored, and still being worked on |
| 10 | only with `--exit-code`: there is a difference |
| 130 | interrupted |
"""


@click.command(cls=Command, hidden=True)
def reference() -> None:
    """Print this reference."""
    print(markdown(click.get_current_context().find_root().command))


def markdown(root: click.Command) -> str:
    sections = [_section(ctx, command) for ctx, command in every_command(root)]
    return "\n\n".join((_INTRODUCTION.rstrip(), *sections))


def _section(ctx: click.Context, command: click.Command) -> str:
    return f"## {ctx.command_path}\n\n```text\n{command.get_help(ctx)}\n```"


def every_command(root: click.Command) -> Iterator[tuple[click.Context, click.Command]]:
    """Each that is shown, nouns before their verbs."""
    yield from _commands(click.Context(root, info_name="weft", terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH))


def _commands(ctx: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    command = ctx.command
    yield ctx, command
    if isinstance(command, Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child and not child.hidden:
                yield from _commands(click.Context(child, info_name=name, parent=ctx))
