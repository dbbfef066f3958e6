"""What the judge does for one rule follows from the rule, whether it comes or goes."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from bench.programs import compiled, many_projects, owner_of
from weftwork.compiler.assembly import Delta
from weftwork.compiler.settings import HostProfile
from weftwork.model.intent import Intent
from weftwork.model.security_group import PortRange, Protocol, Rule
from weftwork.verifier.linux.judge import judge
from weftwork.verifier.linux.tables import Table
from weftwork.verifier.linux.view import ProgramView

RULE = Rule(Protocol.TCP, PortRange(80, 80), IPv4Network("192.0.2.0/24"))


def _with_rule() -> Intent:
    intent = many_projects(1, 4)
    groups = intent[owner_of(0)].groups
    groups["default"] = replace(groups["default"], ingress=(*groups["default"].ingress, RULE))
    return intent


def _walks(monkeypatch: pytest.MonkeyPatch, before: Intent, after: Intent) -> int:
    """How often a packet is sent through the chains of hooks."""
    old, new = compiled(before, HostProfile()), compiled(after, HostProfile())
    walks, run = [0], Table.run

    def counted(self: Table, *arguments: object) -> object:
        walks[0] += 1
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "run", counted)
    assert not judge(ProgramView(old), Delta(new - old, old - new), after)
    monkeypatch.undo()
    return walks[0]


def test_a_rule_that_goes_is_judged_with_as_few_packets_as_one_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    without, with_it = many_projects(1, 4), _with_rule()

    assert _walks(monkeypatch, with_it, without) <= _walks(monkeypatch, without, with_it)


def test_a_rule_that_goes_from_the_program_and_not_from_the_intent_is_found() -> None:
    without, with_it = many_projects(1, 4), _with_rule()
    old, new = compiled(with_it, HostProfile()), compiled(without, HostProfile())

    (violation,) = judge(ProgramView(old), Delta(new - old, old - new), with_it)

    assert "default" in violation.what
