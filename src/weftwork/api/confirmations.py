"""The ConfirmationService: changes that wait to be confirmed."""

from weftwork.actions import confirmations
from weftwork.actions.awaited import Awaited, State
from weftwork.api.doors import Doors
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import confirmation_pb2 as pb

SERVICE = "/weftwork.v1.ConfirmationService/"

_STATES = {
    State.PENDING: pb.Confirmation.STATE_PENDING,
    State.CONFIRMED: pb.Confirmation.STATE_CONFIRMED,
    State.UNDONE: pb.Confirmation.STATE_UNDONE,
    State.PARTLY_UNDONE: pb.Confirmation.STATE_PARTLY_UNDONE,
    State.NOT_UNDONE: pb.Confirmation.STATE_NOT_UNDONE,
}


async def list_confirmations(doors: Doors, request: pb.ListConfirmationsRequest) -> pb.ListConfirmationsResponse:
    found = await confirmations.list_confirmations(doors.network, owner=decode.owner(request))
    return pb.ListConfirmationsResponse(confirmations=map(_told, found))


async def confirm(doors: Doors, request: pb.ConfirmRequest) -> pb.Confirmation:
    name = decode.name(request.confirmation, "confirmation")
    return _told(await confirmations.confirm(doors.network, owner=decode.owner(request), name=name))


def _told(one: Awaited) -> pb.Confirmation:
    return pb.Confirmation(
        org_id=one.owner.org,
        project_id=one.owner.project,
        name=one.name,
        revision=one.revision,
        at=one.at_s,
        deadline=one.deadline_s,
        who=one.author.who or one.author.where,
        call=one.author.call,
        probes=[str(probe) for probe in one.probes],
        state=_STATES[one.state],
        why=one.why,
    )
