"""Laws of explanations: the verdict is the model's, and every change that is told helps, whole and only whole."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.model.intent import Intent, ProjectIntent
from weftwork.testing import strategies as make
from weftwork.verifier.edits import Edit, applied
from weftwork.verifier.explain import Explanation, explain
from weftwork.verifier.hops import Passage
from weftwork.verifier.model import Model, address_of
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Probe
from weftwork.verifier.question import Question
from weftwork.verifier.reasons import ReasonCode

SPARE = IPv4Address("198.51.100.99")
FAR = IPv4Address("192.0.2.1")
QUESTIONS = 3
"""About each intent."""
SERVICES = ((TCP, 80), (TCP, 443), (TCP, 1500), (UDP, 80), (UDP, 4789), (ICMP, 0))


@st.composite
def questions(draw: st.DrawFn, intent: Intent) -> Question:
    """Between ports, gateways, unused addresses, external addresses of both tenants, and the outside."""
    owner = draw(st.sampled_from(sorted(intent)))
    own = intent[owner]
    ports = [Inside(owner, port_id) for port_id in at_home(own)]
    protocol, number = draw(st.sampled_from(SERVICES))
    external = [IPv4Address(f"198.51.100.{last}") for last in (10, 11, 12, 13)]
    addresses = [IPv4Address("10.0.1.1"), IPv4Address("10.0.1.77"), IPv4Address("224.0.0.5"), FAR, *external]
    source = draw(st.sampled_from([*ports, *ports, Outside(FAR)]))
    where = [*ports, *ports, *addresses] if isinstance(source, Inside) else [*ports, *external]
    return Question(owner, source, draw(st.sampled_from(where)), protocol, number, anyone=draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Intent, list[Question]]:
    """To draw an intent takes a hundred times as long as to ask about it, so a few things are asked of each."""
    intent = draw(make.intents().filter(lambda one: any(map(at_home, one.values()))))
    about = questions({owner: project for owner, project in intent.items() if at_home(project)})
    return intent, draw(st.lists(about, min_size=QUESTIONS, max_size=QUESTIONS, unique=True))


def at_home(own: ProjectIntent) -> list[str]:
    """The ports that there is an explanation for: those in the project's own VPC."""
    return sorted(port_id for port_id, port in own.ports.items() if not port.lender)


def explained(intent: Intent, question: Question) -> Explanation:
    return explain(intent, question, spare=SPARE)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_verdict_is_the_models_and_so_is_every_reason_of_ours(case: tuple[Intent, list[Question]]) -> None:
    intent, asked = case
    for question in asked:
        told = explained(intent, question)
        verdict = Model(intent).verdict(told.probe)

        assert told.reachable == verdict.delivered
        assert told.reachable == (not told.blockers)
        blockers = {blocker.reason for blocker in told.blockers}
        assert {reason for reason in verdict.reasons if reason.stops and reason.owner == question.project} <= blockers
        stopped_at = [hop for hop in told.hops if hop.passage is Passage.STOPS]
        assert bool(stopped_at) == (not told.reachable)
        assert {reason for hop in stopped_at for reason in hop.reasons if reason.stops} == blockers


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_change_helps_whole_and_without_any_step_it_does_not(case: tuple[Intent, list[Question]]) -> None:
    intent, asked = case
    for question in asked:
        told = explained(intent, question)

        assert not (told.reachable and told.changes)
        for change in told.changes:
            assert reaches(intent, question, change.steps)
            for step in change.steps:
                assert not reaches(intent, question, tuple(one for one in change.steps if one != step))
        sizes = [len(change.steps) for change in told.changes]
        assert sizes == sorted(sizes)


def reaches(intent: Intent, question: Question, steps: tuple[Edit, ...]) -> bool:
    """Asked of the whole model, and of every way in that there would be."""
    project, _ = applied(intent[question.project], steps)
    changed = {**intent, question.project: project}
    return explain(changed, question).reachable and Model(changed).verdict(explain(changed, question).probe).delivered


@settings(max_examples=40, deadline=None)
@given(cases())
def test_something_is_told_to_do_unless_no_change_of_the_project_could_help(
    case: tuple[Intent, list[Question]],
) -> None:
    intent, asked = case
    for question in asked:
        told = explained(intent, question)
        hopeless = {
            ReasonCode.TUNNEL,
            ReasonCode.ROGUE_DHCP,
            ReasonCode.NOT_UNICAST,
            ReasonCode.OWN_ADDRESS,
            ReasonCode.NOBODY_THERE,
            ReasonCode.ROUTER_OFFERS_NOTHING,
            ReasonCode.NOT_FROM_OUTSIDE,
            ReasonCode.REFUSED_OUTSIDE,
            ReasonCode.REFUSED_BY_PEER,
            ReasonCode.NOT_PEERED,
        }
        codes = {blocker.reason.code for blocker in told.blockers}
        nowhere_to_lead = ReasonCode.NO_DNAT in codes and (
            isinstance(told.question.destination, IPv4Address) or told.question.protocol == ICMP
        )

        assert told.reachable or told.changes or codes & hopeless or nowhere_to_lead


@settings(max_examples=25, deadline=None)
@given(cases())
def test_nothing_of_another_project_is_told(case: tuple[Intent, list[Question]]) -> None:
    intent, asked = case
    for question in asked:
        told = explained(intent, question)
        reasons = [*told.decides, *(blocker.reason for blocker in told.blockers)]

        assert {reason.owner for reason in reasons} <= {question.project, None}
        assert told.route.receiver is None or told.route.receiver.owner == question.project


@settings(max_examples=15, deadline=None)
@given(cases())
def test_what_a_change_opens_is_what_the_model_lets_pass_that_it_did_not(case: tuple[Intent, list[Question]]) -> None:
    """Counted pair by pair, with the services that the strategies speak of."""
    intent, asked = case
    for question in asked:
        for change in explained(intent, question).changes:
            project, _ = applied(intent[question.project], change.steps)
            before, after = set(passing(intent)), set(passing({**intent, question.project: project}))
            pairs = {(source, destination) for source, destination, _ in after - before}
            assert len(pairs) <= change.opening.pairs
            for opened in change.opening.examples:
                assert opened.services


def passing(intent: Intent) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Between ports of the same project, directly."""
    model = Model(intent)
    for owner, project in intent.items():
        ports = [project.ports[port_id] for port_id in at_home(project)]
        for source in ports:
            for destination in ports:
                address = address_of(destination)
                for protocol, number in SERVICES if address and source is not destination else ():
                    assert address is not None
                    probe = Probe(Inside(owner, source.id), address, protocol, 40000, number)
                    if model.verdict(probe).delivered:
                        yield source.id, destination.id, (protocol, number)
