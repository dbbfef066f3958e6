"""Laws of project files: what is written down is read back, and what is read is what is written down."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings

from weftwork.declare.differences import replacements, unwanted
from weftwork.declare.project import ProjectSpec
from weftwork.declare.reading import SourceFile, read_projects
from weftwork.declare.told import spec_of, text_of
from weftwork.model.intent import Intent
from weftwork.model.security_group import Protocol
from weftwork.testing.strategies import intents


def sayable(spec: ProjectSpec) -> ProjectSpec:
    """Without what no call can make: rules for all protocols on some ports, and a rule twice."""
    return replace(
        spec,
        security_groups={
            name: replace(one, ingress=_sayable(one.ingress), egress=_sayable(one.egress))
            for name, one in (spec.security_groups or {}).items()
        },
        network_policies={
            name: replace(one, rules=_sayable(one.rules)) for name, one in (spec.network_policies or {}).items()
        },
    )


def _sayable(rules: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        one for one in dict.fromkeys(rules) if one.ports is None or one.protocol in (Protocol.TCP, Protocol.UDP)
    )


@settings(max_examples=60, deadline=None)
@given(intents())
def test_what_is_exported_is_read_as_what_it_says(intent: Intent) -> None:
    for owner, project in intent.items():
        spec = sayable(spec_of(project))

        assert read_projects([SourceFile("x", text_of(owner, spec))], owner) == {owner: spec}


@settings(max_examples=60, deadline=None)
@given(intents())
def test_a_project_is_as_its_export_says(intent: Intent) -> None:
    for project in intent.values():
        assert not list(replacements(spec_of(project), project))
        assert not list(unwanted(spec_of(project), project))
