"""Pages for those who watch over the deployment: /health, /ready and /metrics (N §11.2)."""

from starlette.requests import Request
from starlette.routing import Route

from weftwork.access.caller import Credentials, Transport
from weftwork.access.decision import check_fleet
from weftwork.api.calls import Calls
from weftwork.api.guard import bearer_in
from weftwork.api.rest.door import JSON, Answer, refused
from weftwork.api.rest.messages import to_text
from weftwork.api.rest.problems import problem_of
from weftwork.api.rest.protocol import certificate_of
from weftwork.seams.figures import Figures
from weftwork.telemetry.metrics import CONTENT_TYPE, Figure


def watching_over(calls: Calls, transport: Transport, figures: Figures | None) -> list[Route]:
    """Whether it lives and whether it serves, anybody may ask; how much it does, who may see all of it."""

    async def health(request: Request) -> Answer:
        return _told({"status": "ok"}, 200)

    async def ready(request: Request) -> Answer:
        missing = [*_server(calls), *(await figures.not_ready() if figures else ())]
        if missing:
            return _told({"status": "not ready", "not_ready": missing}, 503)
        return _told({"status": "ready"}, 200)

    async def scraped(request: Request) -> Answer:
        try:
            bearer = bearer_in(request.headers.get("authorization", ""))
            peer = f"{request.client.host}:{request.client.port}" if request.client else "unix:"
            credentials = Credentials(transport, peer, bearer, certificate_of(request.scope))
            check_fleet(await calls.guard.authenticate(credentials))
        except Exception as error:
            return refused(problem_of(error, request.url.path))
        text = calls.metrics.text((*_of_calls(calls), *(await figures.figures() if figures else ())))
        return Answer(200, text, CONTENT_TYPE)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", scraped)]


def _server(calls: Calls) -> list[str]:
    return [] if calls.gate.is_ready else ["server: it still reads its store"]


def _of_calls(calls: Calls) -> tuple[Figure, ...]:
    gate = calls.gate
    return (
        Figure("weft_calls_in_flight", "Calls and watches that are going on.", gate.in_flight),
        Figure(
            "weft_calls_turned_away", "Calls that found the server not ready or full.", gate.turned_away, grows=True
        ),
    )


def _told(document: dict[str, object], status: int) -> Answer:
    return Answer(status, to_text(document), JSON)
