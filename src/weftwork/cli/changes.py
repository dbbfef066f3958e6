"""A mutation from the command line: plan it or carry it out, wait for it, and say what became of it."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import click

from weftwork.base.tenancy import ProjectKey
from weftwork.cli.document import Document, document, fields_of
from weftwork.cli.nouns import Noun, condition
from weftwork.cli.options import How
from weftwork.cli.output import print_deleted, print_one
from weftwork.cli.plans import leave_with, print_plan
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.progress import waiting
from weftwork.cli.session import Session

if TYPE_CHECKING:
    from weftwork.client import Mutation
    from weftwork.client.messages import ResourceRef

NO_AGENT = "NO_AGENT"
"""The reason why Programmed is unknown where nobody programs."""
NEWS_S = 2.0
"""How often somebody who waits is told why, if it has changed."""

T = TypeVar("T")
Fetch = Callable[[], Awaitable[Document]]


async def change(
    session: Session,
    noun: Noun,
    mutation: "Mutation[Any]",
    how: How,
    *,
    fetch: Fetch | None = None,
    until: str = "Programmed",
) -> None:
    """Create or change a thing, and print it. `fetch` gets it when the mutation's answer does not hold it.

    `until` is the condition that is waited for.
    """
    mutation = as_told(mutation, how)
    if how.dry_run:
        return await show_plan(mutation, how)
    message = await mutation
    result = await fetch() if fetch else document(message)
    programmed = not how.wait or await _programmed(session, noun, result, how.timeout_s, until)
    if how.wait and until != "Programmed":
        result = await session.get(noun, noun.name(result))
    print_one(noun, result)
    if not programmed:
        raise _still_running(session, noun, result, how.timeout_s, until)
    return None


async def remove(
    session: Session,
    noun: Noun,
    found: Document,
    mutation: "Mutation[None]",
    how: How,
    *,
    cascade: bool = False,
    ask: bool = False,
) -> None:
    """Delete `found`. A cascade that may be asked about is shown first."""
    mutation = as_told(mutation, how)
    if how.dry_run:
        return await show_plan(mutation, how)
    if cascade and ask:
        await _confirm(mutation, noun, noun.name(found))
    if how.wait and has_agent(found):
        async with waiting(f"{noun.kind} {noun.name(found)}", "the hosts to let go of it"):
            await _delete_and_wait(session, noun, found, mutation, how.timeout_s)
    else:
        await mutation
    print_deleted(noun, noun.name(found))
    return None


async def wait_programmed(session: Session, noun: Noun, found: Document, type_: str, timeout_s: float) -> bool:
    """Whether the condition came true in time; `found` gets the newest conditions. Says why it takes long."""
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    said = ""
    while True:
        left_s = deadline - loop.time()
        event = await session.client.wait_for(
            reference(session, noun, found),
            type=type_,
            revision=found["revision"],
            timeout_s=max(0.001, min(NEWS_S, left_s)),
        )
        found["conditions"] = [fields_of(one) for one in event.conditions]
        if event.met or loop.time() >= deadline:
            return event.met
        why = why_not(found, type_)
        if why != said:
            note(f"waiting for {noun.kind} {noun.name(found)}: {why}")
            said = why


def why_not(found: Document, type_: str) -> str:
    state = condition(found, type_)
    if state is None:
        return f"{type_} is not known yet"
    return ": ".join(part for part in (state["reason"], state["message"]) if part) or f"{type_}={state['status']}"


def owner_of(session: Session, noun: Noun, found: Document) -> ProjectKey:
    """NAT objects are of the session's project."""
    return ProjectKey(found["org_id"], found["project_id"]) if "org_id" in found else session.project


def as_told(mutation: "Mutation[T]", how: How) -> "Mutation[T]":
    told = mutation.overriding_reach_tests() if how.override_reach_tests else mutation
    if not how.confirm_within_s or how.dry_run:
        return told
    name = uuid4().hex[:8]
    note(f"note: what this changes is undone in {how.confirm_within_s} s, unless: weft confirm {name}")
    return told.until_confirmed(name, within_s=how.confirm_within_s, probes=how.probes)


async def show_plan(mutation: "Mutation[Any]", how: How) -> None:
    plan = await mutation.plan()
    print_plan(plan)
    leave_with(plan, how.exit_code)


async def _programmed(session: Session, noun: Noun, result: Document, timeout_s: float, until: str) -> bool:
    if not has_agent(result, until):
        note(f"note: no agent is connected to the server: {noun.kind} {noun.name(result)} is stored, not programmed")
        return True
    async with waiting(f"{noun.kind} {noun.name(result)}", until):
        return await wait_programmed(session, noun, result, until, timeout_s)


def has_agent(found: Document, type_: str = "Programmed") -> bool:
    """Whether there is somebody who could make it so."""
    state = condition(found, type_)
    return state is not None and state["reason"] != NO_AGENT


async def _delete_and_wait(
    session: Session, noun: Noun, found: Document, mutation: "Mutation[None]", timeout_s: float
) -> None:
    """The watch stands before the deletion, so that its end cannot be missed."""
    import asyncio

    events = session.client.watch_conditions(owner_of(session, noun, found), kind=noun.kind, id=noun.id(found))
    try:
        async with asyncio.timeout(timeout_s):
            await anext(events, None)
            await mutation
            async for event in events:
                if event.deleted:
                    return
    except TimeoutError:
        raise Problem(
            ExitCode.STILL_RUNNING,
            "STILL_RUNNING",
            f"{noun.kind} {noun.name(found)} is deleted, but not yet gone from the hosts after {timeout_s:g} s",
            hint="weft target show",
        ) from None


async def _confirm(mutation: "Mutation[None]", noun: Noun, name: str) -> None:
    """Show what a cascade takes with it, and ask."""
    plan = await mutation.plan()
    for line in plan.objects:
        note(line)
    if not sys.stdin.isatty():
        raise Problem(
            ExitCode.USAGE,
            "CONFIRMATION_NEEDED",
            f"--cascade would delete {len(plan.objects)} objects, and there is nobody to ask",
            hint="look at the list above, then add --yes",
        )
    if not click.confirm(f"Delete {noun.kind} {name} and all of this?", err=True):
        raise Problem(ExitCode.ERROR, "NOT_CONFIRMED", "nothing was deleted")


def _still_running(session: Session, noun: Noun, result: Document, timeout_s: float, until: str) -> Problem:
    name = noun.name(result)
    project = owner_of(session, noun, result)
    return Problem(
        ExitCode.STILL_RUNNING,
        "STILL_RUNNING",
        f"{noun.kind} {name} is stored, but not {until.lower()} after {timeout_s:g} s: {why_not(result, until)}",
        hint=f"weft -P {project} wait {noun.kind} {name}" + ("" if until == "Programmed" else f" --for {until}"),
    )


def reference(session: Session, noun: Noun, found: Document) -> "ResourceRef":
    from weftwork.client import resource_ref

    return resource_ref(noun.kind, owner_of(session, noun, found), noun.id(found))
