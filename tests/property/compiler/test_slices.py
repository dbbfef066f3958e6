"""What a slice costs and how things are called on the host."""

from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly, Delta, Shelf
from weftwork.compiler.linux.names import NFT_NAME_BYTES_MAX, combination_chain, external_mac, gateway_mac
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import affected_by, slices_of
from weftwork.model.intent import Intent
from weftwork.program.linux import NftChain, NftElement
from weftwork.testing import strategies as make

OWNER = ProjectKey("acme", "web")
PROFILE = HostProfile()


def world(ports: int) -> tuple[Intent, Assembly]:
    everyone = make.group(OWNER, ingress=(make.allow("default"),))
    intent = {OWNER: make.project(make.vpc(OWNER), make.subnet(OWNER), everyone)}
    for number in range(ports):
        make.put(intent[OWNER], make.port(OWNER, number))
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    return intent, assembly


def change(intent: Intent, assembly: Assembly, edit: make.Edit) -> Delta:
    edit.apply(intent)
    return assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in affected_by(edit.key, intent)})


@pytest.mark.parametrize("others", [1, 200])
def test_a_new_port_changes_as_much_among_many_as_among_few(others: int) -> None:
    intent, assembly = world(others)
    new = make.port(OWNER, 240)

    delta = change(intent, assembly, make.Edit(make.key_of(new), new))

    assert len(delta.added) == 11
    assert {one.set for one in delta.removed if isinstance(one, NftElement)} == {"epoch", "stamp"}


def test_what_is_equal_for_several_hosts_is_in_memory_once_and_no_longer_than_one_of_them_has_it() -> None:
    intent, _ = world(3)
    shelf = Shelf()
    first, second = Assembly(shelf), Assembly(shelf)
    for assembly in (first, second):
        assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    port = next(one for one in slices_of(intent) if one[0] == "port")

    assert first.program() == second.program()
    assert first.slice(port) is second.slice(port)

    shared = ref(first.slice(port))
    first.replace_slice(port, frozenset())
    assert shared() is second.slice(port)
    second.replace_slice(port, frozenset())
    assert shared() is None


@pytest.mark.parametrize("others", [1, 200])
def test_a_policy_changes_as_much_among_many_ports_as_among_few(others: int) -> None:
    intent, assembly = world(others)
    denial, exception = make.policy_rule("deny", "0.0.0.0/0"), make.policy_rule("allow", "default")

    made = make.policy(OWNER, "strict", denial)
    first = change(intent, assembly, make.Edit(make.key_of(made), made))
    changed = make.policy(OWNER, "strict", exception, denial)
    second = change(intent, assembly, make.Edit(make.key_of(changed), changed))

    assert {one.name for one in first.added if isinstance(one, NftChain)} == {"policies.in", "policy.in.strict"}, (
        "an ingress policy says nothing of what is sent"
    )
    assert {one.name for one in second.added if isinstance(one, NftChain)} == {"policy.in.strict"}
    for delta in (first, second):
        elements = {one.set for one in delta.added if isinstance(one, NftElement)}
        assert elements == {"epoch", "stamp"}, "flows are judged again, and nothing of a port changes"


def test_a_port_without_attachment_holds_nothing() -> None:
    intent, assembly = world(2)
    idle = make.port(OWNER, 1, attachment=None)

    change(intent, assembly, make.Edit(make.key_of(idle), idle))

    assert assembly.slice(("port", *OWNER, idle.id)) == frozenset()
    assert not any(str(idle.addresses[0]) in str(one.key) for one in assembly.program())


def test_a_group_that_is_named_but_not_there_has_no_members() -> None:
    intent, assembly = world(1)
    group = make.group(OWNER, ingress=(make.allow("nobody"),))

    change(intent, assembly, make.Edit(make.key_of(group), group))

    keys = {one.key for one in assembly.program()}
    assert ("nft-set", "weft-101", "inet", "members.nobody") in keys
    assert not any(key[0] == "nft-element" and key[3] == "members.nobody" for key in keys)


GROUPS = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True), unique=True, max_size=12)


@given(GROUPS, GROUPS)
def test_each_combination_of_groups_has_a_chain_name_that_nft_takes(some: list[str], others: list[str]) -> None:
    name = combination_chain("in", some)

    assert len(name) <= NFT_NAME_BYTES_MAX
    assert (name == combination_chain("in", others)) == (some == others)


def test_routers_meet_outside_without_sharing_a_mac() -> None:
    vpcs = [make.vpc(OWNER, vni=vni) for vni in (1, 2, 0xFFFFFF)]

    assert len({external_mac(vpc) for vpc in vpcs}) == len(vpcs)
    assert not {external_mac(vpc) for vpc in vpcs} & {gateway_mac(vpc) for vpc in vpcs}


def test_a_profile_that_would_let_packets_pass_unseen_is_refused() -> None:
    with pytest.raises(ValueError, match="layout vlan needs filter_mode bridge"):
        HostProfile(filter_mode="br_netfilter", layout="vlan")
    with pytest.raises(ValueError, match="needs br_netfilter in the kernel"):
        HostProfile(filter_mode="br_netfilter", has_bridge_netfilter=False)
