"""Where a probe is sent and caught, by the intent; and that one is not sent where it could not be."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.controller.tracing import ControllerTracer
from weftwork.model.intent import ProjectIntent
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.seams.tracer import Flow, Injection, NotTraced, Traced
from weftwork.testing import strategies as make

RED = make.TENANTS[0]
PLUGGED = Attachment(AttachmentKind.NETNS, "guest", "eth0")
NEAR, FAR = make.port(RED, 2), make.port(RED, 4, subnet="data", vlan=2)
SENDER = make.port(RED, 1, attachment=PLUGGED)


class Injector:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Injection] = []

    async def inject(self, injection: Injection) -> Traced | NotTraced:
        self.given.append(injection)
        return Traced(True, ())


def project(sender: Attachment | None = PLUGGED) -> ProjectIntent:
    subnets = (make.subnet(RED), make.subnet(RED, "data", vlan=2))
    return make.project(make.vpc(RED), *subnets, replace(SENDER, attachment=sender), NEAR, FAR)


def traced(own: ProjectIntent, receiver: str, destination: str) -> tuple[Traced | NotTraced, list[Injection]]:
    injector = Injector()
    flow = Flow(SENDER.id, receiver, IPv4Address(destination), 6, 80)
    return asyncio.run(ControllerTracer({RED: own}, injector).trace(own, flow)), injector.given


def test_a_neighbour_is_sent_to_by_its_mac_and_others_by_the_gateways() -> None:
    _, (near,) = traced(project(), NEAR.id, str(NEAR.addresses[0]))
    _, (far,) = traced(project(), FAR.id, str(FAR.addresses[0]))

    assert (near.next_mac, near.out, near.leaves) == (NEAR.mac, NEAR.device, False)
    assert (near.device, near.leg) == (SENDER.device, "")
    assert far.next_mac.startswith("02:47:") and far.out == FAR.device


def test_who_is_called_by_an_external_address_is_sent_to_by_way_of_the_gateway() -> None:
    _, (hairpin,) = traced(project(), NEAR.id, "198.51.100.10")

    assert hairpin.next_mac.startswith("02:47:") and hairpin.out == NEAR.device


def test_what_leaves_is_caught_at_the_way_out() -> None:
    _, (outwards,) = traced(project(), "", "192.0.2.1")

    assert outwards.leaves and outwards.out == "ext0"
    assert outwards.leg == f"{outwards.scope}.external"


def test_nothing_is_sent_for_a_port_that_nobody_is_behind() -> None:
    told, given = traced(project(sender=None), NEAR.id, str(NEAR.addresses[0]))

    assert isinstance(told, NotTraced) and not given
