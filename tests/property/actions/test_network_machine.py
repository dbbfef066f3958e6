"""Whatever is called in whatever order: nothing is given twice, nothing is orphaned, refused calls change nothing."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from weftwork.actions import nat, ports, reads, rows, security_groups, subnets, vpcs
from weftwork.actions.network import Network
from weftwork.base.addresses import Mac
from weftwork.base.codes import ALL
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent
from weftwork.model.keys import parse_thing_key
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.testing.network_kit import BLUE, RED, content, leaks, network_at, network_on

Answer = TypeVar("Answer")

owners = st.sampled_from([RED, BLUE])
names = st.sampled_from(["default", "a", "b", "c"])
port_names = st.sampled_from(["", "p", "q", "r"])
groups = st.lists(st.sampled_from(["default", "a", "b", "red/web/c"]), max_size=3).map(tuple)
vpc_ranges = st.sampled_from(
    [None, IPv4Network("10.1.0.0/16"), IPv4Network("192.168.0.0/28"), IPv4Network("10.0.0.0/8")]
)
subnet_ranges = st.sampled_from(
    [
        None,
        *map(
            IPv4Network, ("10.1.0.0/30", "10.1.7.0/29", "10.1.7.4/30", "10.1.6.0/23", "192.168.0.8/29", "10.9.0.0/24")
        ),
    ]
)
addresses = st.sampled_from([None, *map(IPv4Address, ("10.1.0.2", "10.1.0.3", "10.1.7.1", "10.1.7.6", "192.168.0.3"))])
external = st.sampled_from([None, *map(IPv4Address, ("198.51.100.1", "198.51.100.2", "198.51.100.3"))])
macs = st.sampled_from([None, *map(Mac, ("02:57:00:00:00:01", "02:57:00:00:04:00", "0a:00:00:00:00:01"))])
protocols = st.sampled_from([Protocol.TCP, Protocol.UDP])
peers = st.sampled_from([IPv4Network("0.0.0.0/0"), GroupRef("a"), GroupRef("b"), GroupRef("default")])
rules_ = st.lists(
    st.builds(Rule, protocols, st.sampled_from([None, PortRange(80, 80)]), peers), max_size=3, unique=True
).map(tuple)

FROM_B, FROM_DEFAULT = (Rule(Protocol.ALL, None, GroupRef(name)) for name in ("b", "default"))


class TwoTenants(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.open = AsyncExitStack()
        self.network: Network = self.run(self.open.enter_async_context(network_at(self.directory)))
        self.given_macs: dict[tuple[ProjectKey, int], set[str]] = {}
        for owner in (RED, BLUE):
            self.run(self.populate(owner))

    async def populate(self, owner: ProjectKey) -> None:
        """Something to meet from the first step on."""
        network = self.network
        await vpcs.create_vpc(network, owner=owner, name="", cidr=IPv4Network("10.1.0.0/16"))
        await subnets.create_subnet(network, owner=owner, name="a", cidr=IPv4Network("10.1.7.0/29"), dhcp_enabled=True)
        await security_groups.create_security_group(network, owner=owner, name="b")
        await security_groups.create_security_group(network, owner=owner, name="a", ingress=(FROM_B, FROM_DEFAULT))
        for port, subnet in (("p", "default"), ("q", "a")):
            made = await ports.create_port(network, owner=owner, name=port, subnet=subnet, groups=("a", "default"))
            self.note_mac(made.value)
        await nat.create_snat(network, owner=owner, external_ip=None)
        await nat.create_dnat(
            network,
            owner=owner,
            external_ip=None,
            external_port=80,
            protocol=Protocol.TCP,
            internal_ip=made.value.addresses[0],
        )

    def note_mac(self, port: Port) -> None:
        """A MAC that we chose was never another port's of the VPC."""
        vpc = self.network.view.intent[port.owner].vpc
        assert vpc
        given = self.given_macs.setdefault((port.owner, vpc.vni), set())
        assert port.mac not in given
        given.add(port.mac)

    def run(self, awaitable: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(awaitable)

    def teardown(self) -> None:
        if hasattr(self, "network"):
            self.run(self.a_fresh_view_is_the_same())
            self.run(self.open.aclose())
            self.runner.close()
            shutil.rmtree(self.directory)

    def call(self, verb: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any) -> Any:
        """What it answered, None when it was refused. A rehearsal refuses the same and tells what is written."""

        async def attempt() -> Any:
            before = await content(self.network.store)
            dry = self.network.dry()
            rehearsed = await _outcome(verb(dry, **arguments))
            assert await content(self.network.store) == before
            done = await _outcome(verb(self.network, **arguments))
            after = await content(self.network.store)
            if isinstance(done, Refusal):
                assert isinstance(rehearsed, Refusal) and rehearsed.code == done.code
                assert ALL[done.code].kind is done.kind and done.hint and done.message
                assert after == before
                return None
            assert not isinstance(rehearsed, Refusal), rehearsed
            changed = {one.key for one in set(after) ^ set(before) if parse_thing_key(one.key)}
            told = {one.key for one in dry.writes if parse_thing_key(one.key)}
            if not any("/ports/" in key for key in told):
                assert changed <= told
            return done

        return self.run(attempt())

    @rule(owner=owners, cidr=vpc_ranges)
    def create_vpc(self, owner: ProjectKey, cidr: IPv4Network | None) -> None:
        made = self.call(vpcs.create_vpc, owner=owner, name="", cidr=cidr)
        if made:
            assert self.run(reads.get_vpc(self.network, owner=owner)) == made

    @rule(owner=owners, luck=st.integers(0, 11))
    def delete_vpc(self, owner: ProjectKey, luck: int) -> None:
        """Rarely with everything, or the tenants never come to own much."""
        self.call(vpcs.delete_vpc, owner=owner, cascade=luck == 11)

    @rule(owner=owners, name=names, cidr=subnet_ranges)
    def create_subnet(self, owner: ProjectKey, name: str, cidr: IPv4Network | None) -> None:
        made = self.call(subnets.create_subnet, owner=owner, name=name, cidr=cidr, dhcp_enabled=True)
        if made:
            assert self.run(reads.get_subnet(self.network, owner=owner, subnet=name)) == made

    @rule(owner=owners, name=names, cascade=st.booleans())
    def delete_subnet(self, owner: ProjectKey, name: str, cascade: bool) -> None:
        self.call(subnets.delete_subnet, owner=owner, subnet=name, cascade=cascade)

    @rule(owner=owners, subnet=names, name=port_names, mac=macs, address=addresses, groups=groups)
    def create_port(self, owner: ProjectKey, name: str, **arguments: Any) -> None:
        existed = name in {port.name for port in self.intent_of(owner)}
        made = self.call(ports.create_port, owner=owner, name=name, **arguments)
        if made is None:
            return
        assert self.run(reads.get_port(self.network, owner=owner, port=made.value.id)) == made
        if arguments["mac"] is None and not existed:
            self.note_mac(made.value)

    @rule(owner=owners, subnet=st.sampled_from(["default", "a"]))
    def create_any_port(self, owner: ProjectKey, subnet: str) -> None:
        made = self.call(ports.create_port, owner=owner, subnet=subnet)
        if made:
            self.note_mac(made.value)

    @rule(owner=owners, data=st.data(), cascade=st.booleans())
    def delete_port(self, owner: ProjectKey, data: st.DataObject, cascade: bool) -> None:
        self.call(ports.delete_port, owner=owner, port=self.some_port(owner, data), cascade=cascade)

    @rule(owner=owners, data=st.data(), vm=st.sampled_from(["vm1", "vm2"]))
    def attach(self, owner: ProjectKey, data: st.DataObject, vm: str) -> None:
        self.call(ports.attach_port, owner=owner, port=self.some_port(owner, data), vm=vm)

    @rule(owner=owners, data=st.data(), netns=st.sampled_from(["n1", "n2"]))
    def plug(self, owner: ProjectKey, data: st.DataObject, netns: str) -> None:
        self.call(ports.plug_port, owner=owner, port=self.some_port(owner, data), netns=netns)

    @rule(owner=owners, data=st.data(), verb=st.sampled_from([ports.detach_port, ports.unplug_port]))
    def let_go(self, owner: ProjectKey, data: st.DataObject, verb: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.call(verb, owner=owner, port=self.some_port(owner, data))

    @rule(owner=owners, data=st.data(), groups=groups)
    def regroup(self, owner: ProjectKey, data: st.DataObject, groups: tuple[str, ...]) -> None:
        self.call(ports.set_security_groups, owner=owner, port=self.some_port(owner, data), groups=groups)

    @rule(owner=owners, name=names, ingress=rules_, egress=rules_)
    def create_group(self, owner: ProjectKey, **arguments: Any) -> None:
        self.call(security_groups.create_security_group, owner=owner, **arguments)

    @rule(owner=owners, group=names, ingress=st.none() | rules_, egress=st.none() | rules_)
    def update_group(self, owner: ProjectKey, **arguments: Any) -> None:
        self.call(security_groups.update_security_group, owner=owner, **arguments)

    @rule(
        owner=owners,
        group=names,
        ingress=rules_,
        verb=st.sampled_from([security_groups.add_rules, security_groups.remove_rules]),
    )
    def change_rules(self, owner: ProjectKey, verb: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any) -> None:
        self.call(verb, owner=owner, **arguments)

    @rule(owner=owners, group=names, cascade=st.booleans())
    def delete_group(self, owner: ProjectKey, group: str, cascade: bool) -> None:
        self.call(security_groups.delete_security_group, owner=owner, group=group, cascade=cascade)

    @rule(owner=owners, external_ip=external)
    def create_snat(self, owner: ProjectKey, external_ip: IPv4Address | None) -> None:
        self.call(nat.create_snat, owner=owner, external_ip=external_ip)

    @rule(owner=owners)
    def delete_snat(self, owner: ProjectKey) -> None:
        self.call(nat.delete_snat, owner=owner)

    @rule(owner=owners, external_ip=external, protocol=protocols, data=st.data())
    def create_dnat(
        self, owner: ProjectKey, external_ip: IPv4Address | None, protocol: Protocol, data: st.DataObject
    ) -> None:
        targets = [port.addresses[0] for port in self.intent_of(owner)]
        self.call(
            nat.create_dnat,
            owner=owner,
            external_ip=external_ip,
            external_port=data.draw(st.sampled_from([80, 443])),
            protocol=protocol,
            internal_ip=data.draw(st.sampled_from([*targets, IPv4Address("10.1.0.99")])),
        )

    @rule(owner=owners, data=st.data())
    def delete_dnat(self, owner: ProjectKey, data: st.DataObject) -> None:
        project = self.network.view.intent.get(owner)
        dnats = (
            [(one.external_ip, one.external_port, one.protocol) for one in project.dnats.values()] if project else []
        )
        chosen = data.draw(st.sampled_from([*dnats, (IPv4Address("198.51.100.2"), 81, Protocol.TCP)]))
        self.call(nat.delete_dnat, owner=owner, external_ip=chosen[0], external_port=chosen[1], protocol=chosen[2])

    @invariant()
    def nothing_is_given_twice(self) -> None:
        if not hasattr(self, "network"):
            return
        intent = self.network.view.intent
        vnis = [project.vpc.vni for project in intent.values() if project.vpc]
        assert len(set(vnis)) == len(vnis) == len(intent)
        users = {(dnat.external_ip, owner) for owner, project in intent.items() for dnat in project.dnats.values()}
        users |= {(project.snat.external_ip, owner) for owner, project in intent.items() if project.snat}
        assert len({address for address, _ in users}) == len(users)
        for project in intent.values():
            mine = project.ports.values()
            assert len({port.mac for port in mine}) == len({port.addresses for port in mine}) == len(mine)
            ranges = [subnet.cidr for subnet in project.subnets.values()]
            assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)
            assert len({subnet.vlan for subnet in project.subnets.values()}) == len(ranges)
            for port in mine:
                subnet = project.subnets[port.subnet]
                assert port.addresses[0] in list(subnet.cidr.hosts())[1:]

    @invariant()
    def nothing_is_orphaned(self) -> None:
        if hasattr(self, "network"):
            assert self.run(leaks(self.network.store)) == ()

    def intent_of(self, owner: ProjectKey) -> list[Any]:
        project = self.network.view.intent.get(owner)
        return sorted(project.ports.values(), key=lambda port: port.addresses) if project else []

    def some_port(self, owner: ProjectKey, data: st.DataObject) -> str:
        mine = [port.name or port.id for port in self.intent_of(owner)]
        number = data.draw(st.integers(0, len(mine)))
        return [*mine, "absent"][number]

    async def a_fresh_view_is_the_same(self) -> None:
        """What was kept up to date event by event is what one reads from the store."""
        followed = self.network.view
        async with network_on(self.network.store) as other:
            read = other.view
            assert read.intent == followed.intent
            assert read.external == followed.external
            assert read.pool_claims == followed.pool_claims
            assert read.plugs == followed.plugs
            assert [vni in read.vnis for vni in range(1001, 1100)] == [
                vni in followed.vnis for vni in range(1001, 1100)
            ]
            for owner in followed.intent:
                _check_index(followed.intent, owner, self.network)
                _check_index(read.intent, owner, other)


def _check_index(intent: Intent, owner: ProjectKey, network: Network) -> None:
    here = network.view.project(owner)
    assert here is not None and here.intent is intent[owner]
    mine = here.intent.ports
    assert here.port_by_name == {port.name: port.id for port in mine.values() if port.name}
    assert here.port_by_mac == {port.mac: port.id for port in mine.values()}
    assert here.port_by_address == {port.addresses[0]: port.id for port in mine.values()}
    assert here.sorted_ports() == tuple(sorted(mine))
    for subnet in here.intent.subnets.values():
        inside = {port.id for port in mine.values() if port.subnet == subnet.name}
        assert {port.id for port in here.ports_of_subnet(subnet.name)} == inside
        assert len(here.used(subnet)) == len(inside)
    for group in here.intent.groups:
        assert {port.id for port in here.members(group)} == {port.id for port in mine.values() if group in port.groups}
    for port in mine.values():
        aimed = {dnat.name for dnat in here.intent.dnats.values() if dnat.internal_ip == port.addresses[0]}
        assert {dnat.name for dnat in here.dnats_at(port.addresses[0])} == aimed
    for thing in here.things():
        assert network.view.revision_of(rows.key_of(thing)) > 0


async def _outcome(call: Coroutine[Any, Any, Any]) -> Any:
    """The answer, or the Refusal; a delete's answer is True."""
    try:
        return (await call) or True
    except Refusal as refusal:
        return refusal


TestTwoTenants = TwoTenants.TestCase
TestTwoTenants.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
