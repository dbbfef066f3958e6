"""Who may start over what stands."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.apps import deployment
from weftwork.apps.deployment import Deployment
from weftwork.apps.settings import Settings
from weftwork.base.errors import Refusal
from weftwork.seams.marking import Standing
from weftwork.seams.store import Put, Transaction
from weftwork.store.sqlite import SqliteStore

IDS = st.sampled_from(["", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"])


class Target:
    """Things with marks, in memory."""

    def __init__(self, marks: dict[str, str], own: str) -> None:
        self.marks = marks
        self._own = own

    async def standing(self) -> Standing:
        whose = set(self.marks.values())
        return {one: frozenset(thing for thing, mark in self.marks.items() if mark == one) for one in whose}

    async def adopt(self, deployments: frozenset[str]) -> None:
        self.marks |= {thing: self._own for thing, mark in self.marks.items() if mark in deployments}


@given(
    IDS.filter(bool), st.sets(IDS), st.dictionaries(st.sampled_from("vwxyz"), IDS), st.dictionaries(st.just("q"), IDS)
)
async def test_after_a_start_everything_is_ours_and_after_a_refusal_all_is_as_it_was(
    own: str, adopts: set[str], first: dict[str, str], second: dict[str, str]
) -> None:
    one, two = Target(dict(first), own), Target(dict(second), own)
    others = {*first.values(), *second.values()} - {own}

    try:
        await Deployment(own, frozenset(adopts)).take_over(one, two)
    except Refusal as refusal:
        assert not others <= adopts
        assert refusal.code == "DEPLOYMENT_DIFFERS"
        assert one.marks == first and two.marks == second
        for other in others - adopts:
            assert deployment.name_of(other) in refusal.message
    else:
        assert others <= adopts
        assert set(one.marks.values()) | set(two.marks.values()) <= {own}


async def test_a_store_is_one_deployment_for_ever_and_another_store_is_another(tmp_path: Path) -> None:
    ids = []
    for name in ("one.db", "one.db", "two.db"):
        store = await SqliteStore.open(tmp_path / name)
        ids.append((await deployment.of_store(store, ())).id)
        assert await deployment.recorded(Settings(storage_path=str(tmp_path / name))) == ids[-1], (
            "also while it is open"
        )
        await store.close()

    assert ids[0] == ids[1] != ids[2]


async def test_only_a_store_that_asks_for_something_adopts_what_is_unmarked_unasked(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db")
    assert (await deployment.of_store(store, ())).adopts == frozenset()
    assert (await deployment.of_store(store, ("unmarked", "aa"))).adopts == {"", "aa"}

    await store.commit(Transaction((), (Put("/networks/vpcs/acme/shop", b"{}"),)))

    assert (await deployment.of_store(store, ())).adopts == {""}
    await store.close()


@pytest.mark.parametrize("content", [None, b"", b"no database" * 100])
async def test_a_store_that_cannot_be_read_has_no_deployment(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "store.db").write_bytes(content)

    assert await deployment.recorded(Settings(storage_path=str(tmp_path / "store.db"))) is None
