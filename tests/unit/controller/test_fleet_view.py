from typing import Any

from hypothesis import given, settings

from weftwork.controller.fleet_view import FleetView
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import AttachmentKind
from weftwork.program.linux import PortLink, RemoteEntry
from weftwork.testing.fleets import GATEWAYS, HOSTS, SpreadView, program_of, spread_views
from weftwork.testing.strategies import Edit, histories

LAWS = settings(max_examples=25, deadline=None)


def _cut(view: SpreadView) -> FleetView:
    whole: Any = view
    cut = FleetView(whole)
    cut.start(whole)
    return cut


@given(histories())
@LAWS
def test_what_a_host_sees_after_changes_is_what_it_would_see_from_the_start(history: tuple[Edit, ...]) -> None:
    view = SpreadView()
    followed = _cut(view)

    for edit in history:
        view.apply(edit)

    fresh = _cut(view)
    for host in HOSTS:
        assert _plain(followed.of(host).intent) == _plain(fresh.of(host).intent)


@given(histories())
@LAWS
def test_a_change_is_told_to_the_hosts_that_hold_its_project_before_or_after_and_to_no_other(
    history: tuple[Edit, ...],
) -> None:
    view = SpreadView()
    cut = _cut(view)
    for edit in history:
        generations = {host: cut.of(host).revision for host in HOSTS}
        before = {host: _plain(cut.of(host).intent) for host in HOSTS}
        held = cut.hosts_of(edit.key.owner)

        view.apply(edit)

        held |= cut.hosts_of(edit.key.owner)
        for host in HOSTS:
            if _plain(cut.of(host).intent) != before[host]:
                assert cut.of(host).revision == view.revision
            elif host not in held and edit.key.kind != "port":
                assert cut.of(host).revision == generations[host]


@given(spread_views())
@LAWS
def test_each_host_has_its_own_ports_as_devices_and_the_others_behind_the_host_they_are_on(view: SpreadView) -> None:
    cut = _cut(view)
    everybody = [port for project in view.intent.values() for port in project.ports.values()]
    ports = {(_netns(view, port), port.mac): port for port in everybody}
    for host in HOSTS:
        program = program_of(cut.of(host).intent, host)
        for one in program:
            if isinstance(one, PortLink):
                assert _host_of(ports[one.scope, one.mac]) == host
            if isinstance(one, RemoteEntry) and one.host != GATEWAYS.address:
                there = _host_of(ports[one.scope, one.mac])
                assert there not in ("", host)
                assert one.host == HOSTS[there].underlay


@given(spread_views())
@LAWS
def test_of_a_vpc_on_a_host_every_port_of_the_fleet_is_known_there(view: SpreadView) -> None:
    cut = _cut(view)
    for host in HOSTS:
        intent = cut.of(host).intent
        for owner, project in intent.items():
            for port in project.ports.values():
                placed = _host_of(view.intent[owner].ports[port.id])
                if port.home in intent and placed:
                    assert port.attachment is not None
                    assert (port.attachment.kind is AttachmentKind.REMOTE) == (placed != host)
                else:
                    assert not placed or port.home not in intent


def _netns(view: SpreadView, port: Any) -> str:
    vpc = view.intent[port.home].vpc
    return vpc.netns if vpc else ""


def _host_of(port: Any) -> str:
    return port.attachment.host if port.attachment else ""


def _plain(intent: Intent) -> dict[Any, ProjectIntent]:
    return {owner: project.copy() for owner, project in intent.items() if not project.is_empty}
