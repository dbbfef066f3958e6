"""Calls about changes that undo themselves unless somebody confirms them."""

from collections.abc import Sequence
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import confirmation_pb2 as confirmation
from weftwork.rpc.generated.weftwork.v1 import confirmation_pb2_grpc


class ConfirmationCalls(Calls):
    @cached_property
    def _confirmations(self) -> "confirmation_pb2_grpc.ConfirmationServiceAsyncStub":
        return confirmation_pb2_grpc.ConfirmationServiceStub(self._channel)

    async def confirm(self, project: Project, name: str) -> messages.Confirmation:
        """Lets a change stand that would undo itself."""
        request = confirmation.ConfirmRequest(**in_project(project), confirmation=name)
        return await self._call(self._confirmations.Confirm, request)

    async def list_confirmations(self, project: Project) -> Sequence[messages.Confirmation]:
        """Those that wait first; what became of one is told for a day."""
        request = confirmation.ListConfirmationsRequest(**in_project(project))
        return (await self._call(self._confirmations.ListConfirmations, request)).confirmations
