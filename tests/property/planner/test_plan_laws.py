"""Laws of plans, over programs in which keys collide often."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.planner.plan import make_plan
from weftwork.program.linux import Family, Namespace, NftElement, Sysctl
from weftwork.program.plan import Create, Delete, Replace, Step
from weftwork.program.resource import Program, Resource

SCOPES = st.sampled_from(("weft-1", "weft-2"))
WORDS = st.sampled_from(("a", "b", "c"))
RESOURCES: st.SearchStrategy[Resource] = st.one_of(
    st.builds(Namespace, SCOPES, WORDS),
    st.builds(Sysctl, SCOPES, WORDS, WORDS),
    st.builds(NftElement, SCOPES, st.just(Family.INET), WORDS, WORDS, WORDS),
)
PROGRAMS = st.lists(RESOURCES, unique_by=lambda resource: resource.key, max_size=12).map(frozenset[Resource])


def apply(state: Program, step: Step) -> Program:
    """What a target does with a step; a step that does not fit the state is an error."""
    match step:
        case Create(new):
            assert new.key not in {one.key for one in state}
            return state | {new}
        case Replace(old, new):
            assert old in state
            assert old.key == new.key
            return (state - {old}) | {new}
        case Delete(old):
            assert old in state
            return state - {old}


@given(PROGRAMS, PROGRAMS)
def test_carrying_out_the_plan_gives_what_is_desired(desired: Program, observed: Program) -> None:
    assert reduce(apply, make_plan(desired=desired, observed=observed), observed) == desired


@given(PROGRAMS)
def test_nothing_is_to_do_when_all_is_as_desired(program: Program) -> None:
    assert make_plan(desired=program, observed=program) == ()


@given(PROGRAMS, PROGRAMS)
def test_what_is_made_goes_up_the_ranks_and_then_what_is_deleted_goes_down(desired: Program, observed: Program) -> None:
    plan = make_plan(desired=desired, observed=observed)

    made = [step.new.rank for step in plan if not isinstance(step, Delete)]
    gone = [step.old.rank for step in plan if isinstance(step, Delete)]
    assert [isinstance(step, Delete) for step in plan] == [False] * len(made) + [True] * len(gone)
    assert made == sorted(made)
    assert gone == sorted(gone, reverse=True)


@given(PROGRAMS, PROGRAMS, WORDS)
def test_the_plan_of_some_keys_is_that_part_of_the_whole_plan(desired: Program, observed: Program, word: str) -> None:
    def cut(program: Program) -> Program:
        return frozenset(one for one in program if one.key[-1] == word)

    def key_of(step: Step) -> tuple[str, ...]:
        return step.old.key if isinstance(step, Delete) else step.new.key

    whole = make_plan(desired=desired, observed=observed)
    part = make_plan(desired=cut(desired), observed=cut(observed))
    assert part == tuple(step for step in whole if key_of(step)[-1] == word)


def test_two_resources_with_one_key_are_our_mistake() -> None:
    twice = frozenset({Sysctl("weft-1", "a", "0"), Sysctl("weft-1", "a", "1")})

    with pytest.raises(AssertionError, match="two resources share a key"):
        make_plan(desired=twice, observed=frozenset())
