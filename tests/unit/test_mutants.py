"""The faults that `make mutate` puts into the compilers are of today's compilers."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from weftwork.testing.mutation.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.plane}: {one.means}")
def test_a_fault_can_be_put_in(mutant: Mutant) -> None:
    spec = importlib.util.find_spec(mutant.module)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), spec.origin, "exec")


def test_each_compiler_is_broken_in_thirty_ways_and_more() -> None:
    assert min(Counter(one.plane for one in MUTANTS).values()) > 30
