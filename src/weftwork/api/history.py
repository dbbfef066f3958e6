"""The history: every call about it, and how it is told."""

from collections.abc import Iterable

from weftwork.actions import history
from weftwork.actions.history import Revision
from weftwork.actions.journal import Changed
from weftwork.actions.network import Network, Stored
from weftwork.actions.object_lines import field_lines, object_line
from weftwork.api.doors import Doors
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import history_pb2 as pb

SERVICE = "/weftwork.v1.HistoryService/"


async def list_revisions(doors: Doors, request: pb.ListRevisionsRequest) -> pb.ListRevisionsResponse:
    page = await history.list_revisions(
        doors.network,
        owner=decode.owner(request),
        page_size=decode.page_size(request.page_size),
        page_token=decode.page_token(request.page_token),
    )
    return pb.ListRevisionsResponse(revisions=map(_revision, page.items), next_page_token=page.next_page_token)


async def diff(doors: Doors, request: pb.DiffRevisionsRequest) -> pb.DiffRevisionsResponse:
    changes = await history.diff(
        doors.network, owner=decode.owner(request), old=request.from_revision, new=request.to_revision
    )
    return pb.DiffRevisionsResponse(changes=told_changes(changes))


async def rollback(network: Network, request: pb.RollbackRequest) -> Stored[tuple[Changed, ...]]:
    return await history.rollback(network, owner=decode.owner(request), revision=request.revision)


def told_rollback(doors: Doors, stored: Stored[tuple[Changed, ...]]) -> pb.RollbackResponse:
    return pb.RollbackResponse(revision=stored.revision, changes=told_changes(stored.value))


def told_changes(changes: Iterable[Changed]) -> list[pb.ObjectChange]:
    """Without things of which only the time of the last change differs."""
    return [_change(one, text) for one in changes if (text := object_line(one.key, one.before, one.after))]


def _revision(value: Revision) -> pb.Revision:
    author = value.author
    return pb.Revision(
        revision=value.revision,
        at=value.at_s,
        who=author.who,
        where=author.where,
        call=author.call,
        note=author.note,
        changes=told_changes(value.changes),
    )


def _change(value: Changed, text: str) -> pb.ObjectChange:
    action = pb.ObjectChange.ACTION_CHANGE
    if value.before is None or value.after is None:
        action = pb.ObjectChange.ACTION_DELETE if value.after is None else pb.ObjectChange.ACTION_CREATE
    fields = field_lines(value.before, value.after) if value.before and value.after else ()
    return pb.ObjectChange(action=action, kind=value.key.kind, id=value.key.name, text=text, fields=fields)
