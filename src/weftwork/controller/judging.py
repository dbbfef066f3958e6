"""The verifier as the judge of programs, and those for Linux."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address
from typing import Protocol, TypeVar

from weftwork.base.addresses import Address, Cidr
from weftwork.controller.halves import in_halves
from weftwork.model.host import Host
from weftwork.model.intent import Intent
from weftwork.program.resource import Resource
from weftwork.verifier.linux import judge as linux
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Change, Fault, Violation

log = logging.getLogger(__name__)


class View(Protocol):
    """What is published, as a judge keeps it."""

    def apply(self, *, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> None: ...


_V = TypeVar("_V", bound=View)


class VerifierJudge:
    """Implements `review.Judge`."""

    def __init__(self, published: _V, judge: Callable[[_V, Change, Intent], Sequence[Violation]]) -> None:
        self._view: View = published
        self._judge: Callable[[Change, Intent], Sequence[Violation]] = lambda change, intent: judge(
            published, change, intent
        )

    def judge(self, change: Change, intent: Intent) -> Sequence[Violation]:
        try:
            return self._judge(change, intent)
        except Exception as error:
            # A second opinion that fails must not stop the first: it is told like a program that is not understood.
            log.exception("the judge failed")
            scope = min((one.scope for one in (*change.added, *change.removed)), default="")
            return (Violation(Fault.NOT_UNDERSTOOD, scope, f"the judge failed: {error}."),)

    def published(self, change: Change) -> None:
        self._view.apply(added=change.added, removed=change.removed)


def linux_judge(gateway: Address | None = None, networks: Iterable[Cidr] = ()) -> VerifierJudge:
    """`gateway` is the way out of the external network, which holds `networks`."""
    return VerifierJudge(ProgramView(gateway=gateway, networks=networks), partial(linux.judge, mapped=in_halves))


def host_judge(host: Host, gateway: IPv4Address | None = None) -> VerifierJudge:
    """Of the programs of one host of a fleet, whose gateways are at an address of the underlay."""
    view = ProgramView(underlay=host.underlay, gateway_address=gateway)
    return VerifierJudge(view, partial(linux.judge, mapped=in_halves))
