"""Two programs for one target: what the server tells, and what is asked at the host. Neither takes from the other.

What both hold stands while one of them does. Where they want different things of one place, the server's is made, and
what is asked here waits, and says so. A change costs what it touches, in either.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from weftwork.base.errors import Failure
from weftwork.program.linux import Vtep
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.channel import ProgramChange

Submit = Callable[[ProgramChange], None]


class Layers:
    """Tells changes of both together. Until the server's program is known nothing is told: the rest of it would go."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._told: dict[Key, Resource] | None = None
        self._told_vnis: Counter[int] = Counter()
        self._asked: dict[Key, Resource] = {}
        self._holders: Counter[Resource] = Counter()
        """How many stacks ask for a resource."""
        self._vteps: set[Key] = set()
        """Those that are asked for."""
        self._generation = 0
        self._term = 0

    @property
    def is_ready(self) -> bool:
        return self._told is not None

    def tell(self, change: ProgramChange) -> None:
        """The server's, as it comes."""
        self._generation, self._term = change.generation, change.term
        if change.complete or self._told is None:
            self._told = {one.key: one for one in change.added}
            self._told_vnis = Counter(one.vni for one in change.added if isinstance(one, Vtep))
            fits = {key: one for key in self._asked if (one := self._now(key)) is not None}
            everything = frozenset((self._told | fits).values())
            self._submit(ProgramChange(change.generation, True, everything, term=change.term))
            return
        if not self._asked:
            self._follow(change)
            self._submit(change)
            return
        touched = {one.key for one in (*change.added, *change.removed)}
        if any(isinstance(one, Vtep) for one in (*change.added, *change.removed)):
            touched |= self._vteps
        before = {key: self._now(key) for key in touched}
        self._follow(change)
        self._submit_difference(before)

    def ask(self, added: Program, removed: Program = frozenset()) -> None:
        """What a stack comes to want here, and what it wants no more."""
        before = {one.key: self._now(one.key) for one in (*added, *removed)}
        self._hold(added, removed)
        if self._told is not None:
            self._submit_difference(before)

    def _follow(self, change: ProgramChange) -> None:
        assert self._told is not None
        for one in change.removed:
            self._told.pop(one.key, None)
        self._told |= {one.key: one for one in change.added}
        self._told_vnis.subtract(one.vni for one in change.removed if isinstance(one, Vtep))
        self._told_vnis.update(one.vni for one in change.added if isinstance(one, Vtep))

    def _hold(self, added: Program, removed: Program) -> None:
        for one in removed:
            self._holders[one] -= 1
            if not self._holders[one]:
                del self._holders[one]
                if self._asked.get(one.key) == one:
                    del self._asked[one.key]
                    self._vteps.discard(one.key)
        for one in added:
            self._holders[one] += 1
            self._asked[one.key] = one
            if isinstance(one, Vtep):
                self._vteps.add(one.key)

    def _now(self, key: Key) -> Resource | None:
        """What is to stand there."""
        told = self._told.get(key) if self._told is not None else None
        if told is not None:
            return told
        return None if self._why_waiting(key) else self._asked.get(key)

    def _why_waiting(self, key: Key) -> Failure | None:
        asked, told = self._asked.get(key), (self._told or {}).get(key)
        if asked is not None and told is not None and told != asked:
            return Failure("VNI_TAKEN", f"the server's program holds another {' '.join(key)}")
        if isinstance(asked, Vtep) and told is None and self._told_vnis[asked.vni] > 0:
            return Failure("VNI_TAKEN", f"a network of the server's has VNI {asked.vni} here")
        return None

    def _submit_difference(self, before: Mapping[Key, Resource | None]) -> None:
        now = {key: self._now(key) for key in before}
        removed = frozenset(one for key, one in before.items() if one is not None and now[key] != one)
        added = frozenset(one for key, one in now.items() if one is not None and before[key] != one)
        self._submit(ProgramChange(self._generation, False, added, removed, term=self._term))

    def is_only_asked(self, key: Key) -> bool:
        """Whether the server knows nothing of it."""
        return key in self._asked and key not in (self._told or {}) and self._now(key) is not None

    def without_asked(self, program: Iterable[Resource]) -> Program:
        """What the server may take for its own, or for nobody's."""
        return frozenset(one for one in program if not self.is_only_asked(one.key))

    def failures_in(self, scope: str, failures: Mapping[Key, Failure]) -> dict[Key, Failure]:
        """What of a stack does not work, or waits."""
        waiting = {key: why for key in self._vteps if key[1] == scope and (why := self._why_waiting(key))}
        return waiting | {key: why for key, why in failures.items() if key[1] == scope}
