"""`weft wait` and `weft watch`: what has become of a thing, now or when it changes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from weftwork.cli.changes import owner_of, wait_programmed, why_not
from weftwork.cli.command import Command
from weftwork.cli.completion import complete_kind
from weftwork.cli.document import Document, document
from weftwork.cli.endpoints import parse_external
from weftwork.cli.nouns import NOUNS, PORT, Noun, condition
from weftwork.cli.options import timeout_option
from weftwork.cli.output import print_list, print_one
from weftwork.cli.problems import ExitCode, Problem, printable
from weftwork.cli.progress import waiting
from weftwork.cli.session import Session, connected
from weftwork.cli.settings import Output, current

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DELETED = "deleted"
GOALS = ("Accepted", "Programmed", "Peered", DELETED)
_ALIASES = {"sg": "security-group", "np": "network-policy"}


class NounType(click.Choice[str]):
    """A noun's kind; `sg` is short for security-group."""

    def __init__(self) -> None:
        super().__init__(sorted(NOUNS))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(super().convert(_ALIASES.get(value, value), param, ctx))


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    kind = str(ctx.params.get("kind"))
    return complete_kind(_ALIASES.get(kind, kind))(ctx, param, incomplete)


class GoalType(click.ParamType[str]):
    """`Programmed` or `condition=Programmed`, or `deleted`; in any case."""

    name = "goal"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = value.lower().removeprefix("condition=")
        found = next((goal for goal in GOALS if goal.lower() == word), None)
        if found is None or (found == DELETED and "=" in value):
            self.fail(f"{value!r} is not one of {', '.join(GOALS)}", param, ctx)
        return found

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(goal) for goal in GOALS if goal.lower().startswith(incomplete.lower())]


@click.command(
    cls=Command,
    examples=(
        "weft wait port web1 web2 web3",
        "weft wait --for=condition=Programmed security-group web --timeout 2m",
        "weft wait port web1 --for deleted",
    ),
)
@click.argument("kind", type=NounType(), metavar="NOUN")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete_name)
@click.option(
    "--for",
    "goal",
    type=GoalType(),
    default="Programmed",
    metavar="GOAL",
    help=f"{', '.join(GOALS)}; condition=Programmed is understood too.  [default: Programmed]",
)
@timeout_option
async def wait(kind: str, names: tuple[str, ...], goal: str, timeout_s: float) -> None:
    """Wait until a condition of some things is true, or until they are gone.

    NOUN is vpc, subnet, port, security-group, snat, dnat, peering, network-policy or subnet-share. NAME may be left
    out for a vpc and its snat. All of them have the same time; the exit code is 6 if one needs more.
    """
    import asyncio

    noun = NOUNS[kind]
    async with connected() as session, waiting(f"{kind} {' '.join(names)}".rstrip(), goal):
        if goal == DELETED:
            await asyncio.gather(*(_wait_gone(session, noun, name, timeout_s) for name in names or ("",)))
            return
        found = [await _named(session, noun, name) for name in names or ("",)]
        met = await asyncio.gather(*(wait_programmed(session, noun, one, goal, timeout_s) for one in found))
    if len(found) == 1:
        print_one(noun, found[0])
    else:
        print_list(noun, found)
    late = [one for one, is_met in zip(found, met, strict=True) if not is_met]
    if late:
        raise _still_running(noun, late, goal, timeout_s)


def _still_running(noun: Noun, late: Sequence[Document], goal: str, timeout_s: float) -> Problem:
    told = [f"{noun.kind} {noun.name(one)} is not {goal} after {timeout_s:g} s: {why_not(one, goal)}" for one in late]
    more = f", and {len(late) - 1} more" if len(late) > 1 else ""
    return Problem(ExitCode.STILL_RUNNING, "STILL_RUNNING", f"{told[0]}{more}", hint="weft target show")


async def _named(session: Session, noun: Noun, name: str) -> Document:
    if noun.kind == "snat" and not name:
        return await session.find(noun, lambda _: True, "")
    if noun.kind != "vpc" and not name:
        raise click.UsageError(f"name the {noun.kind}")
    return await session.get(noun, name)


async def _wait_gone(session: Session, noun: Noun, name: str, timeout_s: float) -> None:
    """Until the hosts have let go of it; at once if the API does not know it (any more)."""
    import asyncio

    try:
        async with asyncio.timeout(timeout_s):
            found = await _named(session, noun, name)
            owner = owner_of(session, noun, found)
            async for event in session.client.watch_conditions(owner, kind=noun.kind, id=noun.id(found)):
                if event.deleted:
                    return
    except TimeoutError:
        raise Problem(
            ExitCode.STILL_RUNNING, "STILL_RUNNING", f"{noun.kind} {name} is still there after {timeout_s:g} s"
        ) from None
    except Exception as error:
        if not _is_unknown(error):
            raise


def _is_unknown(error: Exception) -> bool:
    from weftwork.client import ApiError

    if isinstance(error, Problem):
        return error.exit_code == ExitCode.NOT_FOUND
    return isinstance(error, ApiError) and error.code.name == "NOT_FOUND"


@click.command(
    cls=Command, examples=("weft watch", "weft watch port web1", "weft -P acme/shop watch security-group -o json")
)
@click.argument("kind", type=NounType(), metavar="[NOUN]", required=False)
@click.argument("name", default="", shell_complete=_complete_name)
async def watch(kind: str | None, name: str) -> None:
    """Print the conditions of the project's things as they are, then every change, until Ctrl-C.

    With -o json, one event per line.
    """
    async with connected() as session:
        owner, id_ = session.project, ""
        names: dict[str, str] = {}
        if kind and name:
            found = await _named(session, NOUNS[kind], name)
            owner, id_ = owner_of(session, NOUNS[kind], found), NOUNS[kind].id(found)
        async for event in session.client.watch_conditions(owner, kind=kind or "", id=id_):
            shown = document(event)
            is_data = current().output in (Output.JSON, Output.YAML)
            _print_event(shown, "" if is_data else await _name_of(session, shown["resource"], names))


async def _name_of(session: Session, resource: Document, names: dict[str, str]) -> str:
    """What a person calls it; `names` are those of the ports seen before."""
    id_ = str(resource["id"])
    match resource["kind"]:
        case "port":
            if id_ not in names:
                try:
                    names[id_] = PORT.name(await session.get(PORT, id_))
                except Exception as error:
                    if not _is_unknown(error):
                        raise
            return names.get(id_, id_)
        case "dnat":
            return str(parse_external(id_))
        case _:
            return id_ or f"{resource['org_id']}/{resource['project_id']}"


def _print_event(event: Document, name: str) -> None:
    resource = event["resource"]
    if current().output in (Output.JSON, Output.YAML):
        print(json.dumps(event, ensure_ascii=False), flush=True)
    elif current().output is Output.NAME:
        print(f"{resource['kind']} {name}", flush=True)
    elif event["deleted"]:
        print(f"{_now()}  {resource['kind']} {name}  deleted", flush=True)
    else:
        types = ("Accepted", "Programmed", "Peered")
        states = "  ".join(_state(event, type_) for type_ in types if condition(event, type_))
        print(printable(f"{_now()}  {resource['kind']} {name}  {states}"), flush=True)


def _state(event: Document, type_: str) -> str:
    found = condition(event, type_)
    assert found is not None
    why = "" if found["status"] == "True" else f" ({why_not(event, type_)})"
    return f"{type_}={found['status']}{why}"


def _now() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S")
