from typing import Any

from hypothesis import given, settings

from weftwork.controller.fleet_plan import would_be
from weftwork.controller.fleet_view import FleetView
from weftwork.model.intent import Intent
from weftwork.testing.fleets import HOSTS, SpreadView, program_of
from weftwork.testing.strategies import Edit, histories

HELD = {name: (host, 1) for name, host in HOSTS.items()}


@given(histories())
@settings(max_examples=25, deadline=None)
def test_what_a_change_would_do_to_each_host_is_what_it_does(history: tuple[Edit, ...]) -> None:
    """Of the projects around the change; of the others a host is told nothing, before and after."""
    view = SpreadView()
    for edit in history:
        before = _copy(view.intent)
        was = _programs(before)
        view.apply(edit)

        told = {one.host: one for one in would_be(before, _copy(view.intent), [edit.key], HELD)}

        now = _programs(view.intent)
        for host in HOSTS:
            if was[host] != now[host]:
                assert host in told
            if host in told:
                around = program_of(told[host].intent, host)
                assert {one for one in now[host] - was[host] if one.scope} <= around
                assert not {one for one in was[host] - now[host] if one.scope} & around


def _copy(intent: Intent) -> Intent:
    return {owner: project.copy() for owner, project in intent.items()}


def _programs(intent: Intent) -> dict[str, Any]:
    whole: Any = SpreadView(_copy(intent))
    cut = FleetView(whole)
    cut.start(whole)
    return {host: program_of(cut.of(host).intent, host) for host in HOSTS}
