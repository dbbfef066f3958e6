"""Seeds faults into rows of OVN, and judges right rows. What the judge does not find, no packet may show."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import product
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly, Delta
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults import of_acls, of_rows
from weftwork.testing.faults.fault import Change, Fault
from weftwork.testing.faults.tally import Faults
from weftwork.verifier.model import address_of
from weftwork.verifier.ovn.judge import judge
from weftwork.verifier.ovn.model import OvnModel
from weftwork.verifier.ovn.view import RowsView
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Probe
from weftwork.verifier.violation import Fault as Kind
from weftwork.verifier.violation import Violation

PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("chassis",))
KINDS: dict[str, Callable[[Random, list[Resource]], Change | None]] = {
    "a rule is missing": of_acls.acl_gone,
    "a rule of the guard is missing": of_acls.guard_gone,
    "a rule looks the wrong way": of_acls.acl_altered(of_acls.other_direction),
    "a rule is off by one": of_acls.acl_altered(of_acls.off_by_one),
    "a rule asks the wrong set": of_acls.acl_altered(of_acls.other_set),
    "a rule lets pass what it should drop": of_acls.acl_altered(of_acls.let_through),
    "a rule asks for less": of_acls.acl_altered(of_acls.asks_for_less),
    "a rule's range is wider": of_acls.acl_altered(of_acls.other_range),
    "a rule comes too early or too late": of_acls.acl_altered(of_acls.other_priority),
    "a rule is another group's": of_acls.acl_altered(of_acls.on_another),
    "a rule is about everybody": of_acls.acl_altered(of_acls.about_all),
    **of_rows.KINDS,
}
_PER_CASE = 4
_Services = tuple[tuple[int, int], ...]
_SERVICES: _Services = (
    *((TCP, 80), (UDP, 53), (253, 0)),
    *((TCP, 443), (TCP, 1000), (TCP, 2001), (UDP, 4789), (ICMP, 0), (47, 0)),
)


def compiled(intent: Intent) -> Assembly:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    return assembly


def nothing_yet() -> RowsView:
    return RowsView(gateway=make.EXTERNAL.gateway, networks=make.EXTERNAL.cidrs)


def draw_fault(random: Random, program: Program) -> Fault:
    """One of every kind that the program has a place for, all kinds alike."""
    ordered, kinds = sorted(program, key=lambda one: one.key), list(KINDS)
    while True:
        kind = random.choice(kinds)
        drawn = KINDS[kind](random, ordered)
        if drawn is not None and drawn[0] != drawn[1]:
            old, new = drawn
            return Fault(kind, frozenset({new} if new else ()), frozenset({old} if old else ()))
        kinds.remove(kind)


def seed_faults(count: int, first_seed: int = 0) -> Faults:
    """Three of four faults are a change of rows that stand, one is in rows from nothing."""
    tally, seed = Faults(), first_seed
    while tally.seeded.total() < count:
        intent = draw_case(seed).before
        program = compiled(intent).program()
        view, random = nothing_yet(), Random(seed)
        view.apply(added=program)
        for number in range(_PER_CASE):
            fault = draw_fault(random, program)
            tally.seeded[fault.kind] += 1
            if number % _PER_CASE:
                violations = judge(view, fault, intent)
            else:
                violations = judge(nothing_yet(), Delta(fault.apply(program), frozenset()), intent)
            _count(tally, intent, program, fault, violations, f"seed {seed}, {number}: {fault}")
        seed += 1
    return tally


def _count(
    tally: Faults, intent: Intent, program: Program, fault: Fault, violations: tuple[Violation, ...], told: str
) -> None:
    """A fault that lets a tenant's packet come to another must be told as that, for nothing else is kept back."""
    is_alarm = any(one.fault is Kind.ISOLATION for one in violations)
    tally.alarms += is_alarm
    services = _SERVICES[:3] if violations else _SERVICES
    shown = () if is_alarm else tuple(_shown(intent, program, fault.apply(program), services))
    if any(one.meets for one in shown):
        tally.missed.append(f"{told}\n  no alarm, though {next(one for one in shown if one.meets).probe}")
    elif violations:
        tally.found += 1
        tally.proven += any(one.intended is not None for one in violations)
    elif shown:
        tally.missed.append(f"{told}\n  though {shown[0].probe}")
    else:
        tally.hidden += 1


@dataclass(frozen=True, slots=True)
class _Shown:
    """A packet that the fault treats otherwise. `meets`: it comes to another tenant that it did not come to."""

    probe: Probe
    meets: bool


def _shown(intent: Intent, right: Program, wrong: Program, services: _Services) -> Iterator[_Shown]:
    """By everything that everybody could send; by rows alone, so that no intent can be misread."""
    owners = {own.vpc.netns: owner for owner, own in intent.items() if own.vpc}
    before, after = OvnModel(right, owners), OvnModel(wrong, owners)
    for probe in _everything(intent, services):
        was, now = before.verdict(probe), after.verdict(probe)
        if (was.receiver, was.seen) != (now.receiver, now.seen):
            yield _Shown(probe, now.delivered and _whose(now.receiver) not in (None, _whose(probe.source)))


def _whose(end: object) -> ProjectKey | None:
    owner = getattr(end, "owner", None)
    return owner if isinstance(owner, ProjectKey) else None


def _everything(intent: Intent, services: _Services) -> Iterator[Probe]:
    ports = [(owner, port) for owner, own in intent.items() for port in own.ports.values() if port.attachment]
    external = {dnat.external_ip for own in intent.values() for dnat in own.dnats.values()}
    external |= {own.snat.external_ip for own in intent.values() if own.snat}
    inside = {address for _, port in ports if (address := address_of(port))}
    gateways = {subnet.gateway for own in intent.values() for subnet in own.subnets.values()}
    far = IPv4Address(str(make.EXTERNAL.gateway))
    addresses = sorted(one for one in {*inside, *gateways, *external, far} if isinstance(one, IPv4Address))
    for (_, port), there, (protocol, number) in product(ports, addresses, services):
        yield Probe(Inside(port.home, port.id), there, protocol, 40000, number)
    for there, (protocol, number) in product(addresses, services):
        if there in external:
            yield Probe(Outside(far), there, protocol, 40000, number)


def false_alarms(count: int, first_seed: int = 0) -> Iterator[str]:
    """What the judge says of right rows: some from nothing, and what they become, for each seed."""
    for seed in range(first_seed, first_seed + (count + 1) // 2):
        case = draw_case(seed)
        after = case.after or {}
        assembly, view = compiled(case.before), nothing_yet()
        first = Delta(assembly.program(), frozenset())
        violations = judge(view, first, case.before)
        view.apply(added=first.added)
        slices = slices_of(case.before) | slices_of(after)
        delta = assembly.replace_slices({one: compile_slice(after, one, PROFILE) for one in slices})
        violations += judge(view, delta, after)
        yield from (f"seed {seed}: {one} {one.packet}" for one in violations)
