"""What the judge asks with packets at the start follows from how many VPCs there are, and not from their ports."""

from dataclasses import replace

import pytest

from bench.programs import compiled, many_projects
from weftwork.compiler.assembly import Delta
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import Intent
from weftwork.program.linux import NftElement
from weftwork.program.resource import Program
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.tables import Table
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Fault, Violation

NOTHING: Program = frozenset()
VPCS = 5


def _started(intent: Intent, program: Program) -> tuple[Violation, ...]:
    return judge(ProgramView(), Delta(program, NOTHING), intent)


def _walks(monkeypatch: pytest.MonkeyPatch, ports: int) -> int:
    """How often a packet is sent through chains."""
    intent, walks, run = many_projects(VPCS, ports), [0], Table.run

    def counted(self: Table, *arguments: object) -> object:
        walks[0] += 1
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "run", counted)
    assert not _started(intent, compiled(intent, HostProfile()))
    monkeypatch.undo()
    return walks[0]


def test_twice_the_ports_are_started_with_the_same_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _walks(monkeypatch, 12) <= 1.05 * _walks(monkeypatch, 6)


def test_one_port_among_many_that_may_pass_for_another_is_found_at_the_start() -> None:
    intent = many_projects(VPCS, 6)
    program = compiled(intent, HostProfile())
    guard = next(
        one for one in program if isinstance(one, NftElement) and one.set == "guard" and "10.0.0.12" in one.element
    )
    lying = replace(guard, element=guard.element.replace("10.0.0.12", "10.0.0.13"))

    violations = _started(intent, program - {guard} | {lying})

    assert {one.scope for one in violations} == {guard.scope}
    assert violations[0].fault in (Fault.ISOLATION, Fault.GUARD)
