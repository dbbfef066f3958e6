"""What the server tells and what is asked at the host, on one target: a law over histories of both."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.agent.layers import Layers
from weftwork.base.addresses import Mac
from weftwork.program.linux import Bridge, Family, Namespace, NftElement, NftTable, Vtep
from weftwork.program.resource import Program, Resource
from weftwork.seams.channel import ProgramChange

HERE = IPv4Address("192.0.2.1")
MAC = Mac("02:47:00:00:00:01")
SHARED: tuple[Resource, ...] = (
    NftTable("", Family.INET),
    *(NftElement("", Family.INET, "vteps", f"192.0.2.{number}") for number in (2, 3)),
)


def _vtep(scope: str, vni: int) -> Vtep:
    return Vtep(scope, "vx5", "br5", vni, HERE, MAC, 1450)


def _of(scope: str) -> list[Resource]:
    return [
        Namespace(scope, scope),
        Bridge(scope, "br5", MAC, 1450),
        Bridge(scope, "br5", MAC, 1500),
        *(_vtep(scope, vni) for vni in (7, 8)),
        *SHARED,
    ]


def _programs(scope: str) -> st.SearchStrategy[Program]:
    """One resource for each key."""
    some = st.lists(st.sampled_from(_of(scope)), unique_by=lambda one: one.key)
    return some.map(frozenset)


HISTORIES = st.lists(
    st.one_of(
        st.tuples(st.just("told"), _programs("weft-1"), st.booleans()),
        st.tuples(st.sampled_from([7, 8]), _programs("weft-l2-7"), st.booleans()),
    ),
    max_size=12,
)


class Target:
    """What a loop makes of changes. Each must speak of what is there."""

    def __init__(self) -> None:
        self.content: dict[tuple[str, ...], Resource] | None = None
        self.generations: list[int] = []

    def submit(self, change: ProgramChange) -> None:
        self.generations.append(change.generation)
        if change.complete:
            self.content = {one.key: one for one in change.added}
            return
        assert self.content is not None, "before the server's program is known, nothing is told"
        for one in change.removed:
            assert self.content.pop(one.key) == one
        for one in change.added:
            assert one.key not in self.content
            self.content[one.key] = one


@given(HISTORIES)
@settings(max_examples=150)
def test_all_that_is_told_stands_and_of_what_is_asked_all_that_it_leaves_room_for(
    history: list[tuple[str | int, Program, bool]],
) -> None:
    target = Target()
    layers = Layers(target.submit)
    told: Program | None = None
    asked: dict[int, Program] = {}
    for generation, (whose, program, complete) in enumerate(history, 1):
        if isinstance(whose, int):
            mine = frozenset(_in(whose, one) for one in program)
            layers.ask(mine - asked.get(whose, frozenset()), asked.get(whose, frozenset()) - mine)
            asked[whose] = mine
        else:
            is_whole = complete or told is None
            gone, new = (told or frozenset()) - program, program - (told or frozenset())
            layers.tell(
                ProgramChange(generation, is_whole, program if is_whole else new, frozenset() if is_whole else gone)
            )
            told = program
        if told is None:
            assert target.content is None
            continue
        assert target.content is not None
        vnis = {one.vni for one in told if isinstance(one, Vtep)}
        keys = {one.key: one for one in told}
        everything = frozenset(one for mine in asked.values() for one in mine)
        fits = {
            one
            for one in everything
            if keys.get(one.key, one) == one and not (isinstance(one, Vtep) and one.vni in vnis)
        }
        assert frozenset(target.content.values()) == told | fits
        assert layers.without_asked(target.content.values()) == told
        assert target.generations == sorted(target.generations)


def _in(vpc_id: int, one: Any) -> Resource:
    """The like in another stack's namespace; what is the host's own is everybody's."""
    made: Resource = replace(one, scope=f"weft-l2-{vpc_id}") if one.scope else one
    return made


def test_what_waits_for_the_server_says_so_and_is_made_when_there_is_room() -> None:
    target = Target()
    layers = Layers(target.submit)
    mine, theirs = _vtep("weft-l2-7", 7), _vtep("weft-1", 7)
    layers.tell(ProgramChange(1, True, frozenset({theirs})))

    layers.ask(frozenset({mine}))

    assert {why.code for why in layers.failures_in("weft-l2-7", {}).values()} == {"VNI_TAKEN"}
    layers.tell(ProgramChange(2, False, frozenset(), frozenset({theirs})))
    assert layers.failures_in("weft-l2-7", {}) == {}
    assert target.content == {mine.key: mine}
