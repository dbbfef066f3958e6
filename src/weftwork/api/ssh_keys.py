"""The SshKeyService."""

from functools import partial

from weftwork.actions import ssh_keys
from weftwork.actions.network import Network, Stored
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.model.ssh_key import SshKey
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import vm_pb2 as pb

SERVICE = "/weftwork.v1.SshKeyService/"


async def create(network: Network, request: pb.CreateSshKeyRequest) -> Stored[SshKey]:
    return await ssh_keys.create_ssh_key(
        network,
        owner=decode.owner(request),
        name=decode.name(request.name, "name"),
        public_key=decode.required(request.public_key, "public_key"),
    )


async def delete(network: Network, request: pb.DeleteSshKeyRequest) -> None:
    ssh_key = decode.reference(request.ssh_key, "ssh_key")
    await ssh_keys.delete_ssh_key(network, owner=decode.owner(request), ssh_key=ssh_key)


async def get(doors: Doors, request: pb.GetSshKeyRequest) -> pb.SshKey:
    ssh_key = decode.reference(request.ssh_key, "ssh_key")
    return told(doors, await ssh_keys.get_ssh_key(doors.network, owner=decode.owner(request), ssh_key=ssh_key))


async def list_keys(doors: Doors, request: pb.ListSshKeysRequest) -> pb.ListSshKeysResponse:
    asked = paging(request, pb.SshKey, partial(told, doors))
    page = await ssh_keys.list_ssh_keys(doors.network, owner=decode.owner(request), **asked)
    return pb.ListSshKeysResponse(
        ssh_keys=[told(doors, one) for one in page.items], next_page_token=page.next_page_token
    )


def told(doors: Doors, stored: Stored[SshKey]) -> pb.SshKey:
    key = stored.value
    return pb.SshKey(
        id=f"{key.owner}/{key.name}",
        org_id=key.owner.org,
        project_id=key.owner.project,
        name=key.name,
        public_key=key.text,
        fingerprint=key.fingerprint,
        created_at=key.created_at,
        revision=stored.revision,
        conditions=map(telling.condition, doors.conditions.of(key_of(key), stored.revision)),
    )
