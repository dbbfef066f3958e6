"""One question – who, to whom, by which service – and the model's answers, as the intent is and as it might be."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.port import Port
from weftwork.verifier.model import NUMBERS, Model, address_of
from weftwork.verifier.packet import ICMP, Inside, Outside, Probe, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.route import Route, peer_of, route_of

SOURCE_PORT = 40000
"""Of the packet in question. Source ports decide nothing, but for those of DHCP."""


@dataclass(frozen=True, slots=True)
class Question:
    """`source` or `destination`, or both, are of `project`; another project's ports are nobody's business. Only a
    source may be a peer's port, of which its address was named.

    A destination that is a port means its guest, by whatever address leads there; then `destination_port` is the
    guest's own. `anyone`: the end that is outside stands for everybody there, so that a rule for it alone would not do.
    """

    project: ProjectKey
    source: Inside | Outside
    destination: Inside | IPv4Address
    protocol: int
    destination_port: int = 0
    anyone: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says. Reasons of other projects are replaced by one that tells nothing of them."""

    probe: Probe
    verdict: Verdict
    reasons: tuple[Reason, ...]


_REFUSED = ReasonCode.REFUSED_OUTSIDE


class Case:
    """A question with the little of an intent that its answer depends on."""

    def __init__(self, intent: Intent, question: Question) -> None:
        self.question = question
        self.project = _focused(intent[question.project], question)
        self.peers = {owner: _focused(project, question) for owner, project in peers_of(intent, question.project)}
        self._others = {
            owner: _focused(project, question)
            for owner, project in intent.items()
            if owner != question.project and _holds(project, question.destination)
        }

    def meant(self, project: ProjectIntent) -> Port | None:
        """The port that the question names as its destination."""
        end = self.question.destination
        return project.ports.get(end.port) if isinstance(end, Inside) else None

    def ask(self, project: ProjectIntent) -> Answer:
        """As if the asker's project were `project`. Of several ways in, the first that leads to the guest."""
        model = Model({**self._others, **self.peers, self.question.project: project})
        answers = [self._answer(model, probe) for probe in self._probes(project)]
        return next((one for one in answers if one.verdict.delivered), answers[0])

    def route(self, project: ProjectIntent, probe: Probe) -> Route:
        return route_of(project, probe, meant=self.meant(project), peers=self.peers)

    def _answer(self, model: Model, probe: Probe) -> Answer:
        verdict = model.verdict(probe)
        return Answer(probe, verdict, tuple(dict.fromkeys(self._told(verdict, probe))))

    def _told(self, verdict: Verdict, probe: Probe) -> Iterator[Reason]:
        """In the asker's words. A reason without an owner is nobody's: of the address, or of whoever has it."""
        asker, peer = self.question.project, peer_of(probe, self.peers)
        leaves = isinstance(probe.source, Inside) and not verdict.delivered
        refused = Reason(ReasonCode.REFUSED_BY_PEER, asker, str(peer)) if peer else Reason(_REFUSED, asker)
        for reason in verdict.reasons:
            if reason.owner == asker or (reason.owner is None and not leaves):
                yield reason
            elif reason.stops:
                yield refused
            elif reason.code is ReasonCode.PEERING:
                yield Reason(ReasonCode.PEERING, asker, str(peer))

    def _probes(self, project: ProjectIntent) -> Iterator[Probe]:
        question, meant = self.question, self.meant(project)
        if isinstance(question.destination, IPv4Address):
            yield self._probe(question.destination, question.destination_port)
            return
        address = address_of(meant) if meant else None
        assert address is not None, "the destination was looked up, and has an address"
        if isinstance(question.source, Outside):
            for dnat in project.dnats.values():
                inner = (dnat.internal_ip, NUMBERS[dnat.protocol], dnat.internal_port)
                if inner == (address, question.protocol, question.destination_port):
                    assert isinstance(dnat.external_ip, IPv4Address)
                    yield self._probe(dnat.external_ip, dnat.external_port)
        yield self._probe(address, question.destination_port)

    def _probe(self, destination: IPv4Address, port: int) -> Probe:
        question = self.question
        source_port = 0 if question.protocol == ICMP else SOURCE_PORT
        return Probe(question.source, destination, question.protocol, source_port, port)


def _focused(project: ProjectIntent, question: Question) -> ProjectIntent:
    """Only the ports that stand at an end; whatever else decides is all there."""
    wanted: set[object] = {question.destination}
    wanted |= {dnat.internal_ip for dnat in project.dnats.values() if dnat.external_ip == question.destination}
    named = {end.port for end in (question.source, question.destination) if isinstance(end, Inside)}
    ports = {
        port_id: port
        for port_id, port in project.ports.items()
        if port_id in named or wanted.intersection(port.addresses)
    }
    return replace(project, ports=ports)


def _holds(project: ProjectIntent, destination: object) -> bool:
    """Has the project this external address?"""
    snat = project.snat
    return any(dnat.external_ip == destination for dnat in project.dnats.values()) or (
        snat is not None and snat.external_ip == destination
    )
