"""VMs in Pitwall's words: its routing keys, and its messages with its numbers."""

from uuid import UUID

from weftwork.base.tenancy import ProjectKey
from weftwork.model.port import Port
from weftwork.model.vm import Vm
from weftwork.rpc.generated.pitwall.v1 import vm_pb2 as pb

CRUD = "orchestrator.vm.crud."
STATUS = "orchestrator.vm.status."
HEALTH = "orchestrator.health"
ID = "pitwall-id"
OWNER = "pitwall-owner"
"""Metadata of VMs that another control plane asked for: its number, and whose it is there."""


def number_of(vm: Vm) -> int:
    """Pitwall counts VMs; ours get a number of their id, and those that it asked for keep its own."""
    asked = dict(vm.metadata).get(ID, "")
    return int(asked) if asked.isdigit() else int.from_bytes(UUID(vm.id).bytes[:8]) >> 1


def owner_of(vm: Vm) -> str:
    return dict(vm.metadata).get(OWNER) or vm.owner.project


def create_request(vm: Vm, deployment: str) -> pb.VMRequest:
    create = pb.CreateVMRequest(
        id=number_of(vm),
        imageName=vm.image,
        publicKey="\n".join(vm.authorized_keys),
        name=vm.name,
        owner=owner_of(vm),
        uuid=vm.id,
        project=str(vm.owner),
        run=vm.run,
    )
    return pb.VMRequest(type=pb.CREATE, create=create, deployment=deployment)


def stop_request(vm: Vm, deployment: str, *, for_good: bool) -> pb.VMRequest:
    stop = pb.StopVMRequest(id=number_of(vm), uuid=vm.id, project=str(vm.owner), forGood=for_good)
    return pb.VMRequest(type=pb.DELETE, stop=stop, deployment=deployment)


def status(vm: Vm, ports: list[Port], state: str, host: str, reason: str = "", message: str = "") -> pb.VM:
    addresses = [address for port in ports for address in port.addresses]
    return pb.VM(
        id=number_of(vm),
        imageName=vm.image,
        status=state,
        host=host,
        privateIp=str(addresses[0]) if addresses else "",
        services=[
            pb.Service(name=one.name, port=one.port, private=one.is_private, protocol=one.protocol)
            for one in vm.services
        ],
        name=vm.name,
        owner=owner_of(vm),
        uuid=vm.id,
        project=str(vm.owner),
        reason=reason,
        message=message,
        run=vm.run,
    )


def project_in(text: str) -> ProjectKey:
    org, _, project = text.partition("/")
    return ProjectKey(org, project)
