"""VMs and SSH keys as the store holds them. Law: decode(encode(x)) == x."""

import msgspec

from weftwork.base.tenancy import ProjectKey
from weftwork.model.ssh_key import SshKey
from weftwork.model.vm import Flavour, Placement, Restart, Service, Vm


class _ServiceRow(msgspec.Struct, gc=False):
    name: str
    port: int
    protocol: str
    private: bool


class _PlacementRow(msgspec.Struct, omit_defaults=True, gc=False):
    labels: list[tuple[str, str]] = []
    near: list[str] = []
    apart_from: list[str] = []
    architecture: str = ""


class _VmRow(msgspec.Struct, omit_defaults=True, gc=False):
    id: str
    org_id: str
    project_id: str
    name: str
    image: str
    vcpus: int
    memory_mib: int
    disk_mib: int
    ports: list[str]
    created_at: int
    restart: str
    started: bool
    run: int
    digest: str = ""
    group: str = ""
    ssh_keys: list[str] = []
    public_keys: list[str] = []
    authorized_keys: list[str] = []
    command: list[str] = []
    environment: list[tuple[str, str]] = []
    services: list[_ServiceRow] = []
    metadata: list[tuple[str, str]] = []
    placement: _PlacementRow = msgspec.field(default_factory=_PlacementRow)
    host: str = ""


class _SshKeyRow(msgspec.Struct, gc=False):
    id: str
    org_id: str
    project_id: str
    name: str
    public_key: str
    created_at: int


_encode = msgspec.json.Encoder().encode
_read_vm = msgspec.json.Decoder(_VmRow).decode
_read_ssh_key = msgspec.json.Decoder(_SshKeyRow).decode


def encode_vm(vm: Vm) -> bytes:
    org, project = vm.owner
    where = vm.placement
    return _encode(
        _VmRow(
            id=vm.id,
            org_id=org,
            project_id=project,
            name=vm.name,
            image=vm.image,
            vcpus=vm.flavour.vcpus,
            memory_mib=vm.flavour.memory_mib,
            disk_mib=vm.flavour.disk_mib,
            ports=list(vm.ports),
            created_at=vm.created_at,
            restart=vm.restart.value,
            started=vm.is_started,
            run=vm.run,
            digest=vm.digest,
            group=vm.group,
            ssh_keys=list(vm.ssh_keys),
            public_keys=list(vm.public_keys),
            authorized_keys=list(vm.authorized_keys),
            command=list(vm.command),
            environment=list(vm.environment),
            services=[_ServiceRow(one.name, one.port, one.protocol, one.is_private) for one in vm.services],
            metadata=list(vm.metadata),
            placement=_PlacementRow(list(where.labels), list(where.near), list(where.apart_from), where.architecture),
            host=vm.host,
        )
    )


def decode_vm(owner: ProjectKey, value: bytes) -> Vm:
    """ValueError when it cannot be read."""
    row = _read_vm(value)
    where = row.placement
    return Vm(
        owner=owner,
        name=row.name,
        id=row.id,
        image=row.image,
        flavour=Flavour(row.vcpus, row.memory_mib, row.disk_mib),
        ports=tuple(row.ports),
        created_at=row.created_at,
        digest=row.digest,
        group=row.group,
        ssh_keys=tuple(row.ssh_keys),
        public_keys=tuple(row.public_keys),
        authorized_keys=tuple(row.authorized_keys),
        command=tuple(row.command),
        environment=tuple(row.environment),
        services=tuple(Service(one.name, one.port, one.protocol, one.private) for one in row.services),
        metadata=tuple(row.metadata),
        restart=Restart(row.restart),
        placement=Placement(tuple(where.labels), tuple(where.near), tuple(where.apart_from), where.architecture),
        is_started=row.started,
        run=row.run,
        host=row.host,
    )


def encode_ssh_key(key: SshKey) -> bytes:
    org, project = key.owner
    return _encode(_SshKeyRow(f"{key.owner}/{key.name}", org, project, key.name, key.text, key.created_at))


def decode_ssh_key(owner: ProjectKey, value: bytes) -> SshKey:
    """ValueError when it cannot be read."""
    row = _read_ssh_key(value)
    return SshKey(owner, row.name, row.public_key, row.created_at)
