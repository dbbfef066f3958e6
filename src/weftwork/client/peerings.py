"""Calls about peerings."""

from collections.abc import AsyncIterator
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project, project_key
from weftwork.rpc.generated.weftwork.v1 import peering_pb2 as peering
from weftwork.rpc.generated.weftwork.v1 import peering_pb2_grpc


class PeeringCalls(Calls):
    @cached_property
    def _peerings(self) -> "peering_pb2_grpc.PeeringServiceAsyncStub":
        return peering_pb2_grpc.PeeringServiceStub(self._channel)

    def create_peering(self, project: Project, peer: Project, *, name: str = "") -> Mutation[messages.Peering]:
        """The project's half; the peering is active once the peer has made its own."""
        request = peering.CreatePeeringRequest(**in_project(project), name=name, peer=str(project_key(peer)))
        return self._mutation(self._peerings.CreatePeering, "create_peering", request, retry=True)

    async def get_peering(self, project: Project, peering_or_peer: str) -> messages.Peering:
        """By name or id, or by the peer: `acme/shop`."""
        request = peering.GetPeeringRequest(**in_project(project), peering=peering_or_peer)
        return await self._call(self._peerings.GetPeering, request)

    def list_peerings(self, project: Project) -> AsyncIterator[messages.Peering]:
        request = peering.ListPeeringsRequest(**in_project(project))
        return self._pages(self._peerings.ListPeerings, request, lambda page: page.peerings)

    def list_peering_offers(self, project: Project) -> AsyncIterator[messages.PeeringOffer]:
        """The halves of other projects towards this one."""
        request = peering.ListPeeringsRequest(**in_project(project))
        return self._pages(self._peerings.ListPeeringOffers, request, lambda page: page.offers)

    def delete_peering(self, project: Project, peering_or_peer: str, *, cascade: bool = False) -> Mutation[None]:
        """Takes the project's half back; with `cascade`, with the rules that name groups of the peer."""
        request = peering.DeletePeeringRequest(**in_project(project), peering=peering_or_peer, cascade=cascade)
        return self._deletion(self._peerings.DeletePeering, "delete_peering", request)
