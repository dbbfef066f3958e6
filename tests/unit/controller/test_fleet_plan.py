from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import given, settings

from weftwork.base.addresses import Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.controller.fleet_plan import would_be
from weftwork.controller.fleet_view import FleetView
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.testing.fleets import HOSTS, SpreadView, program_of
from weftwork.testing.strategies import Edit, histories

RANGE, OTHER = "10.1.0.0/24", "10.2.0.0/24"
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


def test_a_host_that_holds_a_vpc_for_another_projects_port_is_told_of_it_too() -> None:
    lender, lodger = ProjectKey("acme", "net"), ProjectKey("acme", "app")
    vpcs = [
        Vpc(one, "vpc", IPv4Network(cidr), vni, 0, 0)
        for one, cidr, vni in ((lender, RANGE, 1001), (lodger, OTHER, 1002))
    ]
    subnet = Subnet(lender, "back", IPv4Network(RANGE), IPv4Address("10.1.0.1"), 1, True, (), "", (), 60, 0, vni=1003)
    at = Attachment(AttachmentKind.NETNS, "guest", "eth0", "h1")
    port = Port(lodger, "p1", "p1", "back", "", Mac("02:57:00:00:00:01"), (), (), at, 0, lender)
    group = SecurityGroup(lender, "web", "", (), (), 0)
    before: Intent = {
        lender: ProjectIntent(vpc=vpcs[0], subnets={"back": subnet}, groups={"web": group}),
        lodger: ProjectIntent(vpc=vpcs[1], ports={"p1": port}),
    }
    share = SubnetShare(lender, "back", lodger, 0)
    before[lender].shares[share.name] = share
    after = _copy(before)
    after[lender].groups["web"] = replace(group, description="other")

    told = list(would_be(before, after, [ThingKey("security-group", lender, "web")], HELD))

    assert [(one.host, one.changed) for one in told] == [("h1", {ThingKey("security-group", lender, "web")})]


def _copy(intent: Intent) -> Intent:
    return {owner: project.copy() for owner, project in intent.items()}


def _programs(intent: Intent) -> dict[str, Any]:
    whole: Any = SpreadView(_copy(intent))
    cut = FleetView(whole)
    cut.start(whole)
    return {host: program_of(cut.of(host).intent, host) for host in HOSTS}
