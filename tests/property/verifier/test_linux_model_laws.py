"""What programs say and what intents say is the same, whatever packet is asked for. Neither model knows the other."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.equivalence.shots import Shot
from weftwork.verifier.at_home import at_home, moved
from weftwork.verifier.linux.model import LinuxModel, agree, device_of
from weftwork.verifier.linux.sets import NotUnderstood
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.model import Model
from weftwork.verifier.packet import Inside, Phase, Probe, Verdict

PROFILES = {
    "br_netfilter": HostProfile(external=make.EXTERNAL),
    "bridge": HostProfile(filter_mode="bridge", external=make.EXTERNAL),
    "vlan": HostProfile(filter_mode="bridge", layout="vlan", external=make.EXTERNAL),
}
CASES = 60


def compiled(intent: Intent, profile: HostProfile) -> Assembly:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    return assembly


def questions(intent: Intent, shots: list[Shot]) -> Iterator[Probe]:
    """Each packet, and what could come back. An external address that is claimed and not used is nobody's promise."""
    unused = {own.snat.external_ip for own in intent.values() if own.snat and not own.snat.enabled}
    used = {one.external_ip for own in intent.values() for one in own.dnats.values()}
    for shot in shots:
        if shot.probe.destination not in unused - used:
            yield from (replace(shot.probe, phase=phase) for phase in {shot.probe.phase, Phase.REPLY, Phase.ERROR})


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_program_delivers_what_its_intent_says_and_nothing_else(profile: HostProfile) -> None:
    delivered = asked = 0
    for seed in range(CASES):
        case = draw_case(seed)
        for intent, shots in ((case.before, case.shots), (case.after or {}, case.later)):
            model, programs = Model(at_home(intent)), LinuxModel(compiled(intent, profile).program())
            for probe in (moved(intent, one) for one in questions(intent, shots)):
                intended, programmed = model.verdict(probe), programs.verdict(probe)
                assert agree(intended, programmed), (seed, probe, intended, programmed)
                delivered += intended.delivered
                asked += 1
    assert delivered > asked / 10, "most packets went nowhere: the law says little"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_view_that_was_changed_answers_like_a_new_one(profile: HostProfile) -> None:
    for seed in range(CASES // 2):
        case = draw_case(seed)
        assembly = compiled(case.before, profile)
        view = ProgramView(assembly.program())
        slices = slices_of(case.before) | slices_of(case.after or {})
        delta = assembly.replace_slices({one: compile_slice(case.after or {}, one, profile) for one in slices})
        view.apply(added=delta.added, removed=delta.removed)
        changed, anew = LinuxModel(view), LinuxModel(assembly.program())
        for probe in questions(case.after or {}, case.later):
            assert same(changed.verdict(probe), anew.verdict(probe)), (seed, probe)
        view.apply(added=delta.removed, removed=delta.added)
        back, before = LinuxModel(view), LinuxModel(compiled(case.before, profile).program())
        for probe in questions(case.before, case.shots):
            assert same(back.verdict(probe), before.verdict(probe)), (seed, probe)


def same(one: Verdict, other: Verdict) -> bool:
    return (one.receiver, one.seen) == (other.receiver, other.seen)


@pytest.mark.parametrize(
    "text",
    [
        "ip saddr 10.0.0.1 queue",
        "ip6 saddr fd00::1 accept",
        "accept drop",
        "ct state { new } frobnicate",
        "ip saddr . ip daddr 10.0.0.1 accept",
        "dnat ip to 10.0.0.1 persistent",
        "meta l4proto tcp accept",
    ],
)
def test_a_rule_that_is_not_understood_is_refused_and_never_guessed(text: str) -> None:
    table = NftTable("weft-101", Family.INET)
    with pytest.raises(NotUnderstood):
        LinuxModel([table, NftChain("weft-101", Family.INET, "some", "", (text,))])


@pytest.mark.parametrize(
    "resource",
    [
        NftSet("weft-101", Family.INET, "some", "ipv6_addr"),
        NftSet("weft-101", Family.INET, "some", "ipv4_addr", flags=("constant",)),
        NftElement("weft-101", Family.INET, "unheard-of", "10.0.0.1"),
        NftChain("weft-101", Family.INET, "some", "type route hook output priority filter; policy accept;", ()),
        NftChain("weft-101", Family.INET, "some", "type filter hook forward priority soon; policy drop;", ()),
    ],
    ids=lambda one: repr(one)[:40],
)
def test_a_set_or_a_hook_that_is_not_understood_is_refused(resource: Resource) -> None:
    with pytest.raises(NotUnderstood):
        LinuxModel([NftTable("weft-101", Family.INET), resource])


def test_without_a_word_about_a_port_it_speaks_to_nobody() -> None:
    """The model's own witness: what it says hangs on the program, resource by resource."""
    case = draw_case(1)
    profile = PROFILES["bridge"]
    program = compiled(case.before, profile).program()
    model = Model(case.before)
    shot = next(
        one for one in case.shots if model.verdict(one.probe).delivered and isinstance(one.probe.source, Inside)
    )
    assert isinstance(shot.probe.source, Inside)
    device = device_of(shot.probe.source.port)
    mute: Program = frozenset(one for one in program if f'"{device}"' not in getattr(one, "element", ""))
    assert agree(model.verdict(shot.probe), LinuxModel(program).verdict(shot.probe))
    assert not LinuxModel(mute).verdict(shot.probe).delivered
