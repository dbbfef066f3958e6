"""The difference between two programs as ordered steps.

Both sides may be cut to the same subset of keys: the plan is then the part of the whole plan that concerns them.
"""

from itertools import pairwise

from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource


def make_plan(*, desired: Program, observed: Program) -> Plan:
    """Steps from `observed` to `desired`: creations and replacements by rank, then deletions from the highest rank.

    Equal programs give the same plan in any process: steps of one rank go by key.
    """
    wanted, present = _by_key(desired), _by_key(observed)
    made = sorted(desired - observed, key=_rank_and_key)
    gone = sorted((old for key, old in present.items() if key not in wanted), key=_falling_rank_and_key)
    return (*(_step_to(new, present.get(new.key)) for new in made), *(Delete(old) for old in gone))


def _step_to(new: Resource, old: Resource | None) -> Step:
    return Create(new) if old is None else Replace(old, new)


def _by_key(program: Program) -> dict[Key, Resource]:
    by_key = {resource.key: resource for resource in program}
    assert len(by_key) == len(program), f"two resources share a key: {_shared_keys(program)}"
    return by_key


def _shared_keys(program: Program) -> list[Key]:
    keys = sorted(resource.key for resource in program)
    return [key for key, following in pairwise(keys) if key == following]


def _rank_and_key(resource: Resource) -> tuple[int, Key]:
    return (resource.rank, resource.key)


def _falling_rank_and_key(resource: Resource) -> tuple[int, Key]:
    return (-resource.rank, resource.key)
