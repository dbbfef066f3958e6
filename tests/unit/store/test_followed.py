"""Whoever waits for a revision of a store that is shared hears of it once, and after the watches."""

import asyncio

from weftwork.store.followed import Followed
from weftwork.store.recent import Entry


def entry(revision: int) -> Entry:
    return Entry(revision, [("k", b"")], 1)


async def no_history(after: int) -> list[Entry]:
    raise AssertionError(f"{after} is remembered")


async def test_each_is_told_of_its_revision_and_not_before() -> None:
    followed = Followed()
    waiting = [asyncio.create_task(followed.reached(revision, 60.0)) for revision in (3, 1, 2)]
    await asyncio.sleep(0)

    followed.extend([entry(1), entry(2)], 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert [one.done() for one in waiting] == [False, True, True]
    followed.extend([entry(3)], 3)
    assert await asyncio.gather(*waiting) == [True, True, True]


async def test_watches_have_seen_a_revision_before_those_who_waited_for_it_go_on() -> None:
    followed = Followed()
    seen: list[int] = []

    async def watch() -> None:
        async for change in followed.watch("", 0, no_history):
            seen.append(change.revision)

    async def wait() -> list[int]:
        assert await followed.reached(1, 60.0)
        return list(seen)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    followed.extend([entry(1)], 1)

    assert await waiting == [1]
    followed.end()
    await watching


async def test_who_waits_is_let_go_when_the_time_is_over_or_the_store_is() -> None:
    followed = Followed()
    assert not await followed.reached(1, 0.01)

    waiting = asyncio.create_task(followed.reached(1, 60.0))
    await asyncio.sleep(0)
    followed.end()
    assert not await waiting
    assert not await followed.reached(2, 60.0)


async def test_nobody_has_a_turn_between_what_came_at_once() -> None:
    """However much it was: who decides in between would have seen some of it."""
    followed = Followed(moment_of=lambda revision: -(-revision // 1000))
    followed.begin(0)
    followed.extend([entry(revision) for revision in range(1, 1501)], 2000)
    seen: list[int] = []
    turns: list[int] = []

    async def read() -> None:
        async for change in followed.watch("", 0, no_history):
            seen.append(change.revision)

    reading = asyncio.create_task(read())
    while len(seen) < 1500:
        await asyncio.sleep(0)
        turns.append(len(seen))
    reading.cancel()

    assert {one for one in turns if 0 < one <= 1000} == {1000}
