"""The verifier as the judge of a host's programs on Linux."""

import logging
from collections.abc import Iterable, Sequence

from weftwork.base.addresses import Address, Cidr
from weftwork.model.intent import Intent
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Change, Fault, Violation

log = logging.getLogger(__name__)


class LinuxJudge:
    """Implements `review.Judge`. `gateway` is the way out of the external network, which holds `networks`."""

    def __init__(self, gateway: Address | None = None, networks: Iterable[Cidr] = ()) -> None:
        self._programs = ProgramView(gateway=gateway, networks=networks)

    def judge(self, change: Change, intent: Intent) -> Sequence[Violation]:
        try:
            return judge(self._programs, change, intent)
        except Exception as error:
            # A second opinion that fails must not stop the first: it is told like a program that is not understood.
            log.exception("the judge failed")
            scope = min((one.scope for one in (*change.added, *change.removed)), default="")
            return (Violation(Fault.NOT_UNDERSTOOD, scope, f"the judge failed: {error}."),)

    def published(self, change: Change) -> None:
        self._programs.apply(added=change.added, removed=change.removed)
