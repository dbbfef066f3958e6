"""Seeds faults, and judges right programs.

A run finds every fault but the hidden ones, which no packet can show, and has nothing to say about right programs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults.draw import KINDS, Draw, draw_fault
from weftwork.testing.faults.hidden import is_hidden
from weftwork.testing.faults.tally import Faults
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Fault as Kind

PROFILES = {
    "br_netfilter": HostProfile(external=make.EXTERNAL),
    "bridge": HostProfile(filter_mode="bridge", external=make.EXTERNAL),
    "vlan": HostProfile(filter_mode="bridge", layout="vlan", external=make.EXTERNAL),
}
_PER_CASE = 4


def compiled(intent: Intent, profile: HostProfile) -> Assembly:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    return assembly


@dataclass(frozen=True, slots=True)
class World:
    """What a seed gives: intents as a machine sees them, what it is, and what its judge knows."""

    before: Intent
    after: Intent
    profile: HostProfile
    view: Callable[[Program], ProgramView]


def one_machine(seed: int) -> World:
    case, profiles = draw_case(seed), list(PROFILES.values())
    return World(case.before, case.after or {}, profiles[seed % len(profiles)], _view)


def _view(program: Program) -> ProgramView:
    return ProgramView(program, gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs)


def seed_faults(
    count: int,
    first_seed: int = 0,
    *,
    world_of: Callable[[int], World] = one_machine,
    kinds: Mapping[str, Draw] = KINDS,
) -> Faults:
    """Three of four faults are a change of a program that stands, one is in a program from nothing."""
    tally = Faults()
    seed = first_seed
    while tally.seeded.total() < count:
        world = world_of(seed)
        program = compiled(world.before, world.profile).program()
        view, random = world.view(program), Random(seed)
        for number in range(_PER_CASE):
            fault = draw_fault(random, program, kinds)
            tally.seeded[fault.kind] += 1
            if number % _PER_CASE:
                violations = judge(view, fault, world.before)
            else:
                whole = Delta(fault.apply(program), frozenset())
                violations = judge(world.view(frozenset()), whole, world.before)
            if violations:
                tally.found += 1
                tally.proven += any(one.intended is not None for one in violations)
                tally.alarms += any(one.fault is Kind.ISOLATION for one in violations)
            elif is_hidden(fault, program):
                tally.hidden += 1
            else:
                tally.missed.append(f"seed {seed}, {number}: {fault}")
        seed += 1
    return tally


def false_alarms(count: int, first_seed: int = 0, *, world_of: Callable[[int], World] = one_machine) -> Iterator[str]:
    """What the judge says of right programs: one from nothing, and one that it becomes, for each seed."""
    for seed in range(first_seed, first_seed + (count + 1) // 2):
        world = world_of(seed)
        assembly = compiled(world.before, world.profile)
        view = world.view(frozenset())
        first = Delta(assembly.program(), frozenset())
        violations = judge(view, first, world.before)
        view.apply(added=first.added)
        slices = slices_of(world.before) | slices_of(world.after)
        delta = assembly.replace_slices({one: compile_slice(world.after, one, world.profile) for one in slices})
        violations += judge(view, delta, world.after)
        yield from (f"seed {seed}: {one} {one.packet}" for one in violations)
