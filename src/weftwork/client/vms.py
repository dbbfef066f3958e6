"""Calls about VMs and SSH keys, and the way into a VM."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc.aio

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation, streamed
from weftwork.client.errors import api_error
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import vm_pb2, vm_pb2_grpc


@dataclass(frozen=True, slots=True)
class VmSize:
    """What is 0 is the server's to choose; when resizing, it stays."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_mib: int = 0


def vm_nic(subnet: str = "", *, address: str = "", mac: str = "", groups: Sequence[str] = ()) -> messages.NetworkSpec:
    return messages.NetworkSpec(subnet_id=subnet, ip_address=address, mac_address=mac, security_group_ids=groups)


def vm_service(port: int, *, protocol: str = "tcp", name: str = "", private: bool = False) -> messages.VmServicePort:
    return messages.VmServicePort(name=name, port=port, protocol=protocol, private=private)


def vm_placement(
    *,
    labels: Mapping[str, str] | None = None,
    near: Sequence[str] = (),
    apart_from: Sequence[str] = (),
    architecture: str = "",
) -> messages.Placement:
    """Which host it may be on; `near` and `apart_from` name VMs of the project."""
    wanted = [vm_pb2.HostRequirement(key=key, value=value) for key, value in (labels or {}).items()]
    return messages.Placement(labels=wanted, near=near, apart_from=apart_from, architecture=architecture)


class VmCalls(Calls):
    @cached_property
    def _vms(self) -> "vm_pb2_grpc.VmServiceAsyncStub":
        return vm_pb2_grpc.VmServiceStub(self._channel)

    @cached_property
    def _ssh_keys(self) -> "vm_pb2_grpc.SshKeyServiceAsyncStub":
        return vm_pb2_grpc.SshKeyServiceStub(self._channel)

    @cached_property
    def _tunnels(self) -> "vm_pb2_grpc.VmTunnelServiceAsyncStub":
        return vm_pb2_grpc.VmTunnelServiceStub(self._channel)

    def create_vm(
        self,
        project: Project,
        image: str,
        *,
        name: str = "",
        size: VmSize = VmSize(),  # a value
        nics: Sequence[messages.NetworkSpec] = (),
        ssh_keys: Sequence[str] = (),
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        services: Sequence[messages.VmServicePort] = (),
        metadata: Mapping[str, str] | None = None,
        restart: str = "",
        placement: messages.Placement | None = None,
        stopped: bool = False,
    ) -> Mutation[messages.Vm]:
        """`restart` is `never`, `on-failure` or `always` (ValueError for another). Without keys, all of the project."""
        request = vm_pb2.CreateVmRequest(
            **in_project(project),
            name=name,
            image=image,
            flavour=_flavour(size),
            nics=nics,
            ssh_key_ids=ssh_keys,
            command=command,
            environment=_settings(environment),
            services=services,
            metadata=_settings(metadata),
            restart_policy=_restart(restart),
            placement=placement,
            stopped=stopped,
        )
        return self._mutation(self._vms.CreateVm, "create_vm", request)

    async def get_vm(self, project: Project, vm: str) -> messages.Vm:
        return await self._call(self._vms.GetVm, vm_pb2.GetVmRequest(**in_project(project), vm=vm))

    def list_vms(self, project: Project) -> AsyncIterator[messages.Vm]:
        request = vm_pb2.ListVmsRequest(**in_project(project))
        return self._pages(self._vms.ListVms, request, lambda page: page.vms)

    def delete_vm(self, project: Project, vm: str, *, cascade: bool = False) -> Mutation[None]:
        request = vm_pb2.DeleteVmRequest(**in_project(project), vm=vm, cascade=cascade)
        return self._deletion(self._vms.DeleteVm, "delete_vm", request)

    def start_vm(self, project: Project, vm: str) -> Mutation[messages.Vm]:
        return self._mutation(self._vms.StartVm, "start_vm", _one(project, vm), retry=True)

    def stop_vm(self, project: Project, vm: str) -> Mutation[messages.Vm]:
        return self._mutation(self._vms.StopVm, "stop_vm", _one(project, vm), retry=True)

    def restart_vm(self, project: Project, vm: str) -> Mutation[messages.Vm]:
        return self._mutation(self._vms.RestartVm, "restart_vm", _one(project, vm))

    def resize_vm(self, project: Project, vm: str, size: VmSize) -> Mutation[messages.Vm]:
        request = vm_pb2.ResizeVmRequest(**in_project(project), vm=vm, flavour=_flavour(size))
        return self._mutation(self._vms.ResizeVm, "resize_vm", request, retry=True)

    async def watch_vms(self, project: Project, vm: str = "") -> AsyncIterator[messages.VmEvent]:
        """Each as it is, then every change, until the caller stops."""
        request = vm_pb2.WatchVmsRequest(**in_project(project), vm=vm)
        async for event in streamed(self._vms.WatchVms(request, metadata=self._metadata())):
            yield event

    async def read_console(self, project: Project, vm: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """What it printed, as far as it is kept; with `follow`, and what comes."""
        request = vm_pb2.ReadConsoleRequest(**in_project(project), vm=vm, follow=follow)
        async for output in streamed(self._vms.ReadConsole(request, metadata=self._metadata())):
            yield output.data

    async def connect_vm(self, project: Project, vm: str) -> "VmTunnel":
        """To the SSH server in the guest, past its network. Close it in the end."""
        call = self._tunnels.Connect(metadata=self._metadata())
        target = vm_pb2.TunnelTarget(**in_project(project), vm=vm)
        tunnel = VmTunnel(call)
        await tunnel.begin(target)
        return tunnel

    def create_ssh_key(self, project: Project, name: str, public_key: str) -> Mutation[messages.SshKey]:
        request = vm_pb2.CreateSshKeyRequest(**in_project(project), name=name, public_key=public_key)
        return self._mutation(self._ssh_keys.CreateSshKey, "create_ssh_key", request, retry=True)

    async def get_ssh_key(self, project: Project, ssh_key: str) -> messages.SshKey:
        request = vm_pb2.GetSshKeyRequest(**in_project(project), ssh_key=ssh_key)
        return await self._call(self._ssh_keys.GetSshKey, request)

    def list_ssh_keys(self, project: Project) -> AsyncIterator[messages.SshKey]:
        request = vm_pb2.ListSshKeysRequest(**in_project(project))
        return self._pages(self._ssh_keys.ListSshKeys, request, lambda page: page.ssh_keys)

    def delete_ssh_key(self, project: Project, ssh_key: str) -> Mutation[None]:
        request = vm_pb2.DeleteSshKeyRequest(**in_project(project), ssh_key=ssh_key)
        return self._deletion(self._ssh_keys.DeleteSshKey, "delete_ssh_key", request)


class VmTunnel:
    """Bytes both ways. `read` answers nothing when the guest has ended it."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def begin(self, target: vm_pb2.TunnelTarget) -> None:
        """Raises ApiError when nobody lets us in."""
        try:
            await self._call.write(vm_pb2.TunnelData(target=target))
            await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        if self._call.done():
            await self._failed()

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(vm_pb2.TunnelData(data=data))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError):
            raise ConnectionError("the way into the VM has ended") from None

    async def read(self) -> bytes:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        return b"" if message is grpc.aio.EOF else message.data

    async def end(self) -> None:
        """We have said all."""
        await self._call.done_writing()

    def close(self) -> None:
        self._call.cancel()

    async def _failed(self) -> None:
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            trailing, initial = await self._call.trailing_metadata(), await self._call.initial_metadata()
            details = await self._call.details()
            raise api_error(grpc.aio.AioRpcError(code, initial, trailing, details))


def _one(project: Project, vm: str) -> vm_pb2.VmRequest:
    return vm_pb2.VmRequest(**in_project(project), vm=vm)


def _flavour(size: VmSize) -> vm_pb2.Flavour:
    return vm_pb2.Flavour(vcpus=size.vcpus, memory_mib=size.memory_mib, disk_mib=size.disk_mib)


def _settings(settings: Mapping[str, str] | None) -> list[vm_pb2.Setting]:
    return [vm_pb2.Setting(key=key, value=value) for key, value in (settings or {}).items()]


def _restart(text: str) -> "vm_pb2.RestartPolicy.ValueType":
    return vm_pb2.RestartPolicy.Value(f"RESTART_POLICY_{text.upper().replace('-', '_') or 'UNSPECIFIED'}")
