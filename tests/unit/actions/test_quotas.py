"""Quotas: never one more than there may be, whoever makes it and where; and addresses that the operator allows."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path

import pytest

from weftwork.access.quotas import DEFAULTS
from weftwork.actions import (
    nat,
    network_policies,
    peerings,
    ports,
    reach_tests,
    security_groups,
    shares,
    ssh_keys,
    subnets,
    vms,
    vpcs,
)
from weftwork.actions.network import Network
from weftwork.actions.quotas import get_quota, set_quota
from weftwork.actions.vm_words import Wanted
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.network_policy import PolicyKind
from weftwork.model.reach_test import Must, parse_end
from weftwork.model.security_group import PortRange, Protocol, Rule
from weftwork.model.vm import Flavour
from weftwork.store.sqlite import SqliteStore
from weftwork.testing.network_kit import RED, leaks, network_at, network_on, refused


async def make_subnet(network: Network, number: int) -> object:
    return await subnets.create_subnet(
        network, owner=RED, name=f"s{number}", cidr=None, dhcp_enabled=True, dns_servers=(), domain_name="",
        ntp_servers=(), lease_time_s=3600,
    )  # fmt: skip


async def make_port(network: Network, number: int = 0) -> object:
    return await ports.create_port(
        network,
        owner=RED,
        subnet="default",
        name="" if number else "p1",
        vm="",
        mac=None,
        address=None,
        groups=("default",),
    )


async def make_group(network: Network, number: int, rules: int = 0) -> object:
    ingress = tuple(Rule(Protocol.TCP, None, IPv4Network(f"10.{one}.0.0/16")) for one in range(rules))
    return await security_groups.create_security_group(
        network, owner=RED, name=f"g{number}", description="", ingress=ingress, egress=()
    )


async def make_dnat(network: Network, number: int) -> object:
    return await nat.create_dnat(
        network, owner=RED, external_ip=None, external_port=1000 + number, protocol=Protocol.TCP,
        internal_ip=ip_address("10.0.0.2"),
    )  # fmt: skip


async def make_peering(network: Network, number: int) -> object:
    return await peerings.create_peering(network, owner=RED, name="", peer=ProjectKey("acme", f"p{number}"))


async def make_policy(network: Network, number: int) -> object:
    return await network_policies.create_network_policy(
        network, owner=RED, name=f"n{number}", kind=PolicyKind.INGRESS, subnet="", priority=number + 1, rules=()
    )


async def make_test(network: Network, number: int) -> object:
    ends = (parse_end("port:p1"), parse_end("internet"))
    wanted = reach_tests.Wanted(f"t{number}", Must.NOT_REACH, *ends, Protocol.TCP, PortRange(25, 25))
    return await reach_tests.create_reach_test(network, owner=RED, wanted=wanted)


async def make_share(network: Network, number: int) -> object:
    return await shares.share_subnet(network, owner=RED, subnet="default", to=ProjectKey("acme", f"p{number}"))


async def make_vm(network: Network, number: int) -> object:
    return await vms.create_vm(network, owner=RED, wanted=Wanted(f"v{number}", "nginx", Flavour(1, 128, 64)))


async def make_ssh_key(network: Network, number: int) -> object:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDEr26m73SlLqH3cm1aj8fQ7xhFNDJw2fA0EmNlS0rNQ"
    return await ssh_keys.create_ssh_key(network, owner=RED, name=f"k{number}", public_key=f"{key} {number}")


MAKERS: dict[str, Callable[[Network, int], Awaitable[object]]] = {
    "subnet": make_subnet,
    "port": make_port,
    "security-group": make_group,
    "dnat": make_dnat,
    "peering": make_peering,
    "network-policy": make_policy,
    "subnet-share": make_share,
    "reach-test": make_test,
    "vm": make_vm,
    "vcpu": make_vm,
    "ssh-key": make_ssh_key,
}


async def started(network: Network) -> None:
    await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.0.0.0/16"))
    await make_port(network)


def used(network: Network, resource: str) -> int:
    return next(one.used for one in get_quota(network, RED)[1] if one.resource == resource)


@pytest.mark.parametrize("resource", MAKERS)
async def test_a_project_gets_what_it_may_have_and_no_more(tmp_path: Path, resource: str) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        before = used(network, resource)
        await set_quota(network, RED, limits={resource: before + 2})
        for number in range(2):
            await MAKERS[resource](network, number + 1)

        async with refused(network, "QUOTA_EXCEEDED", resource, str(before + 2)):
            await MAKERS[resource](network, 9)
        async with refused(network, "QUOTA_EXCEEDED", resource):
            await MAKERS[resource](network.dry(), 9)
        await set_quota(network, RED, limits={resource: before + 3})
        await MAKERS[resource](network, 10)
        assert used(network, resource) == before + 3
        assert not await leaks(network.store)


async def test_rules_are_counted_over_all_groups(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        await set_quota(network, RED, limits={"rule": used(network, "rule") + 4})
        await make_group(network, 1, rules=3)

        async with refused(network, "QUOTA_EXCEEDED", "rule"):
            await make_group(network, 2, rules=2)
        async with refused(network, "QUOTA_EXCEEDED", "rule"):
            await security_groups.add_rules(
                network,
                owner=RED,
                group="g1",
                ingress=tuple(Rule(Protocol.UDP, None, IPv4Network(f"10.{one}.0.0/16")) for one in range(2)),
                egress=(),
            )
        await make_group(network, 2, rules=1)


async def test_external_addresses_are_counted_whatever_uses_them(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        await set_quota(network, RED, limits={"external-address": 1})
        await nat.create_snat(network, owner=RED, external_ip=ip_address("198.51.100.2"))
        await make_dnat(network, 1)

        async with refused(network, "QUOTA_EXCEEDED", "external-address"):
            await nat.create_dnat(
                network,
                owner=RED,
                external_ip=ip_address("198.51.100.3"),
                external_port=80,
                protocol=Protocol.TCP,
                internal_ip=ip_address("10.0.0.2"),
            )


@pytest.mark.parametrize("resource", ["subnet", "port", "security-group", "dnat"])
async def test_nobody_gets_one_more_however_many_ask_at_once_on_two_servers(tmp_path: Path, resource: str) -> None:
    store = await SqliteStore.open(tmp_path / "weft.db")
    try:
        async with network_on(store) as one, network_on(store) as other:
            await started(one)
            limit = used(one, resource) + 5
            await set_quota(one, RED, limits={resource: limit})
            await other.view.wait_for(one.view.revision)

            async def make(network: Network, number: int) -> bool:
                try:
                    await MAKERS[resource](network, number)
                except Refusal as refusal:
                    assert refusal.code in ("QUOTA_EXCEEDED", "TOO_MANY_CONFLICTS"), refusal
                    return False
                return True

            made = await asyncio.gather(*(make((one, other)[number % 2], number + 1) for number in range(30)))
            await one.view.wait_for(other.view.revision)

            assert sum(made) == 5
            assert used(one, resource) == limit
    finally:
        await store.close()


async def test_a_limit_below_what_is_there_lets_it_stay(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        await set_quota(network, RED, limits={"port": 0})

        async with refused(network, "QUOTA_EXCEEDED", "port"):
            await make_port(network, 1)
        assert used(network, "port") == 1
        await set_quota(network, RED, limits={}, reset=("port",))
        await make_port(network, 1)


async def test_a_quota_outlives_the_network_of_its_project(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        await set_quota(network, RED, limits={"subnet": 1})
        await vpcs.delete_vpc(network, owner=RED, cascade=True)
        await started(network)

        async with refused(network, "QUOTA_EXCEEDED", "subnet"):
            await make_subnet(network, 1)


async def test_a_project_uses_the_external_addresses_that_it_may(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await started(network)
        await set_quota(network, RED, limits={}, external=(ip_network("198.51.100.4/31"),))

        async with refused(network, "EXTERNAL_IP_NOT_ALLOWED", "198.51.100.2", "198.51.100.4/31"):
            await nat.create_snat(network, owner=RED, external_ip=ip_address("198.51.100.2"))
        chosen = await nat.create_snat(network, owner=RED, external_ip=None)
        assert chosen.value.external_ip in IPv4Network("198.51.100.4/31")

        await nat.delete_snat(network, owner=RED)
        await set_quota(network, RED, limits={}, external=())
        async with refused(network, "EXTERNAL_POOL_EXHAUSTED"):
            await nat.create_snat(network, owner=RED, external_ip=None)


async def test_a_vpc_has_a_range_that_its_project_may_have(tmp_path: Path) -> None:
    async with network_at(tmp_path) as network:
        await set_quota(network, RED, limits={}, ranges=(ip_network("10.7.0.0/16"), ip_network("172.16.0.0/12")))

        async with refused(network, "CIDR_NOT_ALLOWED", "10.8.0.0/16", "10.7.0.0/16"):
            await vpcs.create_vpc(network, owner=RED, name="", cidr=IPv4Network("10.8.0.0/16"))
        made = await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
        assert made.value.cidr == IPv4Network("10.7.0.0/16")


@pytest.mark.parametrize("limits", [{"kittens": 3}, {"port": -1}, {"port": 10**9}])
async def test_a_quota_that_means_nothing_is_refused(tmp_path: Path, limits: dict[str, int]) -> None:
    async with network_at(tmp_path) as network, refused(network, "INVALID_ARGUMENT"):
        await set_quota(network, RED, limits=limits)


async def test_every_resource_that_can_be_made_has_a_default(tmp_path: Path) -> None:
    from typing import get_args

    from weftwork.model.keys import Kind

    assert set(get_args(Kind)) - {"vpc"} <= DEFAULTS.keys()
