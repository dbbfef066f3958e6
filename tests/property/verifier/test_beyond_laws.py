"""What is told of packets that another project judges, too: all of one's own side, and nothing of the other's."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

from weftwork.model.intent import Intent
from weftwork.model.port import Port
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.equivalence.intents import add_policies, draw_project
from weftwork.testing.equivalence.world import OUTSIDERS
from weftwork.verifier.beyond_project import Ends, explain_beyond
from weftwork.verifier.explain import Explanation
from weftwork.verifier.model import Model, address_of
from weftwork.verifier.packet import TCP, UDP, Inside, Outside, Probe
from weftwork.verifier.question import SOURCE_PORT, Question
from weftwork.verifier.reasons import ReasonCode

SEEDS = 60
OTHER_LENDERS = 6
SERVICES = ((TCP, 80), (UDP, 1000), (TCP, 5001), (UDP, 4789))


def lodgers(intent: Intent) -> Iterator[Port]:
    yield from (port for own in intent.values() for port in own.ports.values() if port.lender)


def own_of(port: Port) -> IPv4Address:
    address = address_of(port)
    assert address is not None
    return address


def asked(random: Random, intent: Intent, port: Port) -> Iterator[tuple[Question, IPv4Address]]:
    """From the borrowed port and to it; and the address of the other end."""
    theirs = [own_of(one) for one in intent[port.home].ports.values()]
    for other in (*random.sample(theirs, 3), random.choice(OUTSIDERS)):
        for protocol, number in SERVICES:
            yield Question(port.owner, Inside(port.owner, port.id), other, protocol, number), other
            if other in theirs:
                yield Question(port.owner, Outside(other), own_of(port), protocol, number), other


def told(intent: Intent, question: Question, port: Port, other: IPv4Address) -> Explanation:
    sends = isinstance(question.source, Inside)
    ends = Ends(
        home=port.home,
        sender=port if sends else None,
        receiver=None if sends else port,
        source=own_of(port) if sends else other,
        destination=other if sends else own_of(port),
        true_source=truth(intent, question, port, other),
    )
    return explain_beyond(intent, question, ends)


def truth(intent: Intent, question: Question, port: Port, other: IPv4Address) -> Inside | Outside:
    if isinstance(question.source, Inside):
        return question.source
    there = (Inside(port.home, one.id) for one in intent[port.home].ports.values() if other in one.addresses)
    return next(there, Outside(other))


def other_lenders(random: Random, intent: Intent, port: Port) -> Iterator[Intent]:
    """The same for the borrower, who may read his own project and which subnet is lent to him."""
    old = intent[port.home]
    for _ in range(OTHER_LENDERS):
        new = draw_project(random, port.home)
        add_policies(random, {port.home: new})
        yield {**intent, port.home: replace(new, vpc=old.vpc, shares=old.shares, peerings=old.peerings)}


def test_the_verdict_is_the_models_and_beyond_it_the_other_side_changes_nothing_that_is_told() -> None:
    same = passed = stopped = hidden = 0
    for seed in range(SEEDS):
        intent, random = draw_case(seed).before, Random(seed)
        for port in lodgers(intent):
            others = list(other_lenders(random, intent, port))
            for question, other in asked(random, intent, port):
                found = told(intent, question, port, other)
                probe = Probe(
                    truth(intent, question, port, other),
                    question.destination if isinstance(question.destination, IPv4Address) else other,
                    question.protocol,
                    SOURCE_PORT,
                    question.destination_port,
                )
                assert found.reachable == Model(intent).verdict(probe).delivered, (seed, question)
                assert bool(found.blockers) is not found.reachable and not found.changes, (seed, question)
                for changed in others:
                    again = told(changed, question, port, other)
                    if again.reachable == found.reachable:
                        assert again == found, (seed, question)
                        same += 1
                passed, stopped = passed + found.reachable, stopped + (not found.reachable)
                hidden += [one.reason.code for one in found.blockers] == [ReasonCode.REFUSED_BY_OTHER_SIDE]
    assert min(same, passed, stopped, hidden) > 30, (same, passed, stopped, hidden)


def test_of_ones_own_side_everything_is_told() -> None:
    """A borrowed port without rules is stopped by that, both ways, whatever the lender says."""
    intent = make_lent()
    port = next(lodgers(intent))
    bare = replace(port, groups=())
    make.put(intent[port.owner], bare)
    other = own_of(next(iter(intent[port.home].ports.values())))
    out = told(intent, Question(port.owner, Inside(port.owner, port.id), other, TCP, 80), bare, other)
    back = told(intent, Question(port.owner, Outside(other), own_of(port), TCP, 80), bare, other)

    assert [one.reason.code for one in out.blockers] == [ReasonCode.NO_EGRESS_RULE]
    assert [one.reason.code for one in back.blockers] == [ReasonCode.NO_INGRESS_RULE]


def make_lent() -> Intent:
    return next(intent for seed in range(SEEDS) if any(lodgers(intent := draw_case(seed).before)))
