"""Asks Firecracker through its socket. It answers 204, or 400 and what was wrong."""

import json
from collections.abc import Iterable
from pathlib import Path

import httpx

from weftwork.base.errors import Failure
from weftwork.drivers.microvm.firecracker import Request

_ANSWER_S = 10.0
_BODY_BYTES_MAX = 51_200
"""What Firecracker takes (`--http-api-max-payload-size`)."""


async def ask(socket: Path, requests: Iterable[Request]) -> None:
    """One after the other, up to the first that is refused. Raises Failure VMM_REFUSED, VMM_GONE."""
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://firecracker", timeout=_ANSWER_S) as client:
        for request in requests:
            body = json.dumps(request.body).encode()
            if len(body) > _BODY_BYTES_MAX:
                raise Failure("VMM_REFUSED", f"{request.path}: {len(body)} bytes are more than Firecracker takes")
            try:
                answer = await client.request(
                    request.method, request.path, content=body, headers={"Content-Type": "application/json"}
                )
            except httpx.HTTPError as error:
                raise Failure("VMM_GONE", f"Firecracker did not answer {request.path}: {error!r}") from None
            if answer.status_code != httpx.codes.NO_CONTENT:
                raise Failure("VMM_REFUSED", f"{request.path}: {_fault(answer)}")


def _fault(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["fault_message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
