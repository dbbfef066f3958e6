"""A file and its project: what goes, what stays, what is refused, and who wins."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from weftwork.access.caller import Principal
from weftwork.actions import ports, security_groups
from weftwork.actions.apply import apply, export
from weftwork.actions.journal import Author
from weftwork.actions.network import Network
from weftwork.base.errors import Refusal
from weftwork.declare.project import ProjectSpec
from weftwork.declare.reading import SourceFile, read_projects
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import RED, Intercepted, leaks, network_on, refused

HEAD = "apiVersion: weftwork/v1\nkind: Project\n"
SHOP = """
vpc: {cidr: 10.1.0.0/16}
subnets: {front: {cidr: 10.1.1.0/24}}
security_groups:
  a: {ingress: [all from group b]}
  b: {ingress: [all from group a]}
ports:
  p: {subnet: front, address: 10.1.1.9, groups: [a]}
snat: {}
dnats: {80/tcp: 'p:8080'}
network_policies: {n: {kind: ingress, priority: 5, rules: [allow all from group b]}}
reach_tests: {t: {source: 'port:p', must: not-reach, destination: 10.1.1.77, service: tcp/1}}
"""


def file(text: str) -> ProjectSpec:
    return read_projects([SourceFile("x.yaml", HEAD + text)], RED)[RED]


@pytest.fixture
def shop() -> ProjectSpec:
    return file(SHOP)


async def test_groups_that_name_each_other_and_all_else_come_in_one_revision(
    network: Network, shop: ProjectSpec
) -> None:
    await apply(network, owner=RED, spec=shop)

    there = network.view.intent[RED]
    assert set(there.subnets) == {"front"}
    assert len({network.view.revision_of(key) for key in network.view.thing_keys()}) == 1
    assert (await apply(network, owner=RED, spec=shop, prune=True)).value == ()
    assert await leaks(network.store) == ()


async def test_a_refusal_of_the_last_thing_leaves_nothing_of_the_first(network: Network) -> None:
    async with refused(network, "PORT_NOT_FOUND"):
        await apply(
            network,
            owner=RED,
            spec=file(
                SHOP + "\n---\n" + HEAD + "reach_tests: {u: {source: 'port:q', destination: group:a, service: all}}\n"
            ),
        )
    assert RED not in network.view.intent


async def test_what_no_section_lists_goes_on_request_only(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    smaller = file("security_groups: {a: }\nports: {p: {subnet: front, groups: []}}\nnetwork_policies: {}\n")

    await apply(network, owner=RED, spec=smaller)
    assert set(network.view.intent[RED].groups) == {"default", "a", "b"}
    await apply(network, owner=RED, spec=smaller, prune=True)

    there = network.view.intent[RED]
    assert set(there.groups) == {"default", "a"}
    assert not there.policies
    assert there.snat and there.dnats and there.subnets, "the file has no such sections"
    assert await leaks(network.store) == ()


async def test_what_something_unsaid_stands_on_is_not_pruned(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    await ports.create_port(network, owner=RED, name="", subnet="front", groups=("b",))

    async with refused(network, "IN_USE", "b"):
        await apply(network, owner=RED, spec=file("security_groups: {a: }\nnetwork_policies: {}\n"), prune=True)


async def test_what_would_lose_something_is_done_on_request_only(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    moved = file(SHOP.replace("10.1.1.9", "10.1.1.8"))

    async with refused(network, "REPLACE_NEEDED", "port p", "10.1.1.9"):
        await apply(network, owner=RED, spec=moved)
    await apply(network, owner=RED, spec=moved, replace=True)

    there = network.view.intent[RED]
    (port,) = there.ports.values()
    (dnat,) = there.dnats.values()
    assert str(port.addresses[0]) == str(dnat.internal_ip) == "10.1.1.8"
    assert (await apply(network, owner=RED, spec=moved)).value == ()
    assert await leaks(network.store) == ()


async def test_a_vpc_of_another_range_is_another_vpc(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    other = file(SHOP.replace("10.1.", "10.2."))

    async with refused(network, "REPLACE_NEEDED", "every object"):
        await apply(network, owner=RED, spec=other)
    await apply(network, owner=RED, spec=other, replace=True)

    assert (await apply(network, owner=RED, spec=other, prune=True)).value == ()
    assert await leaks(network.store) == ()


async def test_what_can_be_had_in_place_stays_the_same_thing(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    before = dict(network.view.intent[RED].ports)
    text = SHOP.replace("10.1.1.0/24}", "10.1.1.0/24, domain: x.example, dhcp: false}").replace("p:8080", "p:9090")
    text = text.replace("kind: ingress, priority: 5", "kind: egress, subnet: front, priority: 6")
    text = text.replace("snat: {}", "snat: {enabled: false}").replace("from group b]}}", "to group b]}}")

    await apply(network, owner=RED, spec=file(text))

    there = network.view.intent[RED]
    assert there.ports == before
    assert there.subnets["front"].domain_name == "x.example"
    assert [one.internal_port for one in there.dnats.values()] == [9090]
    assert there.snat is not None and not there.snat.enabled
    assert await leaks(network.store) == ()


async def test_of_two_applies_on_one_base_one_wins_and_the_other_is_told(tmp_path: Path, shop: ProjectSpec) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    async with network_on(store) as one, network_on(store) as other:
        await apply(one, owner=RED, spec=shop)
        base = (await export(one, owner=RED)).revision
        await other.view.wait_for(base)
        texts = (SHOP.replace("priority: 5", "priority: 6"), SHOP.replace("priority: 5", "priority: 7"))
        outcomes = await asyncio.gather(
            *(
                apply(network, owner=RED, spec=file(text), if_revision=base)
                for network, text in zip((one, other), texts, strict=True)
            ),
            return_exceptions=True,
        )

        told = [error.code for error in outcomes if isinstance(error, Refusal)]
        assert told == ["REVISION_CHANGED"]
    await store.close()


async def test_a_change_that_slips_in_just_before_the_commit_is_told(tmp_path: Path, shop: ProjectSpec) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    meddled = Intercepted(store)
    async with network_on(store) as other, network_on(meddled) as network:
        await apply(network, owner=RED, spec=shop)
        base = (await export(network, owner=RED)).revision
        await other.view.wait_for(network.view.revision)
        meddled.first = partial(security_groups.delete_security_group, other, owner=RED, group="b", cascade=True)

        with pytest.raises(Refusal) as told:
            await apply(network, owner=RED, spec=file("ports: {q: {subnet: front}}\n"), if_revision=base)

        assert told.value.code == "REVISION_CHANGED"
    await store.close()


async def test_what_is_an_admins_is_so_in_a_file_too(network: Network, shop: ProjectSpec) -> None:
    from weftwork.access.roles import Grant, Role

    operator = Principal("olga", (Grant(Role.OPERATOR, RED.org, RED.project),))
    mine = network.on_behalf(Author("olga"), operator)
    with pytest.raises(Refusal) as told:
        await apply(mine, owner=RED, spec=shop)
    assert told.value.code == "ROLE_TOO_LOW"

    await apply(network, owner=RED, spec=shop)
    await apply(mine, owner=RED, spec=file("ports: {q: {subnet: front}}\n"))
    with pytest.raises(Refusal):
        await apply(mine, owner=RED, spec=file("subnets: {front: {cidr: 10.1.1.0/24, shared_with: [acme/ops]}}\n"))


async def test_ports_without_a_name_are_in_no_file_and_stay(network: Network, shop: ProjectSpec) -> None:
    await apply(network, owner=RED, spec=shop)
    nameless = (await ports.create_port(network, owner=RED, name="", subnet="front")).value

    told = await export(network, owner=RED)
    await apply(network, owner=RED, spec=told.spec, prune=True)

    assert told.unnamed == 1
    assert nameless.id in network.view.intent[RED].ports


async def test_a_plan_says_nothing_of_what_comes_and_goes_inside_it(network: Network, shop: ProjectSpec) -> None:
    from weftwork.actions.object_lines import object_line
    from weftwork.actions.rows import decode
    from weftwork.model.keys import parse_thing_key
    from weftwork.seams.store import Put

    dry = network.dry()
    await apply(dry, owner=RED, spec=shop)

    lines = [
        object_line(key, network.view.find(key), decode(key, one.value) if isinstance(one, Put) else None)
        for one in dry.writes
        if (key := parse_thing_key(one.key))
    ]
    assert not [line for line in lines if line.startswith("-")]
    assert RED not in network.view.intent
