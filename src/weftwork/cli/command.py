"""Our kinds of click command and group: global options everywhere, examples in the help, our way to fail."""

import importlib
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand

from weftwork.cli.problems import ExitCode, Problem, usage_problem
from weftwork.cli.settings import shared_options

HELP_WIDTH = 100


class Command(click.Command):
    """A verb. `examples` are whole command lines; the tests parse each of them."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.shared = shared_options()
        self.params.extend(self.shared)
        self.context_settings.setdefault("max_content_width", HELP_WIDTH)

    def invoke(self, ctx: click.Context) -> Any:
        """Verbs that talk to the server are coroutines."""
        try:
            result = super().invoke(ctx)
            if isinstance(result, Coroutine):
                import asyncio

                return asyncio.run(result)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        return result

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and param not in self.shared]
        _section(ctx, formatter, "Options", own)
        _section(ctx, formatter, "Global options", self.shared)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self.examples))


def _section(ctx: click.Context, formatter: click.HelpFormatter, title: str, params: Sequence[click.Parameter]) -> None:
    records = [record for param in params if (record := param.get_help_record(ctx))]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)


class Group(click.Group):
    """A noun with its verbs. An alias works and is not listed."""

    command_class = Command

    def __init__(self, *args: Any, aliases: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = tuple(aliases)
        self.context_settings.setdefault("max_content_width", HELP_WIDTH)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for command in self.commands.values():
            if isinstance(command, Group) and cmd_name in command.aliases:
                return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Says which name may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=self._names(ctx), ctx=ctx) from None

    def _names(self, ctx: click.Context) -> list[str]:
        aliases = (
            alias for command in self.commands.values() if isinstance(command, Group) for alias in command.aliases
        )
        return [*self.list_commands(ctx), *aliases]


Group.group_class = Group


@dataclass(frozen=True, slots=True)
class LocalCommand:
    """A command of this machine, such as `weft up`: the click command of that name in a module, which is imported
    when it is asked for."""

    module: str
    short_help: str


class Root(Group):
    """`weft` itself."""

    def __init__(self, *args: Any, local: Mapping[str, LocalCommand] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.local = dict(local or {})
        self.params.extend(shared_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self.local})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.local:
            command = getattr(importlib.import_module(self.local[cmd_name].module), cmd_name)
            assert isinstance(command, click.Command), f"{cmd_name} is not a command"
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        nouns: list[tuple[str, str]] = []
        others: list[tuple[str, str]] = []
        for name, command in sorted(self.commands.items()):
            if not command.hidden:
                listed = nouns if isinstance(command, Group) else others
                listed.append((name, command.get_short_help_str(limit=HELP_WIDTH)))
        machine = [(name, local.short_help) for name, local in sorted(self.local.items())]
        for title, records in (("Nouns", nouns), ("Commands", others), ("This machine", machine)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, but every failure is told in our form and Ctrl-C is 130."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except NoArgsIsHelpError as error:
            error.show()
            sys.exit(ExitCode.USAGE)
        except click.UsageError as error:
            _fail(usage_problem(error))
        except Problem as problem:
            _fail(problem)
        except click.ClickException as error:
            _fail(Problem(ExitCode.ERROR, "ERROR", error.format_message()))
        except click.Abort:
            sys.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            # The reader has seen enough (`| head`). Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(ExitCode.ERROR)
        sys.exit(int(result) if isinstance(result, int) else ExitCode.OK)


def _fail(problem: Problem) -> NoReturn:
    problem.show()
    sys.exit(problem.exit_code)
