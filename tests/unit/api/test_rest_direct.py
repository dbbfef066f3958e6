"""Ports are written as JSON without messages between, and nobody can tell."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from weftwork.actions.network import NetworkSettings, Stored
from weftwork.api.doors import Doors
from weftwork.api.rest.direct import port_told, ports_text
from weftwork.api.rest.messages import to_text, written
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.seams.conditions import Condition, Status
from weftwork.testing import strategies as make

RED = ProjectKey("acme", "red")
REVISIONS = st.integers(1, 2**63 - 1)


@st.composite
def any_port(draw: st.DrawFn) -> Port:
    """Also one without a VM, an address or groups, in whoever's subnet, under a name that JSON must quote."""
    ends = (None, Attachment(AttachmentKind.TAP), Attachment(AttachmentKind.NETNS, "guest", "eth0"))
    port = make.port(RED, draw(st.integers(0, 99)), attachment=draw(st.sampled_from(ends)))
    return replace(
        port,
        vm=draw(st.text(max_size=3)),
        addresses=draw(st.sampled_from((port.addresses, ()))),
        groups=tuple(sorted(draw(st.sets(st.sampled_from(("a", "b")))))),
        lender=draw(st.sampled_from((None, ProjectKey("acme", "blue")))),
        created_at=draw(st.integers(0, 2**40)),
    )


class _Said:
    """Conditions of each kind."""

    def of(self, key: ThingKey, revision: int) -> tuple[Condition, ...]:
        assert key.kind == "port"
        return tuple(Condition("Programmed", status, "WHY", f'a "reason" of {key}', revision, 17) for status in Status)


def doors_of(device_netns: str | None) -> Doors:
    vpc = make.vpc(RED)
    network = SimpleNamespace(
        settings=NetworkSettings(device_netns=device_netns),
        view=SimpleNamespace(intent={RED: ProjectIntent(vpc=vpc)}),
    )
    return Doors(cast(Any, network), cast(Any, _Said()), cast(Any, None))


@given(st.lists(st.tuples(any_port(), REVISIONS), max_size=4), st.sampled_from((None, "", "hosts")))
def test_a_list_of_ports_is_told_as_its_message_is(ports: list[tuple[Port, int]], device_netns: str | None) -> None:
    doors = doors_of(device_netns)
    items = [Stored(port, revision) for port, revision in ports]

    text = ports_text(doors, items, "more")
    one_by_one = [port_told(doors, one) for one in items]

    message = pb.ListPortsResponse(ports=map(doors.port, items), next_page_token="more")
    assert json.loads(text) == json.loads(to_text(written(message)))
    assert [json.loads(one.content) for one in one_by_one] == json.loads(text)["ports"]
    assert [one.revision for one in one_by_one] == [str(one.revision) for one in items]
