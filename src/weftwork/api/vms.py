"""The VmService: every call about VMs, and how they are told."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial

from weftwork.actions import vms
from weftwork.actions.find import vm_of, vpc_of
from weftwork.actions.network import Network, Stored
from weftwork.actions.rows import key_of
from weftwork.actions.vm_words import Nic, Wanted
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.port import Port
from weftwork.model.vm import Flavour, Placement, Restart, Service, Vm
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import vm_pb2 as pb

SERVICE = "/weftwork.v1.VmService/"
WATCH = SERVICE + "WatchVms"
CONSOLE = SERVICE + "ReadConsole"
CONSOLE_BYTES = 32 * 1024
"""In one message."""

_RESTARTS = {
    pb.RESTART_POLICY_UNSPECIFIED: Restart.ON_FAILURE,
    pb.RESTART_POLICY_NEVER: Restart.NEVER,
    pb.RESTART_POLICY_ON_FAILURE: Restart.ON_FAILURE,
    pb.RESTART_POLICY_ALWAYS: Restart.ALWAYS,
}
_RESTART_NUMBERS = {restart: number for number, restart in _RESTARTS.items()}


async def create(network: Network, request: pb.CreateVmRequest) -> Stored[Vm]:
    if request.volumes:
        raise codes.VOLUMES_UNSUPPORTED.refusal("the VM is asked for with volumes", field="volumes")
    return await vms.create_vm(network, owner=decode.owner(request), wanted=_wanted(request))


async def delete(network: Network, request: pb.DeleteVmRequest) -> None:
    vm = decode.reference(request.vm, "vm")
    await vms.delete_vm(network, owner=decode.owner(request), vm=vm, cascade=request.cascade)


async def start(network: Network, request: pb.VmRequest) -> Stored[Vm]:
    return await vms.start_vm(network, owner=decode.owner(request), vm=decode.reference(request.vm, "vm"))


async def stop(network: Network, request: pb.VmRequest) -> Stored[Vm]:
    return await vms.stop_vm(network, owner=decode.owner(request), vm=decode.reference(request.vm, "vm"))


async def restart(network: Network, request: pb.VmRequest) -> Stored[Vm]:
    return await vms.restart_vm(network, owner=decode.owner(request), vm=decode.reference(request.vm, "vm"))


async def resize(network: Network, request: pb.ResizeVmRequest) -> Stored[Vm]:
    return await vms.resize_vm(
        network,
        owner=decode.owner(request),
        vm=decode.reference(request.vm, "vm"),
        vcpus=request.flavour.vcpus,
        memory_mib=request.flavour.memory_mib,
        disk_mib=request.flavour.disk_mib,
    )


async def get(doors: Doors, request: pb.GetVmRequest) -> pb.Vm:
    vm = decode.reference(request.vm, "vm")
    return told(doors, await vms.get_vm(doors.network, owner=decode.owner(request), vm=vm))


async def list_vms(doors: Doors, request: pb.ListVmsRequest) -> pb.ListVmsResponse:
    asked = paging(request, pb.Vm, partial(told, doors))
    page = await vms.list_vms(doors.network, owner=decode.owner(request), **asked)
    return pb.ListVmsResponse(vms=[told(doors, one) for one in page.items], next_page_token=page.next_page_token)


async def watch(doors: Doors, request: pb.WatchVmsRequest) -> AsyncIterator[pb.VmEvent]:
    """First each as it is, then every change; of one VM or of all of the project. Refusal VM_NOT_FOUND."""
    owner = decode.owner(request)
    only = found(doors.network, owner, decode.reference(request.vm, "vm")).value if request.vm else None
    view, changes = doors.network.view, doors.vms.changes()
    for vm in sorted(view.intent.get(owner, ProjectIntent()).vms.values(), key=lambda one: one.name):
        if only is None or vm.id == only.id:
            yield pb.VmEvent(vm=told(doors, Stored(vm, view.revision_of(key_of(vm)))))
    async for key in changes:
        if key.owner == owner and (only is None or key.name == only.name):
            yield _event(doors, key)


async def read_console(doors: Doors, request: pb.ReadConsoleRequest) -> AsyncIterator[pb.ConsoleOutput]:
    """Refusals VM_NOT_FOUND, NO_VMS_HERE, GUEST_NOT_HERE."""
    vm = found(doors.network, decode.owner(request), decode.reference(request.vm, "vm")).value
    async with aclosing(doors.vms.console(vm, follow=request.follow)) as lines:  # type: ignore[type-var]
        async for data in lines:
            for at in range(0, len(data), CONSOLE_BYTES):
                yield pb.ConsoleOutput(data=data[at : at + CONSOLE_BYTES])


def found(network: Network, owner: ProjectKey, text: str) -> Stored[Vm]:
    """Refusals VPC_NOT_FOUND, VM_NOT_FOUND."""
    vm = vm_of(vpc_of(network, owner)[0], owner, text)
    return Stored(vm, network.view.revision_of(key_of(vm)))


def told(doors: Doors, stored: Stored[Vm]) -> pb.Vm:
    vm = stored.value
    facts = doors.vms.facts(vm)
    project = doors.network.view.intent.get(vm.owner, ProjectIntent())
    nics = [project.ports[one] for one in vm.ports if one in project.ports]
    return pb.Vm(
        id=vm.id,
        org_id=vm.owner.org,
        project_id=vm.owner.project,
        name=vm.name,
        image=vm.image,
        image_digest=vm.digest,
        flavour=pb.Flavour(vcpus=vm.flavour.vcpus, memory_mib=vm.flavour.memory_mib, disk_mib=vm.flavour.disk_mib),
        nics=[_nic(one) for one in nics],
        ssh_key_ids=vm.ssh_keys,
        command=vm.command,
        environment=_settings_told(vm.environment),
        services=[
            pb.VmServicePort(name=one.name, port=one.port, protocol=one.protocol, private=one.is_private)
            for one in vm.services
        ],
        metadata=_settings_told(vm.metadata),
        restart_policy=_RESTART_NUMBERS[vm.restart],
        placement=_placement_told(vm.placement),
        state=pb.VmState.Value(f"VM_STATE_{facts.state.value}"),
        state_reason=facts.code,
        state_message=facts.why,
        state_since=facts.since_s,
        restarts=facts.restarts,
        started=vm.is_started,
        run=vm.run,
        host=vm.host,
        host_key=doors.vms.host_key(vm),
        created_at=vm.created_at,
        revision=stored.revision,
        conditions=map(telling.condition, doors.conditions.of(key_of(vm), stored.revision)),
    )


def _event(doors: Doors, key: ThingKey) -> pb.VmEvent:
    vm = doors.network.view.find(key)
    if not isinstance(vm, Vm):
        gone = pb.Vm(org_id=key.owner.org, project_id=key.owner.project, name=key.name)
        return pb.VmEvent(vm=gone, deleted=True)
    return pb.VmEvent(vm=told(doors, Stored(vm, doors.network.view.revision_of(key))))


def _nic(port: Port) -> pb.VmNic:
    return pb.VmNic(
        port_id=port.id,
        subnet_id=f"{port.home}/{port.subnet}",
        mac_address=port.mac,
        ip_addresses=map(str, port.addresses),
        security_group_ids=[f"{port.owner}/{one}" for one in port.groups],
    )


def _placement_told(placement: Placement) -> pb.Placement:
    return pb.Placement(
        labels=[pb.HostRequirement(key=key, value=value) for key, value in placement.labels],
        near=placement.near,
        apart_from=placement.apart_from,
        architecture=placement.architecture,
    )


def _settings_told(settings: tuple[tuple[str, str], ...]) -> list[pb.Setting]:
    return [pb.Setting(key=key, value=value) for key, value in settings]


def _wanted(request: pb.CreateVmRequest) -> Wanted:
    image = decode.required(request.image, "image")
    return Wanted(
        name=decode.name(request.name, "name") if request.name else _made_up(),
        image=image,
        flavour=_flavour(request.flavour),
        nics=decode.each(_nic_wanted, request.nics, "nics") or (Nic(),),
        ssh_keys=decode.references(request.ssh_key_ids, "ssh_key_ids"),
        command=tuple(request.command),
        environment=_settings(request.environment, "environment"),
        services=decode.each(_service, request.services, "services"),
        metadata=_settings(request.metadata, "metadata"),
        restart=_restart(request.restart_policy),
        placement=_placement(request.placement),
        is_started=not request.stopped,
    )


def _made_up() -> str:
    return f"vm-{secrets.token_hex(4)}"


def _flavour(flavour: pb.Flavour) -> Flavour:
    usual = Flavour()
    return Flavour(
        flavour.vcpus or usual.vcpus, flavour.memory_mib or usual.memory_mib, flavour.disk_mib or usual.disk_mib
    )


def _nic_wanted(spec: pb.NetworkSpec, field: str) -> Nic:
    return Nic(
        subnet=decode.reference(spec.subnet_id, f"{field}.subnet_id", decode.DEFAULT),
        mac=decode.optional_mac(spec.mac_address, f"{field}.mac_address"),
        address=decode.optional_address(spec.ip_address, f"{field}.ip_address"),
        groups=decode.references(spec.security_group_ids, f"{field}.security_group_ids"),
    )


def _service(service: pb.VmServicePort, field: str) -> Service:
    protocol = decode.label(service.protocol, f"{field}.protocol") or "tcp"
    port = decode.transport_port(service.port, f"{field}.port")
    name = decode.name(service.name, f"{field}.name") if service.name else f"{protocol}-{port}"
    return Service(name, port, protocol, service.private)


def _settings(settings: Sequence[pb.Setting], field: str) -> tuple[tuple[str, str], ...]:
    return tuple((decode.required(one.key, f"{field}.key"), one.value) for one in settings)


def _restart(number: "pb.RestartPolicy.ValueType") -> Restart:
    known = _RESTARTS.get(number)
    if known is None:
        raise decode.refusal(codes.INVALID_VM, "restart_policy", f"{number} is no restart policy")
    return known


def _placement(placement: pb.Placement) -> Placement:
    labels = {
        decode.label(decode.required(one.key, "placement.labels.key"), "placement.labels.key"): decode.label(
            one.value, "placement.labels.value"
        )
        for one in placement.labels
    }
    return Placement(
        labels=tuple(sorted(labels.items())),
        near=decode.references(placement.near, "placement.near"),
        apart_from=decode.references(placement.apart_from, "placement.apart_from"),
        architecture=decode.label(placement.architecture, "placement.architecture"),
    )
