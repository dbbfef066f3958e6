"""What lists have in common: `--columns`, and `--watch`, which goes on with every change."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any

import click

from weftwork.cli.nouns import Column, Noun
from weftwork.cli.output import Shown, show_as
from weftwork.cli.problems import Problem, note
from weftwork.cli.session import Session, connected
from weftwork.cli.settings import current

_Verb = Callable[..., Any]
SETTLE_S = 0.05
"""What comes within this time is shown at once: a change has several consequences."""
EVERY_S = 2.0
AGAIN_S = (0.5, 1.0, 2.0, 5.0)
"""When a server that is gone is asked again; the last one for ever."""


class ColumnsType(click.ParamType[tuple[str, ...]]):
    name = "columns"

    def __init__(self, columns: Sequence[Column]) -> None:
        self.titles = {word: one.title for one in columns for word in _words(one)}

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(self._title(word.strip().lower(), param, ctx) for word in value.split(","))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{word}") for word in self.titles if word.startswith(last.lower())]

    def _title(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if word not in self.titles:
            import difflib

            near = difflib.get_close_matches(word, list(self.titles), 1)
            meant = f"Did you mean {near[0]}?" if near else f"There are {', '.join(self.titles)}."
            self.fail(f"there is no column {word!r}. {meant}", param, ctx)
        return self.titles[word]


def _words(column: Column) -> list[str]:
    """As a person types it: a title of two has two."""
    return [part.strip().lower().replace(" ", "-") for part in column.title.split("/")]


def listing(columns: Sequence[Column]) -> Callable[[_Verb], _Verb]:
    """Adds --columns."""

    def add(verb: _Verb) -> _Verb:
        @_columns_option(columns)
        @wraps(verb)
        def listed(*args: Any, columns: tuple[str, ...] | None, **kwargs: Any) -> Any:
            show_as(Shown(columns))
            return verb(*args, **kwargs)

        return listed

    return add


def watched_listing(noun: Noun) -> Callable[[_Verb], _Verb]:
    """Adds --columns and --watch, for a verb that lists what the session's project has of a noun."""

    def add(verb: Callable[..., Awaitable[None]]) -> _Verb:
        @click.option("--watch", "-w", is_flag=True, help="Go on with every change, one line for each, until Ctrl-C.")
        @_columns_option(noun.columns)
        @wraps(verb)
        async def listed(*args: Any, columns: tuple[str, ...] | None, watch: bool, **kwargs: Any) -> None:
            show_as(Shown(columns, changes_only=watch))
            if watch:
                await _follow(noun.kind, partial(verb, *args, **kwargs))
            else:
                await verb(*args, **kwargs)

        return listed

    return add


def _columns_option(columns: Sequence[Column]) -> Callable[[_Verb], _Verb]:
    kind = ColumnsType(columns)
    return click.option(
        "--columns",
        type=kind,
        metavar="A,B",
        help=f"Only these, in this order: {', '.join(kind.titles)}.",
    )


async def _follow(kind: str, print_list: Callable[[], Awaitable[None]]) -> None:
    """Lists again whenever something of the kind has happened. A server that goes away is waited for."""
    import asyncio

    await print_list()
    failed = 0
    while True:
        try:
            async with connected() as session:
                await print_list()
                failed = 0
                await _listed_while(_happenings(session, kind), print_list)
        except Problem as problem:
            if problem.code != "SERVER_UNREACHABLE":
                raise
            if not failed:
                note(f"{problem.message}: trying again")
            await asyncio.sleep(AGAIN_S[min(failed, len(AGAIN_S) - 1)])
            failed += 1


async def _listed_while(happenings: AsyncIterator[object], print_list: Callable[[], Awaitable[None]]) -> None:
    """A list for everything that happens, and one for all that happens during a list."""
    import asyncio

    happened = asyncio.Event()

    async def listen() -> None:
        try:
            async for _ in happenings:
                happened.set()
        finally:
            happened.set()

    listening = asyncio.create_task(listen())
    try:
        while not listening.done():
            await happened.wait()
            await asyncio.sleep(SETTLE_S)
            happened.clear()
            await print_list()
        listening.result()
    finally:
        listening.cancel()
        await asyncio.wait((listening,))


async def _happenings(session: Session, kind: str) -> AsyncIterator[object]:
    """Of the project; who lists all there are is told by the clock."""
    import asyncio

    if current().project_given or kind != "vpc":
        async for event in session.client.watch_conditions(session.project, kind=kind):
            yield event
    while True:
        await asyncio.sleep(EVERY_S)
        yield None
