"""What is drawn on purpose, because it is rare among what is drawn blindly."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent
from weftwork.testing.equivalence.cases import Case, draw_case
from weftwork.testing.equivalence.shots import Form, Shot
from weftwork.verifier.model import Model, survives
from weftwork.verifier.packet import UDP, Inside, Outside, Probe
from weftwork.verifier.reasons import Reason, ReasonCode


def test_somebody_outside_lies_in_the_name_of_guests_who_may() -> None:
    lies = [probe for seed in range(20) for probe in lies_of(draw_case(seed).before, draw_case(seed).shots)]
    assert len(lies) > 5


def lies_of(intent: Intent, shots: list[Shot]) -> Iterator[Probe]:
    """From outside, with the address of a guest from whom the same packet would pass."""
    model = Model(intent)
    for probe in (shot.probe for shot in shots):
        if isinstance(probe.source, Outside) and not model.verdict(probe).delivered:
            guests = (
                Inside(owner, port.id)
                for owner, own in intent.items()
                for port in own.ports.values()
                if probe.source.address in port.addresses
            )
            if any(model.verdict(replace(probe, source=guest)).delivered for guest in guests):
                yield probe


def test_what_a_flow_lives_by_is_taken_away_in_mid_flow() -> None:
    ended = Counter(what for seed in range(150) for what in ended_by(draw_case(seed)))
    assert ended["DNAT of UDP"] > 5 and ended["DNAT of TCP"] > 5, ended
    assert ended["rule"] > 5 and ended["peering"] > 3 and ended["port"] > 5, ended


def ended_by(case: Case) -> Iterator[str]:
    """What flows of the first intent lived by that is not in the second; DNATs whose VPC has the address still."""
    assert case.after is not None
    first, second = Model(case.before), Model(case.after)
    for probe in (shot.probe for shot in case.shots if shot.form is Form.PLAIN):
        verdict = first.verdict(probe)
        if verdict.delivered and not survives(verdict, second.verdict(probe)):
            yield from (what for reason in verdict.reasons if (what := went(reason, probe, case.after)))
            receiver = verdict.receiver
            if isinstance(receiver, Inside) and receiver.port not in case.after[receiver.owner].ports:
                yield "port"


def went(reason: Reason, probe: Probe, after: Intent) -> str:
    match reason:
        case Reason(ReasonCode.DNAT, ProjectKey() as owner, name) if name not in after[owner].dnats:
            held = {one.external_ip for one in after[owner].dnats.values()}
            return f"DNAT of {'UDP' if probe.protocol == UDP else 'TCP'}" if probe.destination in held else ""
        case Reason(ReasonCode.PEERING, ProjectKey() as owner, peer):
            return "" if any(str(one.peer) == peer for one in after[owner].peerings.values()) else "peering"
        case Reason(ReasonCode.INGRESS_RULE | ReasonCode.EGRESS_RULE, ProjectKey() as owner, name, rule):
            group = after[owner].groups[name]
            return "" if rule in (*group.ingress, *group.egress) else "rule"
    return ""
