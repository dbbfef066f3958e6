"""Makes a project what somebody wrote down: one change, of what is different and in the order in which it can be.

It is decided step by step on the scratch view of a batch: first what goes, then, compared anew, what comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from weftwork.access.decision import check_project, no_such_project
from weftwork.access.roles import Role
from weftwork.actions import nat, network_policies, peerings, ports, reach_tests, rows, security_groups, shares, vpcs
from weftwork.actions import subnets as subnet_actions
from weftwork.actions.batch import Batch, run_batch
from weftwork.actions.history import changes_between
from weftwork.actions.index import ProjectIndex
from weftwork.actions.journal import Changed
from weftwork.actions.network import Network, Stored
from weftwork.actions.object_lines import is_same
from weftwork.actions.reach_tests import Wanted
from weftwork.base import codes
from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.declare.differences import leads_as_said, matches, replacements, unwanted
from weftwork.declare.project import DEFAULT, GroupSpec, PortSpec, ProjectSpec, SubnetSpec
from weftwork.declare.told import address_of, group_spec, policy_spec, spec_of
from weftwork.declare.told import test_spec as spec_of_test
from weftwork.model import keys
from weftwork.model.intent import ProjectIntent, Thing
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import AttachmentKind, Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Empty

_OF_ADMINS: frozenset[keys.Kind] = frozenset({"vpc", "peering", "subnet-share"})
"""What only an admin makes, changes and deletes; the rest is an operator's."""
_LOOK_BACK = 50
"""Lines of a journal stand in the order in which changes were decided, which is nearly that of their revisions."""


@dataclass(frozen=True, slots=True)
class Export:
    """`unnamed` ports are not in it. `revision` is that of the project's last change, as far as it is remembered."""

    spec: ProjectSpec
    unnamed: int
    revision: int


async def export(network: Network, *, owner: ProjectKey) -> Export:
    """What of the project can be written down. Refusal VPC_NOT_FOUND."""
    revision = await newest_change(network, owner)
    here = network.view.project(owner)
    if here is None or here.intent.vpc is None:
        raise no_such_project(owner)
    unnamed = sum(not one.name for one in here.intent.ports.values())
    return Export(spec_of(here.intent), unnamed, revision)


async def newest_change(network: Network, owner: ProjectKey) -> int:
    """The revision that last changed the project; 0 where none is remembered."""
    lines = await network.store.range(keys.journal(owner), limit=_LOOK_BACK)
    return max((one.revision for one in lines.records), default=0)


async def apply(
    network: Network,
    *,
    owner: ProjectKey,
    spec: ProjectSpec,
    prune: bool = False,
    replace: bool = False,
    if_revision: int | None = None,
) -> Stored[tuple[Changed, ...]]:
    """With `prune`, what is in no section that the file has goes; with `replace`, what cannot be changed in place is
    made again; with `if_revision`, only while that is the revision of the project's last change.

    Refusals VPC_NOT_FOUND, REPLACE_NEEDED, REVISION_CHANGED, IN_USE, ROLE_TOO_LOW, and those of what it does.
    """
    if if_revision is not None and not isinstance(network, Batch):
        newest = await newest_change(network, owner)
        if newest > if_revision:
            raise codes.REVISION_CHANGED.refusal(
                f"project {owner} is at revision {newest}, not {if_revision}: somebody else changed it",
                revision=str(newest),
            )

    async def step(batch: Network) -> Stored[tuple[Changed, ...]]:
        assert isinstance(batch, Batch)
        if if_revision is not None:
            batch.seen.append(Empty(keys.journal(owner), if_revision))
        return Stored(await _Application(batch, owner, spec).run(prune=prune, may_replace=replace), 0)

    return await run_batch(network, [step], lambda values: values[0].value)


class _Application:
    """One file on one project, on a scratch view."""

    def __init__(self, batch: Batch, owner: ProjectKey, spec: ProjectSpec) -> None:
        self._on = batch
        self._owner = owner
        self._spec = spec

    async def run(self, *, prune: bool, may_replace: bool) -> tuple[Changed, ...]:
        was = self._things()
        await self._replace(may_replace)
        await self._vpc()
        if prune:
            await self._prune()
        await self._peerings()
        await self._subnets()
        await self._groups()
        await self._policies()
        await self._ports()
        await self._nat()
        await self._tests()
        changes = tuple(changes_between(was, self._things()))
        if any(one.key.kind in _OF_ADMINS for one in changes if not _is_touched(one)):
            check_project(self._on.principal, self._owner, Role.ADMIN)
        return changes

    @property
    def _here(self) -> ProjectIndex:
        return self._on.view.project(self._owner) or ProjectIndex(self._owner)

    @property
    def _intent(self) -> ProjectIntent:
        return self._here.intent

    def _things(self) -> Mapping[ThingKey, Thing]:
        return {rows.key_of(one): one for one in self._here.things()}

    async def _replace(self, may_replace: bool) -> None:
        """Refusal REPLACE_NEEDED."""
        needed = tuple(replacements(self._spec, self._intent))
        if needed and not may_replace:
            raise codes.REPLACE_NEEDED.refusal("; ".join(map(str, needed)), count=str(len(needed)))
        for one in needed:
            await self._delete(one.thing, cascade=True)

    async def _vpc(self) -> None:
        vpc, wanted = self._intent.vpc, self._spec.vpc
        if vpc is None:
            if wanted is None:
                raise no_such_project(self._owner)
            await vpcs.create_vpc(self._on, owner=self._owner, name=wanted.name or "", cidr=wanted.cidr)
            await self._drop_default()
        elif wanted and wanted.name not in (None, vpc.name):
            await vpcs.rename_vpc(self._on, owner=self._owner, name=wanted.name or "")

    async def _drop_default(self) -> None:
        """A file that lists subnets lists all of a new VPC's."""
        if self._spec.subnets is not None:
            await subnet_actions.delete_subnet(self._on, owner=self._owner, subnet=DEFAULT, cascade=False)

    async def _prune(self) -> None:
        """Refusal IN_USE, where something that the file does not say stands on what would go."""
        for one in tuple(unwanted(self._spec, self._intent)):
            await self._delete(one, cascade=self._says_what_stands_on(one))

    def _says_what_stands_on(self, gone: Thing) -> bool:
        """Whether all that a cascade would change is put right by the file afterwards."""
        here, spec = self._here, self._spec
        match gone:
            case SecurityGroup(name=name):
                members = [one.name for one in here.members(name)]
                groups = [one.name for one in here.groups_naming(name) if one.name != name]
                policies = [one.name for one in here.policies_naming_group(name)]
                return (
                    _says(spec.ports, members) and _says(spec.security_groups, groups) and self._policies_of(policies)
                )
            case Subnet(name=name):
                named = [one.name for one in here.policies_naming_subnet(name)]
                return not any(here.ports_of_subnet(name)) and self._policies_of(named)
            case Peering(peer=peer):
                naming = [one.name for one in self._intent.groups.values() if peer in peerings.peers_named((one,))]
                return _says(spec.security_groups, naming)
        return False

    def _policies_of(self, names: list[str]) -> bool:
        return _says(self._spec.network_policies, names)

    async def _delete(self, thing: Thing, *, cascade: bool) -> None:
        on, owner = self._on, self._owner
        match thing:
            case Vpc():
                await vpcs.delete_vpc(on, owner=owner, cascade=cascade)
            case Subnet():
                await subnet_actions.delete_subnet(on, owner=owner, subnet=thing.name, cascade=cascade)
            case Port():
                if thing.id in self._intent.ports:
                    await ports.delete_port(on, owner=owner, port=thing.id, cascade=cascade)
            case SecurityGroup():
                await security_groups.delete_security_group(on, owner=owner, group=thing.name, cascade=cascade)
            case Snat():
                await nat.delete_snat(on, owner=owner)
            case Dnat(external_ip=address, external_port=port, protocol=protocol):
                await nat.delete_dnat(on, owner=owner, external_ip=address, external_port=port, protocol=protocol)
            case Peering():
                await peerings.delete_peering(on, owner=owner, peering=str(thing.peer), cascade=cascade)
            case NetworkPolicy():
                await network_policies.delete_network_policy(on, owner=owner, policy=thing.name)
            case ReachTest():
                await reach_tests.delete_reach_test(on, owner=owner, test=thing.name)

    async def _peerings(self) -> None:
        for name, peer in (self._spec.peerings or {}).items():
            if peer not in self._intent.peerings:
                await peerings.create_peering(self._on, owner=self._owner, name=name, peer=peer)

    async def _subnets(self) -> None:
        wanted = self._spec.subnets or {}
        # Those that name their range first, so that none that does not is given it.
        for name in sorted(wanted, key=lambda one: wanted[one].cidr is None):
            spec, there = wanted[name], self._intent.subnets.get(name)
            if there is None:
                await self._new_subnet(name, spec)
            else:
                await subnet_actions.update_subnet(
                    self._on,
                    owner=self._owner,
                    subnet=name,
                    **_dhcp(spec),
                )
            await self._share(name, spec)

    async def _new_subnet(self, name: str, spec: SubnetSpec) -> None:
        await subnet_actions.create_subnet(
            self._on,
            owner=self._owner,
            name=name,
            cidr=spec.cidr,
            **_dhcp(spec),
        )

    async def _share(self, name: str, spec: SubnetSpec) -> None:
        with_whom = {one.to for one in self._intent.shares.values() if one.subnet == name}
        for to in sorted(with_whom - spec.shared_with):
            await shares.unshare_subnet(self._on, owner=self._owner, subnet=name, to=to)
        for to in sorted(spec.shared_with - with_whom):
            await shares.share_subnet(self._on, owner=self._owner, subnet=name, to=to)

    async def _groups(self) -> None:
        """All are there before the first gets rules: they may name each other."""
        wanted = self._spec.security_groups or {}
        for name in wanted:
            if name not in self._intent.groups:
                await security_groups.create_security_group(self._on, owner=self._owner, name=name)
        for name, spec in wanted.items():
            if not _is_same_group(group_spec(self._intent.groups[name]), spec):
                await security_groups.update_security_group(
                    self._on,
                    owner=self._owner,
                    group=name,
                    description=spec.description,
                    ingress=spec.ingress,
                    egress=spec.egress,
                )

    async def _policies(self) -> None:
        for name, spec in (self._spec.network_policies or {}).items():
            there = self._intent.policies.get(name)
            said = {"kind": spec.kind, "subnet": spec.subnet, "priority": spec.priority, "rules": spec.rules}
            if there is None:
                await network_policies.create_network_policy(self._on, owner=self._owner, name=name, **said)  # type: ignore[arg-type]
            elif policy_spec(there) != spec:
                await network_policies.update_network_policy(self._on, owner=self._owner, policy=name, **said)  # type: ignore[arg-type]

    async def _ports(self) -> None:
        wanted = self._spec.ports or {}
        for name in sorted(wanted, key=lambda one: wanted[one].address is None):
            spec, there = wanted[name], self._intent.ports.get(self._here.port_by_name.get(name, ""))
            if there is None:
                there = await self._new_port(name, spec)
            if there.groups != spec.groups:
                await ports.set_security_groups(self._on, owner=self._owner, port=there.id, groups=spec.groups)
            if spec.vm is not None:
                await self._attach(there, spec.vm)

    async def _new_port(self, name: str, spec: PortSpec) -> Port:
        made = await ports.create_port(
            self._on,
            owner=self._owner,
            subnet=spec.subnet,
            name=name,
            mac=spec.mac,
            address=spec.address,
            groups=spec.groups,
        )
        return made.value

    async def _attach(self, port: Port, vm: str) -> None:
        has = port.vm if port.attachment else ""
        is_vms = port.attachment is not None and port.attachment.kind is AttachmentKind.TAP
        if has != vm and is_vms:
            await ports.detach_port(self._on, owner=self._owner, port=port.id)
        if vm and has != vm:
            await ports.attach_port(self._on, owner=self._owner, port=port.id, vm=vm)

    async def _nat(self) -> None:
        for spec in (self._spec.snat or {}).values():
            if self._intent.snat is None:
                await nat.create_snat(self._on, owner=self._owner, external_ip=spec.external, enabled=spec.enabled)
            else:
                await nat.update_snat(self._on, owner=self._owner, enabled=spec.enabled)
        await self._dnats()

    async def _dnats(self) -> None:
        wanted = self._spec.dnats or {}
        there = matches(wanted, self._intent)
        for outer in sorted(wanted, key=lambda one: one.address is None):
            inner, dnat = wanted[outer], there.get(outer)
            address = address_of(self._intent, inner)
            if address is None:
                raise codes.NAT_TARGET_NOT_FOUND.refusal(
                    f"DNAT {outer}: project {self._owner} has no port {inner.host}"
                )
            if dnat is None:
                await nat.create_dnat(
                    self._on,
                    owner=self._owner,
                    external_ip=outer.address,
                    external_port=outer.port,
                    protocol=outer.protocol,
                    internal_ip=address,
                    internal_port=inner.port,
                )
            elif not leads_as_said(self._spec, self._intent, outer, dnat):
                await nat.redirect_dnat(
                    self._on, owner=self._owner, dnat=dnat.name, internal_ip=address, internal_port=inner.port
                )

    async def _tests(self) -> None:
        there = self._intent.reach_tests
        wanted = {
            name: spec
            for name, spec in (self._spec.reach_tests or {}).items()
            if name not in there or spec_of_test(self._intent, there[name]) != spec
        }
        tests = [
            Wanted(name, one.must, one.source, one.destination, one.protocol, one.ports) for name, one in wanted.items()
        ]
        if tests:
            await reach_tests.apply_reach_tests(self._on, owner=self._owner, wanted=tests, prune=False)


class _Dhcp(TypedDict):
    """What a subnet tells its guests, as it is called when one is made and when one is changed."""

    dhcp_enabled: bool
    dns_servers: tuple[Address, ...]
    domain_name: str
    ntp_servers: tuple[Address, ...]
    lease_time_s: int


def _dhcp(spec: SubnetSpec) -> _Dhcp:
    return {
        "dhcp_enabled": spec.dhcp,
        "dns_servers": spec.dns_servers,
        "domain_name": spec.domain,
        "ntp_servers": spec.ntp_servers,
        "lease_time_s": spec.lease_time_s,
    }


def _is_touched(change: Changed) -> bool:
    """Written, but for nothing that anybody said."""
    return change.before is not None and change.after is not None and is_same(change.before, change.after)


def _says(section: Mapping[str, object] | None, names: list[str]) -> bool:
    return all(section is not None and bool(name) and name in section for name in names)


def _is_same_group(have: GroupSpec, wanted: GroupSpec) -> bool:
    """The order of rules means nothing."""
    return (have.description, set(have.ingress), set(have.egress)) == (
        wanted.description,
        set(wanted.ingress),
        set(wanted.egress),
    )
