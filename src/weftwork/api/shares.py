"""The SharingService: subnets that other projects may have ports in."""

from functools import partial

from weftwork.actions import shares
from weftwork.actions.network import Network, Stored
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.model.share import SubnetShare
from weftwork.rpc import decode, encode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2
from weftwork.rpc.generated.weftwork.v1 import sharing_pb2 as pb

SERVICE = "/weftwork.v1.SharingService/"


def told(doors: Doors, stored: Stored[SubnetShare]) -> pb.SubnetShare:
    conditions = doors.conditions.of(key_of(stored.value), stored.revision)
    return encode.share(stored.value, stored.revision, map(telling.condition, conditions))


async def share(network: Network, request: pb.ShareSubnetRequest) -> Stored[SubnetShare]:
    return await shares.share_subnet(
        network,
        owner=decode.owner(request),
        subnet=decode.reference(request.subnet_id, "subnet_id"),
        to=decode.project(request.to, "to"),
    )


async def unshare(network: Network, request: pb.UnshareSubnetRequest) -> None:
    await shares.unshare_subnet(
        network,
        owner=decode.owner(request),
        subnet=decode.reference(request.subnet_id, "subnet_id"),
        to=decode.project(request.to, "to"),
    )


async def list_shares(doors: Doors, request: pb.ListSharesRequest) -> pb.ListSubnetSharesResponse:
    asked = paging(request, pb.SubnetShare, partial(told, doors))
    page = await shares.list_shares(doors.network, owner=decode.owner(request), **asked)
    return pb.ListSubnetSharesResponse(
        shares=[told(doors, one) for one in page.items], next_page_token=page.next_page_token
    )


async def list_shared(doors: Doors, request: pb.ListSharesRequest) -> pb.ListSharedSubnetsResponse:
    asked = paging(request, network_pb2.Subnet, doors.subnet)
    page = await shares.list_shared_subnets(doors.network, owner=decode.owner(request), **asked)
    return pb.ListSharedSubnetsResponse(subnets=map(doors.subnet, page.items), next_page_token=page.next_page_token)
