"""A fault, and how one is drawn from a program."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from weftwork.base.addresses import Mac
from weftwork.program.resource import Program, Resource

EPOCHS = ("epoch", "stamp")
STRANGER = "203.0.113.77"
STRANGE_MAC = Mac("02:57:00:99:00:99")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` in words; the resources that come and go."""

    kind: str
    added: Program
    removed: Program

    @property
    def scope(self) -> str:
        return next(iter(self.added | self.removed)).scope

    def apply(self, program: Program) -> Program:
        return (program - self.removed) | self.added

    def __str__(self) -> str:
        gone, come = (sorted(map(repr, one)) for one in (self.removed, self.added))
        return f"{self.kind}\n  - {gone}\n  + {come}"


Change = tuple[Resource | None, Resource | None]
"""What is there (None: something new), and what stands there instead (None: nothing)."""


def one_of(
    random: Random, ordered: list[Resource], kind: type, test: Callable[..., bool] = lambda _: True
) -> Resource | None:
    found = [one for one in ordered if isinstance(one, kind) and test(one)]
    return random.choice(found) if found else None


def is_in_vpc(one: Resource) -> bool:
    return one.scope.startswith("weft-1")
