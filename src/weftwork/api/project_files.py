"""The ProjectFileService: a project as files, and files made the project."""

from weftwork.actions import apply
from weftwork.actions.journal import Changed
from weftwork.actions.network import Network, Stored
from weftwork.api.doors import Doors
from weftwork.api.history import told_changes
from weftwork.base import codes
from weftwork.declare.reading import SourceFile, read_projects
from weftwork.declare.told import text_of
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import project_file_pb2 as pb

SERVICE = "/weftwork.v1.ProjectFileService/"
_NAME_MAX = 200


async def apply_files(network: Network, request: pb.ApplyProjectRequest) -> Stored[tuple[Changed, ...]]:
    owner = decode.owner(request)
    if not request.files:
        raise decode.refusal(codes.MISSING_FIELD, "files", "there is no file")
    files = [SourceFile(_shown(one.name) or f"file {number}", one.text) for number, one in enumerate(request.files, 1)]
    projects = read_projects(files, owner)
    others = [str(one) for one in projects if one != owner]
    if others:
        raise codes.INVALID_PROJECT_FILE.refusal(f"the files are about {others[0]}, the call about {owner}")
    return await apply.apply(
        network,
        owner=owner,
        spec=projects[owner],
        prune=request.prune,
        replace=request.replace,
        if_revision=request.base_revision if request.HasField("base_revision") else None,
    )


def told_applied(doors: Doors, stored: Stored[tuple[Changed, ...]]) -> pb.ApplyProjectResponse:
    return pb.ApplyProjectResponse(revision=stored.revision, changes=told_changes(stored.value))


async def export_project(doors: Doors, request: pb.ExportProjectRequest) -> pb.ExportProjectResponse:
    owner = decode.owner(request)
    found = await apply.export(doors.network, owner=owner)
    return pb.ExportProjectResponse(
        text=text_of(owner, found.spec), revision=found.revision, unnamed_ports=found.unnamed
    )


def _shown(name: str) -> str:
    return "".join(one for one in name[:_NAME_MAX] if one.isprintable())
