"""Laws of applying: the project is as the file says, and neither a second time nor its export changes anything."""

import tempfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from weftwork.actions.apply import apply, export
from weftwork.actions.network import Network
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.declare.project import (
    GroupSpec,
    Inner,
    Outer,
    PolicySpec,
    PortSpec,
    ProjectSpec,
    SnatSpec,
    SubnetSpec,
    TestSpec,
    VpcSpec,
)
from weftwork.model.network_policy import Action, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.reach_test import Must, PortRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.testing.network_kit import RED, content, leaks, network_at

OPS = ProjectKey("acme", "ops")
PEER = ProjectKey("acme", "peer")
subnets = st.sampled_from(["default", "a", "b"])
groups = st.sampled_from(["default", "g", "h"])
names = st.sampled_from(["p", "q", "r"])
tcp80 = PortRange(80, 80)
everywhere = IPv4Network("0.0.0.0/0")
peers = st.one_of(st.just(everywhere), st.sampled_from([GroupRef("g"), GroupRef("h"), GroupRef("web", OPS)]))
rules = st.lists(st.builds(Rule, st.just(Protocol.TCP), st.just(tcp80), peers), unique=True, max_size=3).map(tuple)
group_specs = st.builds(GroupSpec, st.sampled_from(["", 'no: "x"']), rules, rules)
ranges = st.sampled_from([None, *map(IPv4Network, ("10.1.7.0/29", "10.1.6.0/23", "10.1.0.0/24"))])
servers = st.sampled_from([(), (IPv4Address("10.1.0.53"),)])
subnet_specs = st.builds(
    SubnetSpec,
    cidr=ranges,
    dhcp=st.booleans(),
    dns_servers=servers,
    domain=st.sampled_from(["", "no", "a.example"]),
    lease_time_s=st.sampled_from([60, 86_400]),
    shared_with=st.sampled_from([frozenset(), frozenset({OPS})]),
)
port_specs = st.builds(
    PortSpec,
    subnet=subnets,
    address=st.sampled_from([None, None, IPv4Address("10.1.6.9"), IPv4Address("10.1.0.9")]),
    mac=st.sampled_from([None, "02:57:00:aa:00:01"]),
    groups=st.lists(groups, unique=True, max_size=2).map(lambda some: tuple(sorted(some))),
    vm=st.sampled_from([None, "vm1"]),
)
policy_rules = st.lists(
    st.builds(
        PolicyRule,
        st.just(Action.ALLOW),
        st.just(Protocol.ALL),
        st.none(),
        st.sampled_from([everywhere, GroupRef("g"), SubnetRef("a")]),
    ),
    unique=True,
    max_size=2,
).map(tuple)
policy_specs = st.builds(
    PolicySpec, st.sampled_from(PolicyKind), st.sampled_from([1, 9]), st.sampled_from(["", "a"]), policy_rules
)
tests = st.builds(
    TestSpec, st.sampled_from(Must), names.map(PortRef), names.map(PortRef), st.just(Protocol.TCP), st.just(tcp80)
)
outers = st.builds(
    Outer, st.sampled_from([None, IPv4Address("198.51.100.3")]), st.sampled_from([80, 81]), st.just(Protocol.TCP)
)
inners = st.builds(Inner, names, st.sampled_from([80, 8080]))


def section(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.dictionaries(keys, values, max_size=3))


raw = st.builds(
    ProjectSpec,
    vpc=st.builds(VpcSpec, st.sampled_from([None, "shop"]), st.just(IPv4Network("10.1.0.0/16"))),
    subnets=section(subnets, subnet_specs),
    security_groups=section(groups, group_specs),
    ports=section(names, port_specs),
    snat=section(st.just(""), st.builds(SnatSpec, st.sampled_from([None, IPv4Address("198.51.100.3")]), st.booleans())),
    dnats=section(outers, inners),
    peerings=st.sampled_from([None, {}, {"ops": OPS}, {"peer": OPS}, {"ops": PEER, "peer": OPS}]),
    network_policies=section(st.sampled_from(["n", "m"]), policy_specs),
    reach_tests=section(st.just("t"), tests),
)


RANGES = {
    "default": (None, IPv4Network("10.1.0.0/24")),
    "a": (None, IPv4Network("10.1.6.0/23"), IPv4Network("10.1.8.0/24")),
    "b": (None, IPv4Network("10.1.7.0/29"), IPv4Network("10.1.10.0/24")),
}


def sound(spec: ProjectSpec) -> ProjectSpec:
    """Mostly without what would be refused: names of what the file does not have, ranges that overlap."""
    subnets_there = set(spec.subnets) if spec.subnets is not None else {"default"}
    groups_there = {"default", *(spec.security_groups or {})}
    ports_there = set(spec.ports or {})
    has_ops = OPS in (spec.peerings or {}).values()

    def named(peer: Any) -> bool:
        match peer:
            case GroupRef(name, owner):
                return has_ops if owner else name in groups_there
            case SubnetRef(name):
                return name in subnets_there
        return True

    def rules_of(some: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(one for one in some if named(one.peer))

    taken: set[Any] = set()

    def placed(one: PortSpec) -> PortSpec:
        where = one.subnet if one.subnet in subnets_there else min(subnets_there, default="default")
        own = {"default": IPv4Address("10.1.0.9"), "a": IPv4Address("10.1.6.9")}.get(where)
        address = one.address if one.address == own and own not in taken else None
        mac = one.mac if one.mac not in taken else None
        taken.update((address, mac))
        return replace(
            one, subnet=where, address=address, mac=mac, groups=tuple(g for g in one.groups if g in groups_there)
        )

    return replace(
        spec,
        subnets=spec.subnets
        and {
            name: replace(one, cidr=RANGES[name][len(one.domain) % len(RANGES[name])])
            for name, one in spec.subnets.items()
        },
        security_groups=spec.security_groups
        and {
            name: replace(one, ingress=rules_of(one.ingress), egress=rules_of(one.egress))
            for name, one in spec.security_groups.items()
        },
        ports=spec.ports and {name: placed(one) for name, one in spec.ports.items()},
        dnats=spec.dnats and {outer: one for outer, one in spec.dnats.items() if one.host in ports_there},
        network_policies=spec.network_policies
        and {
            name: replace(one, subnet=one.subnet if named(SubnetRef(one.subnet)) else "", rules=rules_of(one.rules))
            for name, one in spec.network_policies.items()
        },
        reach_tests=spec.reach_tests
        and {
            name: one
            for name, one in spec.reach_tests.items()
            if all(isinstance(end, PortRef) and end.id in ports_there for end in (one.source, one.destination))
        },
    )


specs = raw.map(sound)


def said(has: Any, asked: Any) -> Any:
    """Of what there is, what was asked for: what was left to the server is left out again."""
    if isinstance(asked, Mapping):
        return {name: said(has[name], one) for name, one in asked.items() if name in has}
    if is_dataclass(asked) and not isinstance(asked, type):
        open_fields = {one.name: None for one in fields(asked) if getattr(asked, one.name) is None}
        told = replace(has, **open_fields)
        if isinstance(told, GroupSpec | PolicySpec):
            return told
        return replace(
            told, **{one.name: said(getattr(told, one.name), getattr(asked, one.name)) for one in fields(asked)}
        )
    return has


def is_as_said(has: ProjectSpec, asked: ProjectSpec) -> bool:
    """But for DNATs without an address, which have got one, and the order of a group's rules, which means nothing."""
    any_address = [one for one in asked.dnats or {} if one.address is None]
    asked = replace(asked, dnats={outer: one for outer, one in (asked.dnats or {}).items() if outer.address})
    has = replace(has, security_groups={name: _ordered(one) for name, one in (has.security_groups or {}).items()})
    if asked.security_groups is not None:
        asked = replace(asked, security_groups={name: _ordered(one) for name, one in asked.security_groups.items()})
    told = {(one.port, one.protocol) for one in has.dnats or {}}
    return said(has, asked) == asked and all((one.port, one.protocol) in told for one in any_address)


def _ordered(spec: GroupSpec) -> GroupSpec:
    return replace(spec, ingress=tuple(sorted(spec.ingress, key=str)), egress=tuple(sorted(spec.egress, key=str)))


async def attempt(network: Network, spec: ProjectSpec, *, prune: bool) -> str:
    try:
        await apply(network, owner=RED, spec=spec, prune=prune, replace=True)
    except Refusal as refusal:
        return refusal.code
    return ""


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(specs, st.booleans()), min_size=1, max_size=3))
async def test_a_project_is_what_its_file_says_and_the_second_time_nothing_changes(
    files: list[tuple[ProjectSpec, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with network_at(Path(folder)) as network:
            for spec, prune in files:
                before = await content(network.store)
                refused = await attempt(network, spec, prune=prune)
                event(f"refused: {refused}")
                if refused:
                    if RED in network.view.intent:
                        assert _things(await content(network.store)) == _things(before)
                    continue
                assert is_as_said((await export(network, owner=RED)).spec, spec)
                again = await apply(network, owner=RED, spec=spec, prune=prune)
                assert again.value == ()
                whole = (await export(network, owner=RED)).spec
                assert (await apply(network, owner=RED, spec=whole, prune=True)).value == ()
                assert (await export(network, owner=RED)).spec == whole
            assert await leaks(network.store) == ()


@settings(max_examples=15, deadline=None)
@given(one=specs, other=specs)
async def test_an_export_leads_back_to_what_it_was_made_of(one: ProjectSpec, other: ProjectSpec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with network_at(Path(folder)) as network:
            if await attempt(network, one, prune=False):
                return
            was = (await export(network, owner=RED)).spec
            if await attempt(network, other, prune=True):
                return

            refused = await attempt(network, was, prune=True)

            event(f"the way back: {refused or 'done'}")
            assert refused or (await export(network, owner=RED)).spec == was


def _things(records: Any) -> Any:
    return [one for one in records if one.key.startswith(("/networks/ports", "/networks/subnets", "/networks/vpcs"))]
