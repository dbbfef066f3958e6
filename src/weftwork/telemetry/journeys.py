"""Which request a revision came from, so that what is published and applied later can be told apart by request.

A revision is committed in one context and carried out in another, several at a time. Only this process' commits are
known, and only the newest of them: what is not known is carried out all the same, and told without a request.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from weftwork.telemetry.logs import told
from weftwork.telemetry.traces import NoSpans, Spans
from weftwork.telemetry.trail import Trail, along, current, joined

log = logging.getLogger(__name__)

REMEMBERED = 4096
TOLD_MAX = 32
"""Of one round: more names help nobody, and a span takes 128 links."""


class Journeys:
    def __init__(self) -> None:
        self._trails: OrderedDict[int, Trail] = OrderedDict()

    def __len__(self) -> int:
        return len(self._trails)

    def note(self, revision: int) -> None:
        """The present request made the revision."""
        trail = current()
        if not trail.requests:
            return
        self._trails[revision] = trail
        if len(self._trails) > REMEMBERED:
            self._trails.popitem(last=False)

    def of(self, *, after: int, up_to: int) -> tuple[Trail, ...]:
        """The newest of those that made a revision in between; oldest first, each once."""
        found: list[Trail] = []
        for revision in reversed(self._trails):
            if revision <= after or len(found) >= TOLD_MAX:
                break
            if revision <= up_to and self._trails[revision] not in found:
                found.append(self._trails[revision])
        return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Following:
    """Follows requests to where their revisions are carried out."""

    journeys: Journeys = field(default_factory=Journeys)
    spans: Spans = field(default_factory=NoSpans)

    @contextmanager
    def work(self, name: str, *, after: int, up_to: int) -> Iterator[None]:
        """What is done inside brings somebody from one revision to another."""
        trails = self.journeys.of(after=after, up_to=up_to)
        links = trails if len(trails) > 1 else ()
        with along(joined(trails)), self.spans.span(name, {"weftwork.revision": up_to}, links):
            yield
            if up_to > after:
                log.debug("%s: revision %d", name, up_to, extra=told(revision=up_to))
