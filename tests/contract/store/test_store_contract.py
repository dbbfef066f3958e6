"""What every store promises, whatever is behind it."""

import asyncio
from contextlib import aclosing

import pytest
from store_kinds import Place

from weftwork.base.errors import Failure
from weftwork.seams.store import (
    Change,
    Compacted,
    Conflict,
    Empty,
    Event,
    Put,
    RangeResult,
    Record,
    Remove,
    Store,
    Transaction,
    Unchanged,
    Write,
)


def writes(*these: Write) -> Transaction:
    return Transaction((), these)


async def changes(store: Store, prefix: str, *, after: int, until: int) -> list[Change]:
    """What a watch tells up to the revision `until`, which must be one it sees."""
    seen: list[Change] = []
    async with aclosing(store.watch(prefix, after=after)) as watch:
        async for change in watch:
            seen.append(change)
            if change.revision >= until:
                return seen
    raise AssertionError("the watch ended early")


async def until_the_end(store: Store, prefix: str, *, after: int) -> list[Change]:
    """What a watch tells up to the value `end`."""
    seen: list[Change] = []
    async with aclosing(store.watch(prefix, after=after)) as watch:
        async for change in watch:
            seen.append(change)
            if change.events[-1].value == b"end":
                return seen
    raise AssertionError("the watch ended early")


def test_a_written_key_reads_back_with_the_revision_that_wrote_it(place: Place) -> None:
    async def story(store: Store) -> None:
        assert await store.get("a") is None
        first = await store.commit(writes(Put("a", b"1"), Put("b", b"")))
        second = await store.commit(writes(Put("a", b"2")))
        assert second > first
        assert await store.get("a") == Record("a", b"2", second)
        assert await store.get("b") == Record("b", b"", first)

    place.tell(story)


def test_every_commit_takes_a_higher_revision_even_when_nothing_changes(place: Place) -> None:
    async def story(store: Store) -> None:
        start = (await store.range("")).revision
        none = await store.commit(writes())
        absent = await store.commit(writes(Remove("absent")))
        one = await store.commit(writes(Put("a", b"")))
        assert start < none < absent < one
        if place.is_dense:
            assert (start, none, absent, one) == (0, 1, 2, 3)
        assert (await store.range("")).revision >= one
        assert await changes(store, "", after=0, until=one) == [Change(one, (Event("a", b""),))]

    place.tell(story)


def test_a_range_holds_what_starts_with_the_prefix_in_key_order_and_nothing_else(place: Place) -> None:
    keys = [
        "p",
        "p/",
        "p/a",
        "p/a/b",
        "p/b",
        "p/é",
        "p/\ud7ff",
        "p/\ue000",
        "p/\U0010ffff",
        "p/\U0010ffffx",
        "p0",
        "o",
        "q",
    ]

    async def story(store: Store) -> None:
        revision = await store.commit(writes(*(Put(key, key.encode()) for key in reversed(keys))))
        for prefix in ["", "p", "p/", "p/a", "p/\ud7ff", "p/\U0010ffff", "none"]:
            found = await store.range(prefix)
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert [record.key for record in found.records] == expected, prefix
            assert all(record == Record(record.key, record.key.encode(), revision) for record in found.records)
            assert found.revision >= revision
            assert not found.more

    place.tell(story)


def test_pages_of_a_range_join_to_the_whole(place: Place) -> None:
    async def story(store: Store) -> None:
        await store.commit(writes(*(Put(f"k/{n:03}", b"") for n in range(25)), Put("l", b"")))
        whole = (await store.range("k/")).records
        for limit in (1, 7, 24, 25, 26):
            joined: list[Record] = []
            more = True
            while more:
                page = await store.range("k/", after=joined[-1].key if joined else "", limit=limit)
                assert 0 < len(page.records) <= limit
                joined += page.records
                more = page.more
            assert tuple(joined) == whole
        assert (await store.range("k/", after="a")).records == whole
        assert (await store.range("k/", after="z")).records == ()

    place.tell(story)


def test_a_scan_is_one_snapshot_of_all_its_prefixes_under_writes(place: Place) -> None:
    """What is written together is seen together, however long the reader takes over its pieces."""

    async def story(store: Store) -> None:
        filler = [Put(f"b/{n:05}", b"x" * 100) for n in range(3000)]
        before = await store.commit(writes(Put("a/0", b"old"), Put("c/0", b"old"), Put("d", b""), *filler))
        found: list[Record] = []
        revisions: set[int] = set()
        pieces = 0
        async with aclosing(store.scan(["a/", "none/", "b/", "c/"])) as scan:
            async for piece in scan:
                assert len(piece.records) < 3000
                found += piece.records
                revisions.add(piece.revision)
                pieces += 1
                if pieces <= 3:
                    written = (Put("a/0", b"new"), Put("c/0", b"new"), Put(f"c/1{pieces}", b""), Remove("b/02999"))
                    await store.commit(writes(*written))
        assert pieces > 3
        assert len(revisions) == 1
        assert revisions.pop() >= before
        values = {record.key: record.value for record in found}
        assert len(values) == len(found)
        assert values["a/0"] == values["c/0"]
        is_old = values["c/0"] == b"old"
        assert is_old == ("b/02999" in values) == ("c/11" not in values)
        assert [one for one in values if one < "c"] == sorted(one for one in values if one < "c")
        assert "d" not in values

    place.tell(story)


def test_a_scan_of_nothing_tells_the_revision(place: Place) -> None:
    async def story(store: Store) -> None:
        revision = await store.commit(writes(Put("a", b"")))
        for prefixes in ([], ["none/"], ["none/", "neither/"]):
            pieces = [piece async for piece in store.scan(prefixes)]
            assert pieces
            assert all(piece.records == () and piece.revision >= revision for piece in pieces)

    place.tell(story)


def test_a_scan_that_is_left_half_way_holds_nothing(place: Place) -> None:
    async def story(store: Store) -> None:
        await store.commit(writes(*(Put(f"k/{n:05}", b"x" * 100) for n in range(3000))))
        for _ in range(40):
            async with aclosing(store.scan(["k/"])) as scan:
                await anext(scan)
        assert len((await store.range("k/")).records) == 3000

    place.tell(story)


def test_a_scan_whose_revision_is_forgotten_goes_on_or_says_so(own_place: Place) -> None:
    async def story(store: Store) -> None:
        await store.commit(writes(*(Put(f"k/{n:05}", b"x" * 100) for n in range(3000))))
        found: list[Record] = []
        told = False
        async with aclosing(store.scan(["k/"])) as scan:
            try:
                async for piece in scan:
                    found += piece.records
                    await store.compact(await store.commit(writes(Put("k/99999", b""))))
            except Compacted:
                told = True
        assert told or len(found) == 3000

    own_place.tell(story)


def test_a_large_range_is_one_snapshot_under_writes(place: Place) -> None:
    """Two keys far apart are always written together; no range may show them apart."""

    async def story(store: Store) -> None:
        filler = [Put(f"k/5/{n:05}", b"x" * 100) for n in range(3000)]
        await store.commit(writes(Put("k/0", b"0"), Put("k/9", b"0"), *filler))
        finished = asyncio.Event()

        async def keep_writing() -> None:
            number = 0
            while not finished.is_set():
                number += 1
                await store.commit(writes(Put("k/0", b"%d" % number), Put("k/9", b"%d" % number)))

        async def read() -> None:
            for _ in range(20):
                found = await store.range("k/")
                assert found.records[0].value == found.records[-1].value
                assert found.records[0].revision == found.records[-1].revision <= found.revision
            finished.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_writing())
            tasks.create_task(read())

    place.tell(story)


def test_a_removed_key_is_gone_and_may_come_back(place: Place) -> None:
    async def story(store: Store) -> None:
        await store.commit(writes(Put("a", b"1")))
        await store.commit(writes(Remove("a")))
        assert await store.get("a") is None
        assert (await store.range("")).records == ()
        back = await store.commit(Transaction((Unchanged("a", 0),), (Put("a", b"2"),)))
        assert await store.get("a") == Record("a", b"2", back)

    place.tell(story)


def test_a_compare_that_fails_writes_nothing_takes_no_revision_and_is_named(place: Place) -> None:
    async def story(store: Store) -> None:
        first = await store.commit(writes(Put("a", b"1")))
        good, wrong, full = Unchanged("a", first), Unchanged("b", 7), Empty("a")
        with pytest.raises(Conflict) as conflict:
            await store.commit(Transaction((good, wrong, full), (Put("a", b"2"), Put("c", b""))))
        assert conflict.value.failed == (wrong, full)
        assert conflict.value.revision == first
        assert await store.get("a") == Record("a", b"1", first)
        assert await store.get("c") is None
        assert await store.commit(Transaction((good, Empty("b")), (Put("a", b"3"),))) > first

    place.tell(story)


def test_empty_means_that_no_key_starts_with_the_prefix(place: Place) -> None:
    async def story(store: Store) -> None:
        await store.commit(writes(Put("vpc/a", b""), Put("vpc/b/1", b"")))
        for prefix, holds in [
            ("vpc/", False),
            ("vpc/b", False),
            ("vpc/b/1", False),
            ("vpc/c", True),
            ("w", True),
            ("", False),
        ]:
            attempt = store.commit(Transaction((Empty(prefix),), ()))
            if holds:
                await attempt
            else:
                with pytest.raises(Conflict):
                    await attempt

    place.tell(story)


def test_empty_since_a_revision_means_that_nothing_was_written_there_after_it(place: Place) -> None:
    async def story(store: Store) -> None:
        first = await store.commit(writes(Put("vpc/a", b""), Put("vpc/b", b"")))
        await store.commit(writes(Put("other", b"")))
        seen = await store.commit(Transaction((Empty("vpc/", first),), (Put("vpc/a", b"2"),)))
        with pytest.raises(Conflict):
            await store.commit(Transaction((Empty("vpc/", first),), ()))
        # A removal leaves nothing behind that one has not seen.
        await store.commit(writes(Remove("vpc/b")))
        await store.commit(Transaction((Empty("vpc/", seen),), ()))

        in_one_batch = await asyncio.gather(
            store.commit(writes(Put("vpc/c", b""))),
            store.commit(Transaction((Empty("vpc/", seen),), (Put("vpc/d", b""),))),
            return_exceptions=True,
        )
        put, compared = in_one_batch
        assert isinstance(put, int)
        # Who comes first is the store's to say, but it holds for both.
        assert isinstance(compared, Conflict) or compared < put

    place.tell(story)


def test_transactions_in_flight_together_see_each_other_and_fail_alone(place: Place) -> None:
    """Each wants the prefix empty, puts, and takes away what its predecessor put: arrival order decides."""

    async def story(store: Store) -> None:
        results = await asyncio.gather(
            store.commit(Transaction((Empty("x/"),), (Put("x/1", b"a"),))),
            store.commit(Transaction((Empty("x/"),), (Put("x/2", b"b"),))),
            store.commit(Transaction((), (Remove("x/1"), Remove("x/2")))),
            store.commit(Transaction((Empty("x/"),), (Put("x/3", b"c"),))),
            store.commit(Transaction((Unchanged("x/3", 0),), (Put("x/3", b"d"),))),
            store.commit(Transaction((Unchanged("x/2", 0),), (Put("x/2", b"e"), Remove("x/3")))),
            return_exceptions=True,
        )
        took_effect = sorted(result for result in results if isinstance(result, int))
        assert len(set(took_effect)) == len(took_effect) >= 2
        assert all(isinstance(result, int | Conflict) for result in results)
        replayed: dict[str, tuple[bytes, int]] = {}
        for change in await changes(store, "x/", after=0, until=max(took_effect)):
            for event in change.events:
                if event.value is None:
                    del replayed[event.key]
                else:
                    replayed[event.key] = (event.value, change.revision)
        assert {r.key: (r.value, r.revision) for r in (await store.range("x/")).records} == replayed

    place.tell(story)


def test_of_64_who_want_the_same_key_exactly_one_gets_it(place: Place) -> None:
    async def story(store: Store) -> None:
        revision = 0
        for _ in range(20):
            attempts = (
                store.commit(Transaction((Unchanged("k", revision),), (Put("k", b"%d" % n),))) for n in range(64)
            )
            results = await asyncio.gather(*attempts, return_exceptions=True)
            winners = [n for n, result in enumerate(results) if isinstance(result, int)]
            assert len(winners) == 1
            assert sum(isinstance(result, Conflict) for result in results) == 63
            record = await store.get("k")
            assert record is not None
            assert record.value == b"%d" % winners[0]
            assert record.revision == next(result for result in results if isinstance(result, int))
            revision = record.revision

    place.tell(story)


def test_64_who_count_in_one_key_lose_no_count(place: Place) -> None:
    async def story(store: Store) -> None:
        async def count_up() -> None:
            while True:
                record = await store.get("count")
                number, revision = (int(record.value), record.revision) if record else (0, 0)
                try:
                    await store.commit(
                        Transaction((Unchanged("count", revision),), (Put("count", b"%d" % (number + 1)),))
                    )
                except Conflict:
                    continue
                return

        await asyncio.gather(*(count_up() for _ in range(64)))
        record = await store.get("count")
        assert record is not None
        assert record.value == b"64"

    place.tell(story)


def test_bounds_of_keys_values_and_transactions(place: Place) -> None:
    wrong = [
        writes(Put("k" * 1025, b"")),
        writes(Put("é" * 513, b"")),
        writes(Put("", b"")),
        writes(Put("\ud800", b"")),
        writes(Put("k", bytes(1024 * 1024 + 1))),
        writes(Put("k", b"1"), Put("k", b"2")),
        writes(Put("k", b"1"), Remove("k")),
    ]

    async def story(store: Store) -> None:
        before = (await store.range("")).revision
        for transaction in wrong:
            with pytest.raises(AssertionError):
                await store.commit(transaction)
        assert (await store.range("")) == RangeResult((), before)
        longest, largest = "é" * 512, bytes(range(256)) * 4096
        revision = await store.commit(writes(Put(longest, largest), Put("nul\0inside", b"\0")))
        assert await store.get(longest) == Record(longest, largest, revision)
        assert await store.get("nul\0inside") == Record("nul\0inside", b"\0", revision)
        assert await store.get("nul") is None

    place.tell(story)


def test_a_watch_tells_what_was_then_what_comes_each_change_once(place: Place) -> None:
    async def story(store: Store) -> None:
        one = await store.commit(writes(Put("a/1", b"1"), Put("b/1", b"1")))
        await store.commit(writes(Put("b/2", b"2")))
        three = await store.commit(writes(Remove("a/1"), Put("a/2", b"3"), Remove("a/none")))
        told: list[Change] = []

        async def follow() -> None:
            async for change in store.watch("a/", after=0):
                told.append(change)
                if change.events[-1].value == b"5":
                    return

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await store.commit(writes(Put("b/2", b"4")))
        five = await store.commit(writes(Put("a/2", b"5")))
        await following
        assert told == [
            Change(one, (Event("a/1", b"1"),)),
            Change(three, (Event("a/1", None), Event("a/2", b"3"))),
            Change(five, (Event("a/2", b"5"),)),
        ]
        assert await changes(store, "a/", after=three, until=five) == [Change(five, (Event("a/2", b"5"),))]

    place.tell(story)


def test_a_watch_from_a_revision_to_come_says_nothing_before_it(place: Place) -> None:
    async def story(store: Store) -> None:
        first = await store.commit(writes(Put("k", b"first")))
        to_come = first + 3
        told = asyncio.create_task(anext(store.watch("", after=to_come)))
        last = first
        written = {}
        while last <= to_come:
            last = await store.commit(writes(Put("k", b"%d" % last)))
            written[last] = await store.get("k")
        change = await told
        record = written[last]
        assert record is not None
        assert change == Change(last, (Event("k", record.value),))

    place.tell(story)


def test_a_watch_that_waits_is_told_before_the_caller_is(place: Place) -> None:
    """So that a view is never behind its own process's commits."""

    async def story(store: Store) -> None:
        seen: list[int] = []

        async def follow() -> None:
            async for change in store.watch("", after=0):
                seen.append(change.revision)

        async def write(number: int) -> None:
            revision = await store.commit(writes(Put(f"k/{number}", b"")))
            assert seen[-1] >= revision

        watch = asyncio.create_task(follow())
        await store.commit(writes(Put("k/first", b"")))
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0.001)
        await asyncio.gather(*map(write, range(300)))
        watch.cancel()

    place.tell(story)


def test_who_catches_up_has_seen_what_others_committed_before(place: Place) -> None:
    async def story(store: Store) -> None:
        other = await place.open() if place.is_shared else store
        seen: dict[str, int] = {}

        async def follow() -> None:
            async for change in store.watch("", after=0):
                seen.update((event.key, change.revision) for event in change.events)

        watch = asyncio.create_task(follow())
        for number in range(50):
            revision = await other.commit(writes(Put(f"k/{number}", b"")))
            newest = await store.catch_up("k/")
            assert newest in ((revision,) if place.is_shared else (0, revision))
            await asyncio.sleep(0.001)
            assert seen[f"k/{number}"] == revision
        watch.cancel()
        if other is not store:
            await other.close()

    place.tell(story)


def test_watches_miss_and_repeat_nothing_under_16_writers(place: Place) -> None:
    """Some watch from the start, some begin in between, one reads nothing before all is over."""
    writers, each = 16, 400

    async def story(store: Store) -> None:
        truth: dict[int, tuple[Event, ...]] = {}

        async def write(writer: int) -> None:
            for number in range(each):
                keys = (f"w/{writer}/{number % 7}", f"all/{number % 3}")
                revision = await store.commit(writes(*(Put(key, b"%d" % number) for key in keys)))
                truth[revision] = tuple(Event(key, b"%d" % number) for key in keys)

        def expected(prefix: str, after: int) -> list[Change]:
            seen = ((r, tuple(e for e in truth[r] if e.key.startswith(prefix))) for r in sorted(truth) if r > after)
            return [Change(revision, events) for revision, events in seen if events]

        prefixes = ["", "all/", "all/1", "w/3/"]
        watches = []
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(write(writer)) for writer in range(writers)]
            for prefix in prefixes:
                watches.append((prefix, 0, tasks.create_task(until_the_end(store, prefix, after=0))))
            idle = store.watch("", after=0)
            first = await anext(idle)
            for prefix in prefixes:
                after = (await store.range("", limit=1)).revision
                watches.append((prefix, after, tasks.create_task(until_the_end(store, prefix, after=after))))
                await store.get("w/0/0")
            await asyncio.wait(writing)
            last = tuple(Put(key, b"end") for key in ("all/1", "w/3/0"))
            end = await store.commit(writes(*last))
            assert end > max(truth)
            truth[end] = tuple(Event(put.key, put.value) for put in last)
        for prefix, after, watch in watches:
            assert watch.result() == expected(prefix, after), (prefix, after)
        late = [first]
        while late[-1].revision < end:
            late.append(await anext(idle))
        assert late == expected("", 0)

    place.tell(story)


def test_after_compaction_values_stay_and_older_watches_are_told(own_place: Place) -> None:
    async def story(store: Store) -> None:
        told = [await store.commit(writes(Put(f"k/{number % 10}", b"%d" % number))) for number in range(300)]
        compacted_at, rest = told[-11], told[-10:]
        await store.compact(compacted_at)
        for after in (0, 1, compacted_at - 1):
            with pytest.raises(Compacted) as compacted:
                await anext(store.watch("", after=after))
            assert compacted.value.revision == compacted_at
        assert [c.revision for c in await changes(store, "", after=compacted_at, until=rest[-1])] == rest
        assert len((await store.range("k/")).records) == 10
        await store.compact(told[3])
        assert [c.revision for c in await changes(store, "", after=compacted_at, until=rest[-1])] == rest

    own_place.tell(story)


def test_a_store_opened_anew_tells_of_compaction_too(own_place: Place) -> None:
    """What a removal at the very revision compacted leaves behind is nothing to watch from."""

    async def story() -> None:
        store = await own_place.open()
        one = await store.commit(writes(Put("k", b"1"), Put("stays", b"")))
        gone = await store.commit(writes(Remove("k")))
        await store.compact(gone)
        await store.close()
        store = await own_place.open()
        for after in (one, gone - 1):
            with pytest.raises(Compacted):
                await anext(store.watch("", after=after))
        new = await store.commit(writes(Put("k", b"2")))
        assert await changes(store, "", after=gone, until=new) == [Change(new, (Event("k", b"2"),))]
        await store.close()

    asyncio.run(story())


def test_compacting_everything_keeps_the_revision_counting(own_place: Place) -> None:
    async def story() -> None:
        store = await own_place.open()
        told = [await store.commit(writes(Put("k", b""))) for _ in range(5)]
        assert told == sorted(set(told))
        await store.compact(told[-1] + 1000)
        await store.close()
        store = await own_place.open()
        newest = (await store.range("")).revision
        assert newest >= told[-1]
        with pytest.raises(Compacted):
            await anext(store.watch("", after=told[-1] - 1))
        new = await store.commit(writes(Put("k", b"new")))
        assert new > newest
        assert await changes(store, "", after=newest, until=new) == [Change(new, (Event("k", b"new"),))]
        await store.close()

    asyncio.run(story())


def test_compaction_during_watches_tells_the_truth_or_compacted(own_place: Place) -> None:
    async def story(store: Store) -> None:
        count = 600 if own_place.is_shared else 2000
        written: list[int] = []

        async def follow() -> list[int]:
            """Up to the end or to what was compacted."""
            seen: list[int] = []
            try:
                async for change in store.watch("", after=0):
                    seen.append(change.revision)
                    if change.events[0].value == b"%d" % count:
                        break
            except Compacted as compacted:
                assert compacted.revision > max(seen, default=0)
            return seen

        async with asyncio.TaskGroup() as tasks:
            watches = [tasks.create_task(follow()) for _ in range(4)]
            for number in range(1, count + 1):
                written.append(await store.commit(writes(Put("k", b"%d" % number))))
                if number % 100 == 0:
                    await store.compact(written[-50])
        for watch in watches:
            seen = watch.result()
            assert seen
            assert seen == written[: len(seen)]

    own_place.tell(story)


def test_a_watch_left_behind_by_compaction_is_told_and_does_not_skip(own_place: Place) -> None:
    async def story(store: Store) -> None:
        watch = store.watch("", after=0)
        written = [await store.commit(writes(Put("k", b"")))]
        assert (await anext(watch)).revision == written[0]
        for _ in range(6):
            written += await asyncio.gather(*(store.commit(writes(Put(f"k/{n}", b""))) for n in range(1000)))
        written.sort()
        compacted_at = written[-11]
        await store.compact(compacted_at)
        seen = 1
        try:
            async for change in watch:
                assert change.revision == written[seen]
                seen += 1
                if seen == len(written):
                    break
        except Compacted as compacted:
            # Commits of one moment are forgotten together, or not at all.
            is_exact = own_place.is_dense
            assert compacted.revision == compacted_at if is_exact else compacted.revision <= compacted_at
            assert written[seen] < compacted_at

    own_place.tell(story)


def test_history_is_compacted_by_itself_to_about_what_is_to_be_kept(own_place: Place) -> None:
    async def story() -> None:
        store = await own_place.open(keep_revisions=300)
        written: list[int] = []
        compacted_at = 0
        for _ in range(20):
            written += await asyncio.gather(*(store.commit(writes(Put(f"k/{n}", b""))) for n in range(100)))
        async with asyncio.timeout(10):
            while not 300 <= sum(one > compacted_at for one in written) <= 1000:
                with pytest.raises(Compacted) as compacted:
                    await anext(store.watch("", after=0))
                compacted_at = compacted.value.revision
        assert len((await store.range("k/")).records) == 100
        await store.close()

    asyncio.run(story())


def test_a_cancelled_watch_ends_and_harms_nobody(place: Place) -> None:
    async def story(store: Store) -> None:
        doomed = asyncio.create_task(until_the_end(store, "", after=0))
        other = asyncio.create_task(until_the_end(store, "", after=0))
        one = await store.commit(writes(Put("k", b"1")))
        await asyncio.sleep(0)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        two = await store.commit(writes(Put("k", b"end")))
        assert [change.revision for change in await other] == [one, two]

    place.tell(story)


def test_a_caller_who_leaves_does_not_disturb_the_others(place: Place) -> None:
    async def story(store: Store) -> None:
        tasks = [asyncio.create_task(store.commit(writes(Put(f"k/{n}", b"")))) for n in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        stayed = await asyncio.gather(*tasks[1::2])
        assert len(set(stayed)) == 25
        present = {record.key for record in (await store.range("k/")).records}
        assert present >= {f"k/{n}" for n in range(1, 50, 2)}

    place.tell(story)


def test_close_ends_watches_carries_out_what_was_asked_and_refuses_the_rest(place: Place) -> None:
    async def story() -> None:
        store = await place.open()

        async def follow() -> list[int]:
            return [change.revision async for change in store.watch("", after=0)]

        watch = asyncio.create_task(follow())
        first = await store.commit(writes(Put("k", b"")))
        await asyncio.sleep(0)
        asked = [asyncio.create_task(store.commit(writes(Put(f"k/{n}", b"")))) for n in range(10)]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(store.close(), store.close())
            assert (await watch)[:1] == [first]
            revisions = await asyncio.gather(*asked)
            assert len({first, *revisions}) == 11
            assert min(revisions) > first
        for call in (
            store.get("k"),
            store.range("k"),
            store.commit(writes()),
            anext(store.watch("", after=0)),
        ):
            with pytest.raises(Failure) as failure:
                await call
            assert failure.value.code == "STORE_UNAVAILABLE"
        store = await place.open()
        found = await store.range("")
        assert found.revision >= max(revisions)
        assert len(found.records) == 11
        await store.close()

    asyncio.run(story())
