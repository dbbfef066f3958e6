"""Calls about what a project was."""

from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import history_pb2 as history
from weftwork.rpc.generated.weftwork.v1 import history_pb2_grpc


class HistoryCalls(Calls):
    @cached_property
    def _history(self) -> "history_pb2_grpc.HistoryServiceAsyncStub":
        return history_pb2_grpc.HistoryServiceStub(self._channel)

    def list_revisions(self, project: Project) -> AsyncIterator[messages.Revision]:
        """Newest first."""
        request = history.ListRevisionsRequest(**in_project(project))
        return self._pages(self._history.ListRevisions, request, lambda page: page.revisions)

    async def diff_revisions(self, project: Project, old: int, new: int = 0) -> Sequence[messages.ObjectChange]:
        """From one revision to another, or to the present."""
        request = history.DiffRevisionsRequest(**in_project(project), from_revision=old, to_revision=new)
        return (await self._call(self._history.DiffRevisions, request)).changes

    def rollback(self, project: Project, revision: int) -> Mutation[messages.RollbackResponse]:
        """All objects of the project as they were at the revision."""
        request = history.RollbackRequest(**in_project(project), revision=revision)
        return self._mutation(self._history.Rollback, "rollback", request, retry=True)
