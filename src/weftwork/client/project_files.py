"""Calls about projects as files: what `weft apply` and `weft export` use."""

from collections.abc import Mapping
from functools import cached_property

from weftwork.base.tenancy import ProjectKey
from weftwork.client import messages
from weftwork.client.calls import Calls, Mutation
from weftwork.client.names import Project, in_project
from weftwork.rpc.generated.weftwork.v1 import project_file_pb2 as project_file
from weftwork.rpc.generated.weftwork.v1 import project_file_pb2_grpc, weftwork_pb2_grpc
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weftwork


class ProjectFileCalls(Calls):
    @cached_property
    def _project_files(self) -> "project_file_pb2_grpc.ProjectFileServiceAsyncStub":
        return project_file_pb2_grpc.ProjectFileServiceStub(self._channel)

    @cached_property
    def _batches(self) -> "weftwork_pb2_grpc.BatchServiceAsyncStub":
        return weftwork_pb2_grpc.BatchServiceStub(self._channel)

    def apply_project(
        self,
        project: Project,
        files: Mapping[str, str],
        *,
        prune: bool = False,
        replace: bool = False,
        base_revision: int | None = None,
    ) -> Mutation[messages.ApplyProjectResponse]:
        """Makes the project what the files say: texts, by the names that mistakes are told by."""
        request = _apply_project(project, files, prune, replace, base_revision)
        # On a base, what did arrive would be refused the second time as somebody else's change.
        retry = base_revision is None
        return self._mutation(self._project_files.ApplyProject, "apply_project", request, retry=retry)

    def apply_projects(
        self,
        projects: Mapping[ProjectKey, Mapping[str, str]],
        *,
        prune: bool = False,
        replace: bool = False,
        base_revisions: Mapping[ProjectKey, int],
    ) -> Mutation[weftwork.BatchResponse]:
        """All of them in one change, each only if nothing of it was changed since its revision."""
        steps = [
            weftwork.PlanRequest(apply_project=_apply_project(owner, files, prune, replace, base_revisions[owner]))
            for owner, files in projects.items()
        ]
        request = weftwork.BatchRequest(mutations=steps)
        return self._mutation(self._batches.Batch, "batch", request, retry=False)

    async def export_project(self, project: Project) -> messages.ExportProjectResponse:
        """The project as a file."""
        request = project_file.ExportProjectRequest(**in_project(project))
        return await self._call(self._project_files.ExportProject, request)


def _apply_project(
    project: Project, files: Mapping[str, str], prune: bool, replace: bool, base_revision: int | None
) -> project_file.ApplyProjectRequest:
    return project_file.ApplyProjectRequest(
        **in_project(project),
        files=[project_file.ProjectFile(name=name, text=text) for name, text in files.items()],
        prune=prune,
        replace=replace,
        base_revision=base_revision,
    )
