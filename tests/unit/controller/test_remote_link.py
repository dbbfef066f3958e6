import asyncio
from typing import Any

import pytest

from weftwork.base.errors import Failure
from weftwork.controller.remote_link import KEPT_MAX, RemoteLink
from weftwork.program.linux import Namespace
from weftwork.program.resource import Program
from weftwork.rpc.programs import digest_of
from weftwork.seams.channel import ProgramChange, Report
from weftwork.seams.fleet import Question, Told


def _program(*names: str) -> Program:
    return frozenset(Namespace(name, "vpc acme/web") for name in names)


def _link() -> RemoteLink:
    link = RemoteLink("h1", lambda report: None)
    link.publish(ProgramChange(10, True, _program("a")))
    return link


async def _next(updates: Any) -> Any:
    async with asyncio.timeout(1):
        return await anext(updates)


async def test_who_has_nothing_is_told_the_whole_program_and_then_what_changes() -> None:
    link = _link()
    link.publish(ProgramChange(11, False, _program("b")))
    updates = link.updates(0, 0, 0)

    whole = await _next(updates)
    link.publish(ProgramChange(12, False, frozenset(), _program("a")))
    change = await _next(updates)

    assert whole == Told(ProgramChange(11, True, _program("a", "b")), digest_of(_program("a", "b")))
    assert change == Told(ProgramChange(12, False, frozenset(), _program("a")), digest_of(_program("b")))


async def test_who_has_an_older_program_is_told_what_changed_since() -> None:
    link = _link()
    link.publish(ProgramChange(11, False, _program("b")))
    link.publish(ProgramChange(12, False, _program("c")))

    updates = link.updates(11, 0, digest_of(_program("a", "b")))

    assert (await _next(updates)).change == ProgramChange(12, False, _program("c"))


async def test_who_has_the_generation_and_another_program_is_told_the_whole_one() -> None:
    link = _link()

    told = await _next(link.updates(10, 0, digest_of(_program("z"))))

    assert told.change.complete


async def test_who_is_further_behind_than_changes_are_kept_is_told_the_whole_program() -> None:
    link = _link()
    updates = link.updates(0, 0, 0)
    await _next(updates)
    for number in range(KEPT_MAX + 5):
        link.publish(ProgramChange(11 + number, False, _program(f"n{number}")))

    told = await _next(updates)

    assert told.change.complete
    assert len(told.change.added) == KEPT_MAX + 6


async def test_who_has_just_the_first_program_is_told_only_what_comes_after() -> None:
    link = _link()
    updates = link.updates(10, 0, digest_of(_program("a")))
    link.publish(ProgramChange(11, False, _program("b")))

    assert (await _next(updates)).change == ProgramChange(11, False, _program("b"))


async def test_who_has_what_was_before_the_oldest_change_that_is_kept_is_told_changes() -> None:
    link = _link()
    names = [f"n{number}" for number in range(KEPT_MAX + 1)]
    for number, name in enumerate(names):
        link.publish(ProgramChange(11 + number, False, _program(name)))

    told = await _next(link.updates(11, 0, digest_of(_program("a", names[0]))))

    assert told.change == ProgramChange(12, False, _program(names[1]))


async def test_a_program_told_anew_goes_to_whoever_is_listening() -> None:
    link = _link()
    updates = link.updates(10, 0, digest_of(_program("a")))
    link.publish(ProgramChange(10, True, _program("b"), term=1))

    assert (await _next(updates)).change == ProgramChange(10, True, _program("b"), term=1)


async def test_a_new_session_ends_the_one_before() -> None:
    link = _link()
    old = link.updates(0, 0, 0)
    await _next(old)
    new = link.updates(0, 0, 0)
    await _next(new)

    with pytest.raises(StopAsyncIteration):
        await _next(old)


async def test_a_host_that_is_not_there_is_a_failure_to_who_asks_it_something() -> None:
    link = _link()
    with pytest.raises(Failure, match="not connected"):
        await link.observe()
    link.connected(True)
    asked = asyncio.ensure_future(link.observe(frozenset({"a"})))
    question = await _next(link.updates(10, 0, digest_of(_program("a"))))
    assert isinstance(question, Question)

    link.connected(False)

    with pytest.raises(Failure, match="not connected"):
        await asked


async def test_what_a_host_answers_goes_to_who_asked() -> None:
    link = _link()
    link.connected(True)
    asked = asyncio.ensure_future(link.observe(None))
    question = await _next(link.updates(10, 0, digest_of(_program("a"))))

    link.answered(question.number, _program("a"))

    assert await asked == _program("a")


async def test_it_settles_when_the_host_has_tried_what_it_was_told() -> None:
    link = _link()
    settling = asyncio.ensure_future(link.settle())
    await asyncio.sleep(0)
    assert not settling.done()

    link.take(Report("h1", 10))

    assert await settling
