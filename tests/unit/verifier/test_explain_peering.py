"""Explanations of ways between peered projects: each side is told its own half, and nothing of the other's."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.security_group import Protocol
from weftwork.testing import strategies as make
from weftwork.verifier.edits import AddRule
from weftwork.verifier.explain import Explanation, explain
from weftwork.verifier.packet import TCP, Inside
from weftwork.verifier.question import Question
from weftwork.verifier.reasons import ReasonCode

RED, BLUE = make.TENANTS
THEIRS = IPv4Address("10.9.1.5")
MINE = make.port(RED, 1)


def red(*, lets_out: bool = True, lets_in: bool = True) -> ProjectIntent:
    everybody = (make.allow("0.0.0.0/0", Protocol.TCP, 80),)
    group = make.group(RED, ingress=everybody if lets_in else (), egress=everybody if lets_out else ())
    return make.project(make.vpc(RED), make.subnet(RED), group, MINE, make.peering(RED, BLUE))


def blue(*, lets_in: bool = True, has_half: bool = True) -> ProjectIntent:
    everybody = (make.allow("0.0.0.0/0"),)
    subnet = replace(make.subnet(BLUE), cidr=IPv4Network("10.9.1.0/24"), gateway=IPv4Address("10.9.1.1"))
    secret = make.group(BLUE, "secret", ingress=everybody if lets_in else (), egress=everybody)
    port = replace(make.port(BLUE, 2, groups=("secret",)), addresses=(THEIRS,))
    half = (make.peering(BLUE, RED),) if has_half else ()
    return make.project(replace(make.vpc(BLUE), cidr=IPv4Network("10.9.0.0/16")), subnet, secret, port, *half)


def towards(intent: Intent, destination: IPv4Address = THEIRS, port: int = 80) -> Explanation:
    return explain(intent, Question(RED, Inside(RED, MINE.id), destination, TCP, port))


def codes(told: Explanation) -> list[ReasonCode]:
    return [blocker.reason.code for blocker in told.blockers]


def test_a_way_to_a_peer_is_told_up_to_the_peer() -> None:
    told = towards({RED: red(), BLUE: blue()})

    assert told.reachable
    assert [hop.station.value for hop in told.hops] == ["port", "guard", "egress", "router", "peer"]
    assert [reason.code for reason in told.decides] == [ReasonCode.PEERING, ReasonCode.EGRESS_RULE]
    assert "secret" not in repr(told.hops)


def test_what_the_peer_refuses_is_told_alike_whether_somebody_is_there_or_not() -> None:
    refused = towards({RED: red(), BLUE: blue(lets_in=False)})
    nobody = towards({RED: red(), BLUE: blue(lets_in=False)}, IPv4Address("10.9.1.77"))

    assert codes(refused) == codes(nobody) == [ReasonCode.REFUSED_BY_PEER]
    assert not refused.changes and not nobody.changes
    assert [hop.reasons for hop in refused.hops] == [hop.reasons for hop in nobody.hops]


def test_what_is_missing_here_is_told_with_what_would_help() -> None:
    told = towards({RED: red(lets_out=False), BLUE: blue()})

    assert codes(told) == [ReasonCode.NO_EGRESS_RULE]
    (step,) = told.changes[0].steps
    assert isinstance(step, AddRule) and step.rule.peer == IPv4Network("10.9.1.5/32")
    assert (told.changes[0].opening.pairs, told.changes[0].opening.others) == (1, 0)


def test_a_peering_of_one_half_is_a_blocker() -> None:
    told = towards({RED: red(), BLUE: blue(has_half=False)})

    assert codes(told) == [ReasonCode.NOT_PEERED, ReasonCode.NO_SNAT]


def test_the_peers_port_may_be_asked_about_from_here_by_its_address() -> None:
    question = Question(RED, Inside(BLUE, make.port(BLUE, 2).id), Inside(RED, MINE.id), TCP, 80)

    assert explain({RED: red(), BLUE: blue()}, question).reachable
    told = explain({RED: red(lets_in=False), BLUE: blue()}, question)
    assert codes(told) == [ReasonCode.NO_INGRESS_RULE]
    assert [hop.station.value for hop in told.hops] == ["peer", "router", "ingress", "port"]
    (step,) = told.changes[0].steps
    assert isinstance(step, AddRule) and step.rule.peer == IPv4Network("10.9.1.5/32")
    assert "secret" not in repr((told.hops, told.blockers, told.changes))


def test_owners_of_reasons_are_the_askers_alone() -> None:
    for intent in ({RED: red(), BLUE: blue()}, {RED: red(), BLUE: blue(lets_in=False)}):
        told = towards(intent)
        owners: set[ProjectKey | None] = {reason.owner for hop in told.hops for reason in hop.reasons}
        assert owners == {RED}
