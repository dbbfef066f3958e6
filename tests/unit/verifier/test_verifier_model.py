"""What becomes of a packet, told by examples: NAT, routers, stray packets, and every reason that stops one."""

from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.model.intent import Intent
from weftwork.model.security_group import Protocol
from weftwork.testing import strategies as make
from weftwork.verifier.model import Model, survives
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Phase, Probe, Router, Seen
from weftwork.verifier.reasons import ReasonCode

RED, BLUE = make.TENANTS
CLIENT, SERVER, FAR, LOOSE = (make.port(RED, number).id for number in (1, 2, 3, 4))
BLUE_CLIENT = make.port(BLUE, 1).id
SOMEBODY = IPv4Address("203.0.113.9")
OUTER, BLUE_OUTER = IPv4Address("198.51.100.10"), IPv4Address("198.51.100.12")


def address(text: str) -> IPv4Address:
    return IPv4Address(text)


def world() -> Intent:
    """Red: a client and a server in one subnet, one far in another, one not attached; blue has the same addresses."""
    everything = make.allow("0.0.0.0/0")
    red = make.project(
        make.vpc(RED, vni=101),
        make.subnet(RED, "default", vlan=1),
        make.subnet(RED, "data", vlan=2),
        make.group(RED, "client", egress=(everything,)),
        make.group(RED, "server", ingress=(make.allow("0.0.0.0/0", Protocol.TCP, 80, 90), make.allow("client"))),
        make.port(RED, 1, groups=("client",)),
        make.port(RED, 2, groups=("server",)),
        make.port(RED, 3, subnet="data", vlan=2, groups=("client", "server")),
        make.port(RED, 4, groups=("server",), attachment=None),
        make.snat(RED, str(OUTER)),
        make.dnat(RED, f"{OUTER}:8080", "10.0.1.12:80"),
    )
    blue = make.project(
        make.vpc(BLUE, vni=102),
        make.subnet(BLUE, "default", vlan=1),
        make.group(BLUE, "client", egress=(everything,)),
        make.port(BLUE, 1, groups=("client",)),
        make.snat(BLUE, str(BLUE_OUTER)),
    )
    return {RED: red, BLUE: blue}


def from_client(destination: str, protocol: int = TCP, port: int = 80, **more: object) -> Probe:
    return replace(Probe(Inside(RED, CLIENT), address(destination), protocol, 40000, port), **more)  # type: ignore[arg-type]


def stops(probe: Probe, intent: Intent | None = None) -> list[ReasonCode]:
    told = Model(intent or world()).verdict(probe)
    assert not told.delivered
    return [reason.code for reason in told.reasons]


def test_the_rules_that_let_a_packet_pass_are_named() -> None:
    told = Model(world()).verdict(from_client("10.0.1.12"))
    assert told.receiver == Inside(RED, SERVER)
    assert told.seen == Seen(address("10.0.1.11"), 40000, address("10.0.1.12"), 80)
    assert [(reason.code, reason.thing) for reason in told.reasons] == [
        (ReasonCode.EGRESS_RULE, "client"),
        (ReasonCode.INGRESS_RULE, "server"),
    ]
    assert told.reasons[1].rule == make.allow("0.0.0.0/0", Protocol.TCP, 80, 90)


def test_every_reason_that_stops_a_packet_is_named() -> None:
    probe = Probe(Inside(RED, SERVER), address("10.0.1.11"), TCP, 40000, 80, source_address=address("10.0.1.13"))
    assert stops(probe) == [ReasonCode.SPOOFED_SOURCE, ReasonCode.NO_EGRESS_RULE, ReasonCode.NO_INGRESS_RULE]


def test_what_nobody_may_send_and_where_nobody_is() -> None:
    assert stops(from_client("10.0.1.12", protocol=47, port=0)) == [ReasonCode.TUNNEL]
    assert stops(from_client("10.0.1.12", protocol=UDP, port=4789)) == [ReasonCode.TUNNEL]
    assert stops(from_client("10.0.1.12", protocol=UDP, port=68)) == [ReasonCode.ROGUE_DHCP]
    assert stops(from_client("10.0.1.255")) == [ReasonCode.NOBODY_THERE]
    assert stops(from_client("10.0.77.7")) == [ReasonCode.NOBODY_THERE], "in no subnet, and still the VPC's own"
    assert stops(from_client("224.0.0.1")) == [ReasonCode.NOT_UNICAST]
    assert stops(from_client("10.0.1.11")) == [ReasonCode.OWN_ADDRESS]
    assert stops(from_client("10.0.1.14")) == [ReasonCode.RECEIVER_NOT_ATTACHED]
    assert ReasonCode.SENDER_NOT_ATTACHED in stops(Probe(Inside(RED, LOOSE), address("10.0.1.12"), TCP, 40000, 80))
    assert stops(Probe(Inside(RED, "nobody"), address("10.0.1.12"), TCP)) == [ReasonCode.SENDER_NOT_FOUND]


def test_a_gateway_answers_pings_and_nothing_else() -> None:
    assert Model(world()).verdict(from_client("10.0.2.1", ICMP, 0)).receiver == Router(RED)
    assert stops(from_client("10.0.1.1", TCP, 22)) == [ReasonCode.ROUTER_OFFERS_NOTHING]
    assert stops(from_client(str(OUTER), ICMP, 0)) == [ReasonCode.NO_DNAT]


def test_snat_changes_the_source_and_its_replies_come_back() -> None:
    model = Model(world())
    out = from_client(str(SOMEBODY), UDP, 53)
    assert model.verdict(out).receiver == Outside(SOMEBODY)
    assert model.verdict(out).seen == Seen(OUTER, 40000, SOMEBODY, 53)
    back = model.verdict(replace(out, phase=Phase.REPLY))
    assert back.receiver == Inside(RED, CLIENT)
    assert back.seen == Seen(SOMEBODY, 53, address("10.0.1.11"), 40000)


def test_without_snat_or_dnat_nothing_passes_the_border() -> None:
    intent = world()
    intent[RED].snat = make.snat(RED, str(OUTER), enabled=False)
    assert stops(from_client(str(SOMEBODY)), intent) == [ReasonCode.NO_SNAT]
    intent[RED].dnats.clear()
    assert stops(Probe(Outside(SOMEBODY), OUTER, TCP, 40000, 8080), intent) == [ReasonCode.NO_DNAT]
    assert stops(Probe(Outside(SOMEBODY), address("10.0.1.12"), TCP, 40000, 80)) == [ReasonCode.NO_DNAT]


def test_dnat_reaches_the_guest_under_its_groups() -> None:
    model = Model(world())
    come = Probe(Outside(SOMEBODY), OUTER, TCP, 40000, 8080)
    assert model.verdict(come).receiver == Inside(RED, SERVER)
    assert model.verdict(come).seen == Seen(SOMEBODY, 40000, address("10.0.1.12"), 80)
    assert model.verdict(replace(come, phase=Phase.REPLY)).seen == Seen(OUTER, 8080, SOMEBODY, 40000)
    assert stops(replace(come, destination_port=80)) == [ReasonCode.NO_DNAT]
    assert stops(replace(come, protocol=UDP)) == [ReasonCode.NO_DNAT]
    assert stops(replace(come, source=Outside(address("10.0.9.9")))) == [ReasonCode.NOT_FROM_OUTSIDE]


def test_from_inside_an_external_address_leads_to_the_guest_behind_its_gateway() -> None:
    told = Model(world()).verdict(Probe(Inside(RED, FAR), OUTER, TCP, 40000, 8080))
    assert told.receiver == Inside(RED, SERVER)
    assert told.seen == Seen(address("10.0.1.1"), 40000, address("10.0.1.12"), 80)
    assert ReasonCode.HAIRPIN in [reason.code for reason in told.reasons]


def test_tenants_meet_outside_only() -> None:
    model = Model(world())
    told = model.verdict(Probe(Inside(BLUE, BLUE_CLIENT), OUTER, TCP, 40000, 8080))
    assert told.receiver == Inside(RED, SERVER)
    assert told.seen is not None and told.seen.source == BLUE_OUTER
    assert stops(Probe(Inside(BLUE, BLUE_CLIENT), address("10.0.1.12"), TCP, 40000, 80)) == [ReasonCode.NOBODY_THERE]


def test_an_answer_needs_a_flow() -> None:
    asked = from_client("10.0.1.12")
    model = Model(world())
    assert model.verdict(replace(asked, phase=Phase.ERROR)).receiver == Inside(RED, CLIENT)
    unasked = Probe(Inside(RED, SERVER), address("10.0.1.11"), TCP, 80, 40000)
    assert stops(replace(unasked, phase=Phase.REPLY))[0] is ReasonCode.NOT_OF_A_FLOW
    assert stops(replace(asked, phase=Phase.STRAY)) == [ReasonCode.NOT_OF_A_FLOW]


def test_a_flow_does_not_outlive_its_rules_or_its_translation() -> None:
    intent, probe = world(), from_client(str(SOMEBODY))
    before = Model(intent).verdict(probe)
    assert survives(before, Model(intent).verdict(probe))
    intent[RED].snat = make.snat(RED, "198.51.100.11")
    after = Model(intent).verdict(probe)
    assert after.delivered and not survives(before, after)
