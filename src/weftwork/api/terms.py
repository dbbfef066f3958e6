"""The terms of a call, in the words of HTTP's headers and gRPC's metadata: `if-match`, `idempotency-key` and
`weft-confirm-within`."""

import hashlib
import re
from typing import Any

from google.protobuf.message import Message

from weftwork.actions.network import Network, Stored
from weftwork.actions.terms import Expected, Once, Replayed, Terms, Unconfirmed
from weftwork.api.doors import Doors
from weftwork.api.mutations import MUTATIONS, Mutation
from weftwork.api.operations import Operation, answer_class
from weftwork.api.subjects import SUBJECTS, subject_of
from weftwork.base import codes
from weftwork.base.tenancy import NAME
from weftwork.declare.probe import parse_probe
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

IF_MATCH = "if-match"
IDEMPOTENCY_KEY = "idempotency-key"
CONFIRM_WITHIN = "weft-confirm-within"
CONFIRMATION = "weft-confirmation"
PROBE = "weft-probe"
CONFIRM_MAX_S = 86_400
PROBES_MAX = 10
KEY_MAX = 255
_TAGS = re.compile(r'\s*"(\d{1,19})"\s*(?:,\s*"(\d{1,19})"\s*)*')
_KEY = re.compile(f"[!-~]{{1,{KEY_MAX}}}")
_TAG = re.compile(r'"(\d{1,19})"')


def etag(revision: int | str) -> str:
    """The revision that last wrote the thing: what is told of how far the hosts are is no part of it."""
    return f'"{revision}"'


def changing(operation: Operation, request: Any) -> tuple[Mutation, Message]:
    """What the call changes, or would change: of a plan, what is planned. Refusal INVALID_HEADER."""
    if operation.mutation is not None:
        return operation.mutation, request
    planned = request.WhichOneof("mutation") if isinstance(request, weft.PlanRequest) else None
    if planned is None:
        raise codes.INVALID_HEADER.refusal("only what changes something has terms")
    return MUTATIONS[planned], getattr(request, planned)


def terms_of(
    doors: Doors, mutation: Mutation, request: Message, *, if_match: str | None, idempotency_key: str | None
) -> Terms:
    """Refusal INVALID_HEADER."""
    expected = () if if_match is None else (_expected(doors.network, mutation, request, if_match),)
    once = None if idempotency_key is None else _once(doors, mutation, request, if_match or "", idempotency_key)
    return Terms(expected, once)


def unconfirmed(network: Network, within: str | None, name: str | None, probes: str | None) -> Unconfirmed | None:
    """Refusals INVALID_HEADER, INVALID_PROBE."""
    if within is None:
        if name is not None or probes is not None:
            raise codes.INVALID_HEADER.refusal(f"{CONFIRMATION} and {PROBE} go with {CONFIRM_WITHIN}")
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,4}", within) or int(within) > CONFIRM_MAX_S:
        raise codes.INVALID_HEADER.refusal(f"{CONFIRM_WITHIN} is a number of seconds from 1 to {CONFIRM_MAX_S}")
    if name is not None and not NAME.fullmatch(name):
        raise codes.INVALID_HEADER.refusal(f"{CONFIRMATION}: {decode.quoted(name)} is no name")
    texts = [one for one in (probes or "").split(";") if one.strip()]
    if len(texts) > PROBES_MAX:
        raise codes.INVALID_PROBE.refusal(f"{len(texts)} probes, at most {PROBES_MAX} fit")
    try:
        return Unconfirmed(name or network.new_id()[:8], int(within), tuple(map(parse_probe, texts)))
    except ValueError as error:
        raise codes.INVALID_PROBE.refusal(str(error)) from None


def answer_again(doors: Doors, mutation: Mutation, replayed: Replayed) -> Message:
    """The first answer, with the conditions as they are now."""
    if replayed.thing is not None:
        return mutation.told(doors, Stored(replayed.thing, replayed.revision))
    answer = answer_class(mutation.method).FromString(replayed.answer)
    _date(answer, replayed.revision)
    return answer


def _date(answer: Any, revision: int) -> None:
    """What was told before it was committed lacks the revision."""
    if isinstance(answer, weft.BatchResponse):
        for one in answer.results:
            _date(getattr(one, one.WhichOneof("answer") or "nothing"), revision)
    if "revision" in answer.DESCRIPTOR.fields_by_name and not answer.revision:
        answer.revision = revision


def _expected(network: Network, mutation: Mutation, request: Message, if_match: str) -> Expected:
    if mutation.method not in SUBJECTS:
        raise codes.INVALID_HEADER.refusal(f"{IF_MATCH} has no meaning for a call that makes something")
    if if_match.strip() == "*":
        revisions: frozenset[int] = frozenset()
    elif _TAGS.fullmatch(if_match):
        revisions = frozenset(map(int, _TAG.findall(if_match)))
    else:
        raise codes.INVALID_HEADER.refusal(f"{IF_MATCH}: {decode.quoted(if_match)} is no ETag of ours")
    return Expected(lambda: subject_of(network, mutation.method, request), revisions)


def _once(doors: Doors, mutation: Mutation, request: Message, if_match: str, key: str) -> Once:
    if not _KEY.fullmatch(key):
        form = f"{IDEMPOTENCY_KEY} has 1 to {KEY_MAX} characters, all of them ASCII and none a space"
        raise codes.INVALID_HEADER.refusal(form)
    said = (mutation.method.encode(), if_match.encode(), request.SerializeToString(deterministic=True))

    def told(value: Any) -> bytes:
        return b"" if value is None else mutation.told(doors, Stored(value, 0)).SerializeToString()

    return Once(_digest(doors.network.author.who.encode(), key.encode()), _digest(*said), told)


def _digest(*parts: bytes) -> str:
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(joined).hexdigest()
