"""Law: a store is a dictionary, and what it told is enough to build that dictionary again."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from weftwork.seams.store import (
    Change,
    Compacted,
    Compare,
    Conflict,
    Empty,
    Event,
    Put,
    Record,
    Remove,
    Transaction,
    Unchanged,
)
from weftwork.store.sqlite import SqliteStore

Answer = TypeVar("Answer")
State = dict[str, tuple[bytes, int]]
"""What is there: key → (value, revision)."""

KEYS = [
    "a",
    "a/",
    "a/1",
    "a/1/x",
    "a/2",
    "a\0",
    "b",
    "é",
    "\ud7ff",
    "\ue000",
    "\U0010ffff",
    "\U0010ffff\U0010ffff",
]
PREFIXES = ["", *KEYS, "none"]
keys = st.sampled_from(KEYS)
prefixes = st.sampled_from(PREFIXES)
values = st.binary(max_size=20)
written = st.one_of(st.builds(Put, keys, values), st.builds(Remove, keys))
writes = st.lists(written, max_size=5, unique_by=lambda write: write.key).map(tuple)


def holds(compare: Compare, state: State) -> bool:
    if isinstance(compare, Unchanged):
        return state.get(compare.key, (b"", 0))[1] == compare.revision
    return not any(key.startswith(compare.prefix) and written > compare.since for key, (_, written) in state.items())


class StoreIsADictionary(RuleBasedStateMachine):
    """`states[n]` is the dictionary after revision n; `told[n]` the events of revision n."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.store = self.run(SqliteStore.open(self.directory / "weft.db"))
        self.states: list[State] = [{}]
        self.told: list[tuple[Event, ...]] = [()]
        self.compacted = 0

    def run(self, awaitable: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(awaitable)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.directory)

    @rule(data=st.data(), count=st.integers(1, 6))
    def commit_together(self, data: st.DataObject, count: int) -> None:
        """In whatever order they took effect, each was judged by the state just before it."""
        transactions = [Transaction(data.draw(self.compares()), data.draw(writes)) for _ in range(count)]

        async def all_at_once() -> list[int | BaseException]:
            return await asyncio.gather(*map(self.store.commit, transactions), return_exceptions=True)

        results = self.run(all_at_once())
        done = sorted((result, t) for result, t in zip(results, transactions, strict=True) if isinstance(result, int))
        for revision, transaction in done:
            assert revision == len(self.states), "revisions have a gap"
            self.apply(transaction)
        for result, transaction in zip(results, transactions, strict=True):
            if not isinstance(result, int):
                assert isinstance(result, Conflict)
                before = self.states[result.revision]
                assert result.failed == tuple(c for c in transaction.compares if not holds(c, before))
                assert result.failed

    def compares(self) -> st.SearchStrategy[tuple[Compare, ...]]:
        """About as many that hold as that do not."""
        present = self.states[-1]
        true = [Unchanged(key, present.get(key, (b"", 0))[1]) for key in KEYS]
        one = st.one_of(
            st.sampled_from(true),
            st.sampled_from(true),
            st.builds(Unchanged, keys, st.integers(0, len(self.states))),
            st.builds(Empty, prefixes, st.integers(0, len(self.states))),
        )
        return st.lists(one, max_size=3).map(tuple)

    def apply(self, transaction: Transaction) -> None:
        state = dict(self.states[-1])
        assert all(holds(compare, state) for compare in transaction.compares)
        events: list[Event] = []
        for write in transaction.writes:
            if isinstance(write, Put):
                state[write.key] = (write.value, len(self.states))
                events.append(Event(write.key, write.value))
            elif state.pop(write.key, None):
                events.append(Event(write.key, None))
        self.states.append(state)
        self.told.append(tuple(events))

    @rule(prefix=prefixes, after=st.one_of(st.just(""), keys), limit=st.integers(0, 5))
    def range(self, prefix: str, after: str, limit: int) -> None:
        found = self.run(self.store.range(prefix, after=after, limit=limit))
        expected = [
            Record(key, *self.states[-1][key])
            for key in sorted(self.states[-1])
            if key.startswith(prefix) and (not after or key > after)
        ]
        assert found.records == tuple(expected[:limit] if limit else expected)
        assert found.more == (len(found.records) < len(expected))
        assert found.revision == len(self.states) - 1

    @rule(prefix=prefixes, data=st.data())
    def watch(self, prefix: str, data: st.DataObject) -> None:
        after = data.draw(st.integers(0, len(self.states) - 1))
        expected = []
        for revision in range(after + 1, len(self.states)):
            events = tuple(event for event in self.told[revision] if event.key.startswith(prefix))
            expected += [Change(revision, events)] if events else []

        async def tell() -> list[Change]:
            """All it says until the store is closed."""
            watch = self.store.watch(prefix, after=after)
            async with asyncio.timeout(10):
                told = [await anext(watch) for _ in expected]
            rest = asyncio.create_task(anext(watch, None))
            await asyncio.sleep(0)
            await self.store.close()
            assert await rest is None, "the watch said more than happened"
            self.store = await SqliteStore.open(self.directory / "weft.db")
            return told

        if after >= self.compacted:
            assert self.run(tell()) == expected
            return
        with pytest.raises(Compacted) as compacted:
            self.run(anext(self.store.watch(prefix, after=after)))
        assert compacted.value.revision == self.compacted

    @precondition(lambda self: len(self.states) > 1)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(1, len(self.states) - 1))
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @rule()
    def open_again(self) -> None:
        self.run(self.store.close())
        self.store = self.run(SqliteStore.open(self.directory / "weft.db"))

    @invariant()
    def every_key_reads_back(self) -> None:
        if not hasattr(self, "store"):
            return
        for key in KEYS:
            record = self.run(self.store.get(key))
            there = self.states[-1].get(key)
            assert record == (Record(key, *there) if there else None)


TestStoreIsADictionary = StoreIsADictionary.TestCase
TestStoreIsADictionary.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
