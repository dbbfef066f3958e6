"""Options and arguments that several commands share, with the names the server knows for the shell's completion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

import click

from weftwork.cli.completion import complete_kind
from weftwork.cli.nouns import Noun

DEFAULT_TIMEOUT_S = 60.0

_Verb = Callable[..., Any]
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class How:
    """How to carry out a mutation."""

    wait: bool
    timeout_s: float
    dry_run: bool
    exit_code: bool
    override_reach_tests: bool
    confirm_within_s: int = 0
    """0: it is to stay without anybody's word."""
    probes: tuple[str, ...] = ()


class Parsed(click.ParamType[_Parsed]):
    """A value that a function of ours reads; its ValueError becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[str], _Parsed]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Parsed:
        if not isinstance(value, str):
            return cast("_Parsed", value)
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_long(text: str) -> int:
    """`60`, `90s`, `2m` or `1h`, up to a day, in whole seconds."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    number = text[:-1] if factor else text
    if not (number.isascii() and number.isdigit() and len(number) <= 6):
        raise ValueError(f"{text!r} is not a time such as 90s, 2m or 1h")
    seconds = int(number) * (factor or 1)
    if not 1 <= seconds <= 86_400:
        raise ValueError(f"{text!r} is not between a second and a day")
    return seconds


def mutating(verb: _Verb) -> _Verb:
    """Adds what every mutation takes, from --wait to --confirm-within, and hands it over as `how`."""

    @click.option(
        "--wait/--no-wait",
        default=True,
        help="Wait until the hosts have made it so (condition Programmed). Without an agent on the server "
        "there is nothing to wait for, and the command says so.  [default: wait]",
    )
    @timeout_option
    @click.option("--dry-run", is_flag=True, help="Print the objects and the steps that it would take; change nothing.")
    @click.option(
        "--exit-code", is_flag=True, help="With --dry-run: exit with 10 if anything would change, else with 0."
    )
    @click.option(
        "--override-reach-tests", is_flag=True, help="Carry it out even if a reach test forbids it; the server logs it."
    )
    @click.option(
        "--confirm-within",
        "confirm_within",
        type=Parsed("time", parse_long),
        default=None,
        metavar="TIME",
        help="Undo it after 90s, 2m, 1h, unless `weft confirm` comes before.",
    )
    @click.option(
        "--probe",
        "probes",
        multiple=True,
        metavar="PROBE",
        help="With --confirm-within: undo it at once if this fails: 'from web1 to 10.1.0.5 tcp/443', "
        "'not from web1 to internet icmp'. Repeatable.",
    )
    @wraps(verb)
    def with_how(
        *args: Any,
        wait: bool,
        timeout_s: float,
        dry_run: bool,
        exit_code: bool,
        override_reach_tests: bool,
        confirm_within: int | None,
        probes: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        if exit_code and not dry_run:
            raise click.UsageError("--exit-code goes with --dry-run")
        if probes and not confirm_within:
            raise click.UsageError("--probe goes with --confirm-within")
        how = How(wait, timeout_s, dry_run, exit_code, override_reach_tests, confirm_within or 0, probes)
        return verb(*args, how=how, **kwargs)

    return with_how


def parse_seconds(text: str) -> float:
    """`60`, `1.5`, `90s` or `2m`, up to an hour: the server holds no call longer."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    number = text[:-1] if factor else text
    if not number.replace(".", "", 1).isascii() or not number.replace(".", "", 1).isdigit():
        raise ValueError(f"{text!r} is not a time such as 60, 90s or 2m")
    seconds = float(number) * (factor or 1)
    if not 0 < seconds <= 3600:
        raise ValueError(f"{text!r} is not between 0 and 3600 seconds")
    return seconds


timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=Parsed("time", parse_seconds),
    default=DEFAULT_TIMEOUT_S,
    metavar="TIME",
    help="How long to wait: 60, 90s, 2m. Exit code 6 when it is not done by then; it goes on all the same."
    "  [default: 60s]",
)


def removing(verb: _Verb) -> _Verb:
    """Adds --cascade and --yes."""
    verb = click.option("--yes", "-y", is_flag=True, help="Do not ask before a --cascade.")(verb)
    return click.option(
        "--cascade", is_flag=True, help="Also delete what depends on it. Otherwise that is listed and kept."
    )(verb)


def named(noun: Noun) -> Callable[[_Verb], _Verb]:
    """The argument that names one thing, by name or id."""
    metavar = noun.kind.removeprefix("security-").upper()
    return click.argument("name", metavar=metavar, shell_complete=complete_kind(noun.kind))


def groups_option(flags: Sequence[str], help: str) -> Callable[[_Verb], _Verb]:
    return click.option(
        *flags,
        "groups",
        multiple=True,
        metavar="GROUP",
        help=help,
        shell_complete=complete_kind("security-group"),
    )


def subnet_option(help: str, default: str = "") -> Callable[[_Verb], _Verb]:
    return click.option(
        "--subnet", default=default, metavar="SUBNET", help=help, shell_complete=complete_kind("subnet")
    )
