"""Who hears of a transaction in a namespace, and of whose."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from linux_programs import GUESTS

from weftwork.drivers.linux import namespaces, nft
from weftwork.drivers.linux.rules_watch import RulesWatch, name_this_thread
from weftwork.testing.guests import run

FIRST, SECOND, *_ = GUESTS
TABLE = "add table inet somebody"


@asynccontextmanager
async def watching(*scopes: str) -> AsyncIterator[tuple[RulesWatch, asyncio.Queue[frozenset[str]]]]:
    heard: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    watch = RulesWatch(heard.put_nowait)
    try:
        follow(watch, scopes)
        yield watch, heard
    finally:
        watch.close()


def follow(watch: RulesWatch, scopes: Iterable[str]) -> None:
    for scope in scopes:
        with namespaces.opened(scope) as descriptor:
            watch.follow(scope, descriptor)


async def next_of(heard: asyncio.Queue[frozenset[str]]) -> frozenset[str]:
    async with asyncio.timeout(10):
        return await heard.get()


def somebody(scope: str, words: str = TABLE) -> None:
    run("ip", "netns", "exec", scope, "nft", *words.split())


def we(scope: str) -> None:
    """As a thread of the driver does it."""

    def commit() -> None:
        name_this_thread()
        with namespaces.opened(scope) as descriptor, namespaces.inside(descriptor):
            nft.run("add table inet ours")

    thread = threading.Thread(target=commit)
    thread.start()
    thread.join()


def test_what_somebody_does_is_heard_and_what_we_do_is_not(guests: tuple[str, ...]) -> None:
    async def story() -> None:
        async with watching(FIRST, SECOND) as (_, heard):
            we(FIRST)
            somebody(SECOND)
            assert await next_of(heard) == {SECOND}
            we(SECOND)
            somebody(FIRST)
            assert await next_of(heard) == {FIRST}
            assert heard.empty()

    asyncio.run(story())


def test_a_namespace_made_anew_is_heard_when_it_is_followed_again(guests: tuple[str, ...]) -> None:
    async def story() -> None:
        async with watching(FIRST) as (watch, heard):
            for words in ("delete", "add"):
                run("ip", "netns", words, FIRST)
            follow(watch, [FIRST, FIRST])
            somebody(FIRST)
            assert await next_of(heard) == {FIRST}

    asyncio.run(story())


def test_many_transactions_are_told_together(guests: tuple[str, ...], tmp_path: Path) -> None:
    script = tmp_path / "many"
    script.write_text("".join(f"ip netns exec {FIRST} nft add table inet t{number}\n" for number in range(20)))

    async def story() -> None:
        async with watching(FIRST) as (_, heard):
            somebody(FIRST)
            assert await next_of(heard) == {FIRST}
            run("sh", "-e", str(script))
            assert await next_of(heard) == {FIRST}
            assert heard.empty()

    asyncio.run(story())


def test_it_keeps_no_namespace_alive(guests: tuple[str, ...]) -> None:
    async def story() -> None:
        async with watching(FIRST):
            before = numbers()
            run("ip", "netns", "delete", FIRST)
            async with asyncio.timeout(10):
                while numbers() == before:  # The kernel ends a namespace when it has time.
                    await asyncio.sleep(0.01)
            run("ip", "netns", "add", FIRST)

    asyncio.run(story())


def numbers() -> str:
    """Of the namespaces that exist, as this one knows them."""
    return run("ip", "netns", "list-id")
