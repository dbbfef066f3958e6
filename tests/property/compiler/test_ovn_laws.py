"""Laws of compilation for OVN, over random histories of tenants of whom two have the same addresses."""

import re

from hypothesis import given
from hypothesis import strategies as st

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.ovn import names
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import affected_by, slices_of
from weftwork.model.intent import Intent, peers_of
from weftwork.model.vpc import Vpc
from weftwork.program.ovn import Acl, AclAction, LogicalSwitchPort, OvnResource, PortGroup, PortGroupMember
from weftwork.program.resource import Program
from weftwork.testing import strategies as make
from weftwork.testing.strategies import Edit, histories, intents, vni_of

PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("one",))


def from_scratch(intent: Intent) -> Program:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    return assembly.program()


@given(histories())
def test_following_changes_gives_what_compiling_from_scratch_gives(history: tuple[Edit, ...]) -> None:
    assembly, intent = Assembly(), Intent()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    for edit in history:
        edit.apply(intent)
        assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in affected_by(edit.key, intent)})
    assert assembly.program() == from_scratch(intent)


@given(histories())
def test_a_change_touches_only_its_tenant_peers_and_lenders(history: tuple[Edit, ...]) -> None:
    intent = Intent()
    for edit in history:
        owner, before = edit.key.owner, from_scratch(intent)
        friends = {owner} | neighbours(intent, owner)
        edit.apply(intent)
        friends |= neighbours(intent, owner)
        changed = {one for one in before ^ from_scratch(intent) if isinstance(one, OvnResource)}
        theirs = {f"weft-{vni_of(one)}" for one in friends}
        for one in changed:
            assert one.scope in theirs or (
                one.scope == names.EXTERNAL_SCOPE and any(f"{scope}.external" in str(one.key) for scope in theirs)
            )


def neighbours(intent: Intent, owner: ProjectKey) -> set[ProjectKey]:
    """Peers, and those in whose subnets the owner has ports."""
    lenders = {port.home for port in intent[owner].ports.values()} if owner in intent else set()
    return lenders | {peer for peer, _ in peers_of(intent, owner)}


@given(intents())
def test_no_two_resources_share_a_key(intent: Intent) -> None:
    program = from_scratch(intent)
    assert len({one.key for one in program}) == len(program)


@given(intents())
def test_what_a_resource_stands_on_is_in_the_program_too(intent: Intent) -> None:
    program = from_scratch(intent)
    groups = {(one.scope, one.name) for one in program if isinstance(one, PortGroup)}
    ports = {(one.scope, one.name) for one in program if isinstance(one, LogicalSwitchPort)}
    for one in program:
        if isinstance(one, PortGroupMember):
            assert (one.scope, one.group) in groups and (one.scope, one.port) in ports
        if isinstance(one, Acl) and one.on.startswith("group "):
            assert (one.scope, one.on.removeprefix("group ")) in groups


@given(intents())
def test_every_port_is_guarded_and_gets_nothing_that_no_rule_allows(intent: Intent) -> None:
    program = from_scratch(intent)
    for one in program:
        if isinstance(one, LogicalSwitchPort) and not one.type:
            assert one.port_security == one.addresses != ()
            there = {
                other.name for other in program if isinstance(other, LogicalSwitchPort) and other.switch == one.switch
            }
            in_force = {group.group for group in program if isinstance(group, PortGroupMember) and group.port in there}
            defaults = [
                (acl.direction.value, acl.after_load_balancing)
                for acl in program
                if isinstance(acl, Acl) and acl.match == "1" and acl.on.removeprefix("group ") in in_force
            ]
            assert sorted(defaults) == [("from-lport", True), ("to-lport", False)]


@given(intents())
def test_no_rule_speaks_of_port_0_for_that_is_what_a_port_that_cannot_be_seen_is(intent: Intent) -> None:
    for one in from_scratch(intent):
        if isinstance(one, Acl) and one.action is not AclAction.DROP:
            assert not re.search(r"(\b0 <= (tcp|udp)\.dst)|((tcp|udp)\.dst == 0\b)", one.match)


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_groups_have_different_names_that_ovn_takes(one: str, other: str) -> None:
    vpc: Vpc = make.vpc(make.TENANTS[0])
    first, second = names.group_of(vpc, one), names.group_of(vpc, other)
    assert (first == second) == (one == other)
    assert re.fullmatch(r"[a-zA-Z_.][a-zA-Z_.0-9]*", first, re.ASCII)
