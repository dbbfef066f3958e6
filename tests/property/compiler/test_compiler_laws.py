"""Laws of compilation, over random histories of two tenants with the same addresses."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.names import PEERINGS_SCOPE
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import affected_by, slices_of
from weftwork.model.intent import Intent, peers_of
from weftwork.program.linux import NftChain, NftElement, NftSet
from weftwork.program.resource import Program
from weftwork.testing.strategies import PROJECTS, Edit, histories, intents, profiles, vni_of


def from_scratch(intent: Intent, profile: HostProfile) -> Program:
    assembly = Assembly()
    for slice_id in slices_of(intent):
        assembly.replace_slice(slice_id, compile_slice(intent, slice_id, profile))
    return assembly.program()


def start(profile: HostProfile) -> Assembly:
    assembly = Assembly()
    assembly.replace_slices({slice_id: compile_slice({}, slice_id, profile) for slice_id in slices_of({})})
    return assembly


def follow(assembly: Assembly, intent: Intent, edit: Edit, profile: HostProfile) -> tuple[Program, Program]:
    """Apply the edit to both; what it added and removed."""
    edit.apply(intent)
    compiled = {one: compile_slice(intent, one, profile) for one in affected_by(edit.key, intent)}
    foreseen = assembly.preview(compiled)
    delta = assembly.replace_slices(compiled)
    assert foreseen == delta
    return delta.added, delta.removed


@given(histories(), profiles())
def test_following_changes_gives_what_compiling_from_scratch_gives(
    history: tuple[Edit, ...], profile: HostProfile
) -> None:
    assembly, intent = start(profile), Intent()
    for edit in history:
        before = assembly.program()
        added, removed = follow(assembly, intent, edit, profile)
        assert removed <= before
        assert not added & before
        assert assembly.program() == (before - removed) | added
        for kind in (NftElement, NftChain, NftSet):
            assert assembly.count((kind,)) == sum(isinstance(one, kind) for one in assembly.program())
    assert assembly.program() == from_scratch(intent, profile)


@given(histories(), profiles())
def test_a_change_touches_only_its_tenant_peers_and_lenders(history: tuple[Edit, ...], profile: HostProfile) -> None:
    assembly, intent = start(profile), Intent()
    for edit in history:
        owner = edit.key.owner
        before = neighbours(intent, owner)
        added, removed = follow(assembly, intent, edit, profile)
        allowed = {f"weft-{vni_of(one)}" for one in before | neighbours(intent, owner) | {owner}}
        if edit.key.kind == "peering":
            allowed.add(PEERINGS_SCOPE)
        assert {one.scope for one in added | removed} <= allowed


def neighbours(intent: Intent, owner: ProjectKey) -> set[ProjectKey]:
    """Peers, and those in whose subnets the owner has ports."""
    lenders = {port.home for port in intent[owner].ports.values()} if owner in intent else set()
    return lenders | {peer for peer, _ in peers_of(intent, owner)}


@given(histories(), profiles())
def test_half_a_peering_does_nothing(history: tuple[Edit, ...], profile: HostProfile) -> None:
    assembly, intent = start(profile), Intent()
    for edit in history:
        owner = edit.key.owner
        before = {peer for peer, _ in peers_of(intent, owner)}
        added, removed = follow(assembly, intent, edit, profile)
        if edit.key.kind == "peering" and before == {peer for peer, _ in peers_of(intent, owner)}:
            assert not added | removed


@given(intents(), profiles())
def test_no_two_resources_share_a_key(intent: Intent, profile: HostProfile) -> None:
    program = from_scratch(intent, profile)

    assert len({one.key for one in program}) == len(program)


@given(intents(), profiles())
def test_twins_get_the_same_program_whatever_the_order_of_their_things(intent: Intent, profile: HostProfile) -> None:
    turned: Intent = {}
    for owner, own in reversed(intent.items()):
        turned[owner] = type(own)(
            own.vpc,
            dict(reversed(own.subnets.items())),
            dict(reversed(own.groups.items())),
            dict(reversed(own.ports.items())),
            own.snat,
            dict(reversed(own.dnats.items())),
            dict(reversed(own.peerings.items())),
            dict(reversed(own.policies.items())),
            dict(reversed(own.reach_tests.items())),
            dict(reversed(own.shares.items())),
        )

    assert from_scratch(turned, profile) == from_scratch(intent, profile)


@given(histories(), profiles())
def test_the_epoch_is_another_when_the_rules_are(history: tuple[Edit, ...], profile: HostProfile) -> None:
    """Flows are judged again when, and only when, something of nftables changed in their VPC."""
    assembly, intent = start(profile), Intent()
    for edit in history:
        added, removed = follow(assembly, intent, edit, profile)
        rules = {
            one
            for one in added | removed
            if isinstance(one, NftChain | NftSet) or (isinstance(one, NftElement) and one.set not in ("epoch", "stamp"))
        }
        assert bool(rules) == any(isinstance(one, NftElement) and one.set == "epoch" for one in added | removed)
        assert not any(
            isinstance(one, NftElement) and one.set == "epoch" and int(one.element, 16) == 0 for one in added
        )


@given(intents(), profiles())
def test_what_rules_refer_to_is_there(intent: Intent, profile: HostProfile) -> None:
    """A set, map or chain that a rule or an element names; else the kernel refuses the whole transaction."""
    program = from_scratch(intent, profile)
    sets = {(one.scope, one.family, one.name) for one in program if isinstance(one, NftSet)}
    chains = {(one.scope, one.family, one.name) for one in program if isinstance(one, NftChain)}
    for one in program:
        if isinstance(one, NftElement):
            assert (one.scope, one.family, one.set) in sets
            if one.value.startswith("goto "):
                assert (one.scope, one.family, one.value.removeprefix("goto ")) in chains
        if isinstance(one, NftChain):
            for rule in one.rules:
                words = rule.split()
                assert {(one.scope, one.family, word[1:]) for word in words if word.startswith("@")} <= sets
                targets = {after for word, after in pairwise(words) if word in ("goto", "jump")}
                assert {(one.scope, one.family, target) for target in targets} <= chains


@given(intents(), profiles(), st.sampled_from(PROJECTS))
def test_nothing_is_left_of_a_tenant_that_went(intent: Intent, profile: HostProfile, owner: object) -> None:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    rest = {key: own for key, own in intent.items() if key != owner}

    assembly.replace_slices({one: compile_slice(rest, one, profile) for one in slices_of(intent)})

    assert assembly.program() == from_scratch(rest, profile)
