"""Two programs for one target: what the server tells, and what is asked at the host. Neither takes from the other.

What both hold stands while one of them does. Where they want different things of one place, the server's is made, and
what is asked here waits, and says so.
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
        self._vnis: Counter[int] = Counter()
        self._asked: dict[int, Program] = {}
        self._holders: Counter[Resource] = Counter()
        self._in_force: dict[Key, Resource] = {}
        self._generation = 0
        self._term = 0

    def tell(self, change: ProgramChange) -> None:
        """The server's, as it comes."""
        self._generation, self._term = change.generation, change.term
        if change.complete or self._told is None:
            self._told = {one.key: one for one in change.added}
            self._vnis = Counter(one.vni for one in change.added if isinstance(one, Vtep))
        else:
            self._vnis.subtract(one.vni for one in change.removed if isinstance(one, Vtep))
            self._vnis.update(one.vni for one in change.added if isinstance(one, Vtep))
            self._vnis = +self._vnis
            for one in change.removed:
                self._told.pop(one.key, None)
            self._told |= {one.key: one for one in change.added}
        if not self._asked:
            self._submit(change)
            return
        before = self._in_force
        self._in_force = self._wanted()
        touched = {*change.added, *change.removed} if not change.complete else set()
        if change.complete:
            everything = frozenset({**self._in_force, **self._told}.values())
            self._submit(ProgramChange(change.generation, True, everything, term=change.term))
            return
        keys = {one.key for one in touched} | set(before.keys() ^ self._in_force.keys())
        self._submit_difference({key: self._before(key, before, change) for key in keys}, self._now_of(keys))

    def _before(self, key: Key, in_force: Mapping[Key, Resource], change: ProgramChange) -> Resource | None:
        removed = {one.key: one for one in change.removed}
        if key in removed:
            return removed[key]
        added = {one.key for one in change.added}
        assert self._told is not None
        told = None if key in added else self._told.get(key)
        return told or in_force.get(key)

    def ask(self, vpc_id: int, program: Program) -> None:
        """What is wanted here for a stack; nothing for one that goes."""
        before = dict(self._in_force)
        for one in self._asked.pop(vpc_id, frozenset()):
            self._holders[one] -= 1
            if not self._holders[one]:
                del self._holders[one]
        if program:
            self._asked[vpc_id] = program
            self._holders.update(program)
        self._in_force = self._wanted()
        if self._told is None:
            return
        keys = before.keys() | self._in_force.keys()
        self._submit_difference({key: self._told.get(key) or before.get(key) for key in keys}, self._now_of(keys))

    def _now_of(self, keys: Iterable[Key]) -> Mapping[Key, Resource | None]:
        assert self._told is not None
        return {key: self._told.get(key) or self._in_force.get(key) for key in keys}

    def _wanted(self) -> dict[Key, Resource]:
        """Of what is asked here, all that the server's leaves room for."""
        withheld = self._withheld()
        return {one.key: one for one in self._holders if one.key not in withheld}

    def _withheld(self) -> Mapping[Key, Failure]:
        told = self._told or {}
        found: dict[Key, Failure] = {}
        for one in self._holders:
            if one.key in told and told[one.key] != one:
                found[one.key] = Failure("VNI_TAKEN", f"the server's program holds another {' '.join(one.key)}")
            elif isinstance(one, Vtep) and one.vni in self._vnis:
                found[one.key] = Failure("VNI_TAKEN", f"a network of the server's has VNI {one.vni} here")
        return found

    def _submit_difference(self, old: Mapping[Key, Resource | None], new: Mapping[Key, Resource | None]) -> None:
        removed = frozenset(one for key, one in old.items() if one is not None and new[key] != one)
        added = frozenset(one for key, one in new.items() if one is not None and old[key] != one)
        self._submit(ProgramChange(self._generation, False, added, removed, term=self._term))

    def is_only_asked(self, key: Key) -> bool:
        """Whether the server knows nothing of it."""
        return key in self._in_force and key not in (self._told or {})

    def without_asked(self, program: Iterable[Resource]) -> Program:
        """What the server may take for its own, or for nobody's."""
        return frozenset(one for one in program if not self.is_only_asked(one.key))

    def failures_of(self, program: Program, failures: Mapping[Key, Failure]) -> dict[Key, Failure]:
        """What of a stack does not work, or waits."""
        withheld = self._withheld()
        keys = [one.key for one in program]
        return {key: why for key in keys if (why := withheld.get(key) or failures.get(key))}

    @property
    def is_ready(self) -> bool:
        return self._told is not None
