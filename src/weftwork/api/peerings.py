"""The PeeringService: halves of peerings, and the offers of other projects."""

from functools import partial

from weftwork.actions import peerings
from weftwork.actions.network import Network, Stored
from weftwork.actions.rows import key_of
from weftwork.api import telling
from weftwork.api.doors import Doors
from weftwork.api.listing import paging
from weftwork.model.peering import Peering
from weftwork.rpc import decode, encode
from weftwork.rpc.generated.weftwork.v1 import peering_pb2 as pb

SERVICE = "/weftwork.v1.PeeringService/"


def told(doors: Doors, stored: Stored[Peering]) -> pb.Peering:
    half = stored.value
    conditions = map(telling.condition, doors.conditions.of(key_of(half), stored.revision))
    return encode.peering(half, stored.revision, conditions, peer_cidr=peerings.peer_range(doors.network, half))


async def create(network: Network, request: pb.CreatePeeringRequest) -> Stored[Peering]:
    return await peerings.create_peering(
        network,
        owner=decode.owner(request),
        name=decode.optional_name(request.name, "name"),
        peer=decode.project(request.peer, "peer"),
    )


async def delete(network: Network, request: pb.DeletePeeringRequest) -> None:
    await peerings.delete_peering(
        network,
        owner=decode.owner(request),
        peering=decode.peering(request.peering, "peering"),
        cascade=request.cascade,
    )


async def get(doors: Doors, request: pb.GetPeeringRequest) -> pb.Peering:
    peering = decode.peering(request.peering, "peering")
    return told(doors, await peerings.get_peering(doors.network, owner=decode.owner(request), peering=peering))


async def list_peerings(doors: Doors, request: pb.ListPeeringsRequest) -> pb.ListPeeringsResponse:
    asked = paging(request, pb.Peering, partial(told, doors))
    page = await peerings.list_peerings(doors.network, owner=decode.owner(request), **asked)
    return pb.ListPeeringsResponse(
        peerings=[told(doors, one) for one in page.items], next_page_token=page.next_page_token
    )


async def list_offers(doors: Doors, request: pb.ListPeeringsRequest) -> pb.ListPeeringOffersResponse:
    asked = paging(request, pb.PeeringOffer, _offer)
    page = await peerings.list_offers(doors.network, owner=decode.owner(request), **asked)
    return pb.ListPeeringOffersResponse(
        offers=[_offer(one) for one in page.items], next_page_token=page.next_page_token
    )


def _offer(stored: Stored[peerings.Offer]) -> pb.PeeringOffer:
    value = stored.value
    return pb.PeeringOffer(
        by=str(value.by), cidr=str(value.cidr), accepted=value.is_accepted, created_at=value.created_at
    )
