"""What is drawn on purpose, because it is rare among what is drawn blindly."""

from collections.abc import Iterator
from dataclasses import replace

from weftwork.model.intent import Intent
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.equivalence.shots import Shot
from weftwork.verifier.model import Model
from weftwork.verifier.packet import Inside, Outside, Probe


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
