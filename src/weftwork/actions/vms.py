"""VMs: made with their ports in one transaction, and gone with them. Their addresses stay while they are stopped.

What a host makes of a VM is no intent: controller/vms.py knows that.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Network

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, joined
from weftwork.actions.dependents import in_use, removals, told_of
from weftwork.actions.external import release
from weftwork.actions.find import DEFAULT, ssh_key_of, usable_subnet, vm_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.outbox import requested
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.actions.ports import groups_of, new_port
from weftwork.actions.reach_guard import tests_naming
from weftwork.actions.security_groups import without_peer
from weftwork.actions.subnets import dnats_to
from weftwork.actions.vm_words import Nic, Wanted, check_flavour, check_wanted
from weftwork.allocator.placement import Nowhere, Used, place
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.vm import Flavour, Service, Vm
from weftwork.seams.store import Empty

_EVERYBODY = IPv4Network("0.0.0.0/0")
_OWN_GROUP = "vm-"


async def create_vm(network: Network, *, owner: ProjectKey, wanted: Wanted) -> Stored[Vm]:
    """With its ports, and for its public services with a group of its own that lets everybody in to them.

    Refusals those of `check_wanted` and of `create_port`, and VM_ALREADY_EXISTS, SSH_KEY_NOT_FOUND, VM_NOT_FOUND (of a
    placement), SECURITY_GROUP_ALREADY_EXISTS, NO_HOST_FITS.
    """
    check_wanted(wanted)

    def decide() -> Decision[Vm]:
        here, _ = vpc_of(network, owner)
        if wanted.name in here.intent.vms:
            raise codes.VM_ALREADY_EXISTS.refusal(f"project {owner} has a VM {wanted.name!r}")
        for other in (*wanted.placement.near, *wanted.placement.apart_from):
            vm_of(here, owner, other)
        names = tuple(ssh_key_of(here, owner, one).name for one in wanted.ssh_keys)
        vm_id = network.new_id()
        group = _own_group(network, here, wanted)
        ports, drafts, claims = _ports(network, here, wanted.nics, vm_id, group)
        vm = Vm(
            owner=owner,
            name=wanted.name,
            id=vm_id,
            image=wanted.image,
            flavour=wanted.flavour,
            ports=tuple(one.id for one in ports),
            created_at=network.clock.now_s(),
            group=group.name if group else "",
            ssh_keys=names,
            public_keys=wanted.public_keys,
            authorized_keys=_authorized(here, names, wanted.public_keys),
            command=wanted.command,
            environment=wanted.environment,
            services=wanted.services,
            metadata=wanted.metadata,
            restart=wanted.restart,
            placement=wanted.placement,
            is_started=wanted.is_started,
            run=int(wanted.is_started),
        )
        if vm.is_started:
            _check_fits(network, here, vm)
        made = [creation(vm), *([creation(group)] if group else []), *drafts, requested(network, None, vm)]
        return Decision(vm, joined(made), holds=claims)

    return await network.run(owner, decide, alone=False)


async def delete_vm(network: Network, *, owner: ProjectKey, vm: str, cascade: bool) -> None:
    """With its ports and its own group; with `cascade`, with the DNAT that points at it, and whatever names its ports
    or its group. Refusals VPC_NOT_FOUND, VM_NOT_FOUND, IN_USE.
    """

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        gone = vm_of(here, owner, vm)
        ports = [here.intent.ports[one] for one in gone.ports]
        group = here.intent.groups.get(gone.group)
        dnats = dnats_to(here, ports)
        naming = _naming(here, group)
        tests = tests_naming(here.intent, [*ports, *([group] if group else [])])
        if (dnats or naming or tests) and not cascade:
            raise in_use(told_of(gone), [*dnats, *naming, *tests])
        everything: list[Thing] = [gone, *ports, *dnats, *tests, *([group] if group else [])]
        draft = removals(network, everything) + release(network, here, dnats)
        return Decision(
            None,
            joined(
                [
                    draft,
                    _unnamed(network, naming, gone.group),
                    *_seen(network, gone, ports),
                    requested(network, gone, None),
                ]
            ),
        )

    await network.run(owner, decide, alone=False)


async def start_vm(network: Network, *, owner: ProjectKey, vm: str) -> Stored[Vm]:
    """With the keys as they are now. Of one that is to run anyway, nothing changes."""
    return await _change(network, owner, vm, lambda here, old: old if old.is_started else _started(network, here, old))


async def stop_vm(network: Network, *, owner: ProjectKey, vm: str) -> Stored[Vm]:
    """Its disk, ports and addresses stay."""
    return await _change(network, owner, vm, lambda here, old: replace(old, is_started=False))


async def restart_vm(network: Network, *, owner: ProjectKey, vm: str) -> Stored[Vm]:
    """Also one that was stopped."""
    return await _change(network, owner, vm, lambda here, old: _started(network, here, old))


async def resize_vm(
    network: Network, *, owner: ProjectKey, vm: str, vcpus: int = 0, memory_mib: int = 0, disk_mib: int = 0
) -> Stored[Vm]:
    """What is 0 stays. Refusals VM_NOT_FOUND, VM_NOT_STOPPED, INVALID_VM (also of a disk that would shrink)."""

    def resized(here: ProjectIndex, old: Vm) -> Vm:
        if old.is_started:
            raise codes.VM_NOT_STOPPED.refusal(f"VM {old.name} is to run")
        size = old.flavour
        new = Flavour(vcpus or size.vcpus, memory_mib or size.memory_mib, disk_mib or size.disk_mib)
        check_flavour(new)
        if new.disk_mib < size.disk_mib:
            raise codes.INVALID_VM.refusal(f"its disk has {size.disk_mib} MiB, and only grows", field="disk_mib")
        return replace(old, flavour=new)

    return await _change(network, owner, vm, resized)


async def settle_image(network: Network, *, owner: ProjectKey, vm: str, digest: str) -> Stored[Vm]:
    """Its image was found: from now on it is this one, whatever the name comes to mean."""
    return await _change(network, owner, vm, lambda here, old: replace(old, digest=old.digest or digest))


async def get_vm(network: Network, *, owner: ProjectKey, vm: str) -> Stored[Vm]:
    """Refusals VPC_NOT_FOUND, VM_NOT_FOUND."""
    found = vm_of(vpc_of(network, owner)[0], owner, vm)
    return Stored(found, network.view.revision_of(rows.key_of(found)))


async def list_vms(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[Vm] | None = None
) -> Page[Vm]:
    """Refusal INVALID_PAGE_TOKEN."""
    here = network.view.project(owner) or ProjectIndex(owner)

    def stored(name: str) -> Stored[Vm] | None:
        vm = here.intent.vms.get(name)
        return Stored(vm, network.view.revision_of(rows.key_of(vm))) if vm else None

    return await page_of(sorted(here.intent.vms), stored, page_size, page_token, sift)


async def _change(
    network: Network, owner: ProjectKey, text: str, changed: Callable[[ProjectIndex, Vm], Vm]
) -> Stored[Vm]:
    def decide() -> Decision[Vm]:
        here, _ = vpc_of(network, owner)
        old = vm_of(here, owner, text)
        new = changed(here, old)
        revision = network.view.revision_of(rows.key_of(old))
        if new == old:
            return Decision(old, revision=revision)
        return Decision(new, change(old, new, revision) + requested(network, old, new))

    return await network.run(owner, decide, alone=False)


def _started(network: Network, here: ProjectIndex, old: Vm) -> Vm:
    if not old.is_started:
        _check_fits(network, here, old)
    return replace(
        old, is_started=True, run=old.run + 1, authorized_keys=_authorized(here, old.ssh_keys, old.public_keys)
    )


def _check_fits(network: Network, here: ProjectIndex, vm: Vm) -> None:
    """Refusals NO_VMS_HERE, NO_HOST_FITS."""
    if network.settings.has_fleet:
        raise codes.NO_VMS_HERE.refusal("hosts of a fleet do not run VMs yet")
    if not network.settings.machines:
        return
    used: dict[str, Used] = {}
    for project in network.view.intent.values():
        for one in project.vms.values():
            if one.is_started and one.id != vm.id:
                used[one.host] = used.get(one.host, Used()) + one.flavour
    near, apart = (
        frozenset(here.intent.vms[name].host for name in names if name in here.intent.vms)
        for names in (vm.placement.near, vm.placement.apart_from)
    )
    found = place(vm.flavour, vm.placement, network.settings.machines, used, near=near, apart=apart)
    if isinstance(found, Nowhere):
        raise codes.NO_HOST_FITS.refusal(f"no host can take VM {vm.name}: {found}")


def _authorized(here: ProjectIndex, names: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """Its own, and of those that are named the ones still there; with neither, all of the project."""
    there = here.intent.ssh_keys
    asked = names if names or own else sorted(there)
    return (*own, *(there[name].text for name in asked if name in there))


def _ports(
    network: Network, here: ProjectIndex, nics: tuple[Nic, ...], vm_id: str, own: SecurityGroup | None
) -> tuple[list[Port], list[Draft], tuple[str, ...]]:
    ports: list[Port] = []
    drafts: list[Draft] = []
    claims: list[str] = []
    for nic in nics:
        into = usable_subnet(network, here, here.owner, nic.subnet or DEFAULT)
        groups = groups_of(here, here.owner, nic.groups or (DEFAULT,))
        port, draft, claim = new_port(network, here, into, vm=vm_id, mac=nic.mac, address=nic.address, groups=groups)
        if own is not None:
            joins = replace(port, groups=tuple(sorted({*port.groups, own.name})))
            draft, port = Draft(draft.compares) + creation(joins), joins
        if claim in claims:
            raise codes.IP_ALREADY_ALLOCATED.refusal(f"{port.addresses[0]} is asked for by two NICs", field="nics")
        ports.append(port)
        drafts.append(draft)
        claims.append(claim)
    return ports, drafts, tuple(claims)


def _own_group(network: Network, here: ProjectIndex, wanted: Wanted) -> SecurityGroup | None:
    rules = tuple(map(_opened, (one for one in wanted.services if not one.is_private)))
    if not rules:
        return None
    name = _OWN_GROUP + wanted.name
    if name in here.intent.groups:
        raise codes.SECURITY_GROUP_ALREADY_EXISTS.refusal(
            f"security group {name!r} is there, and would be VM {wanted.name}'s"
        )
    told = f"What is open to everybody of VM {wanted.name}."
    return SecurityGroup(here.owner, name, told, rules, (), created_at=network.clock.now_s())


def _opened(service: Service) -> Rule:
    return Rule(Protocol(service.protocol), PortRange(service.port, service.port), _EVERYBODY)


def _naming(here: ProjectIndex, group: SecurityGroup | None) -> list[SecurityGroup | NetworkPolicy | Port]:
    """What names a VM's own group: others' rules, policies, and ports that are not the VM's but are in it."""
    if group is None:
        return []
    vm = next(one for one in here.intent.vms.values() if one.group == group.name)
    return [
        *here.groups_naming(group.name),
        *here.policies_naming_group(group.name),
        *(one for one in here.members(group.name) if one.id not in vm.ports),
    ]


def _unnamed(network: Network, naming: Iterable[SecurityGroup | NetworkPolicy | Port], group: str) -> Draft:
    drafts = []
    for old in naming:
        new: Thing
        match old:
            case SecurityGroup():
                new = without_peer(old, group)
            case NetworkPolicy():
                new = old.without_peer(GroupRef(group))
            case Port():
                new = replace(old, groups=tuple(one for one in old.groups if one != group))
        drafts.append(change(old, new, network.view.revision_of(rows.key_of(old))))
    return joined(drafts)


def _seen(network: Network, vm: Vm, ports: list[Port]) -> list[Draft]:
    """Nothing came to depend on it meanwhile."""
    owner, since = vm.owner, network.view.revision
    seen = [Empty(keys.dnat_target(owner, one), since) for port in ports if not port.lender for one in port.addresses]
    drafts = [Draft(tuple(seen))]
    if vm.group:
        key = keys.ThingKey("security-group", owner, vm.group)
        drafts.append(
            Draft(
                (
                    Empty(keys.member(owner, vm.group), since),
                    Empty(keys.group_reference(owner, vm.group), since),
                    Empty(keys.policy_reference(owner, key), since),
                )
            )
        )
    return drafts
