"""A call as the command that makes it: the other way round than everywhere else."""

import re
import shlex
from collections.abc import Iterator

from weftwork.cli.document import Document
from weftwork.cli.endpoints import external_name
from weftwork.cli.nouns import rule_text
from weftwork.cli.precedence import Level
from weftwork.cli.settings import current
from weftwork.declare.rules import Direction, PortSpan

PLACEHOLDER = "VM"
"""What a person has to fill in: no call knows to whom a port should go."""

_SIDES: tuple[tuple[Direction, str], ...] = (("ingress", "--from"), ("egress", "--to"))


def command_of(kind: str, call: Document) -> str:
    """`kind` is the call's field in a PlanRequest. What stands in the environment or in files need not be typed."""
    project = f"{call['org_id']}/{call['project_id']}"
    return shlex.join(["weft", *where_words(project), *_words(kind, call, f"{project}/")])


def where_words(project: str) -> Iterator[str]:
    """Only what this command was told itself: the next one hears the rest from the same places."""
    settings = current()
    for key in ("server", "context"):
        if (said := settings.said.get(key)) and said.level is Level.FLAG and said.place == f"--{key}":
            yield from (f"--{key}", said.value)
    if project != str(settings.project) or settings.said["project"].level is Level.FLAG:
        yield from ("-P", project)


def _words(kind: str, call: Document, prefix: str) -> Iterator[str]:
    match kind:
        case "add_rules" | "remove_rules":
            yield from ("security-group", "rule", kind.removesuffix("_rules"), call["security_group_id"])
            yield from _one_rule(call, prefix)
        case "create_security_group":
            yield from ("security-group", "create", call["name"])
            for direction, _ in _SIDES:
                for rule in call[f"{direction}_rules"]:
                    yield from (f"--{direction}", rule_text(rule, direction, prefix))
        case "set_security_groups":
            yield from ("port", "set-groups", call["port_id"], *call["security_group_ids"])
        case "attach_port":
            yield from ("port", "attach", call["port_id"], "--vm", call["vm_id"] or PLACEHOLDER)
        case "create_snat" | "delete_snat":
            yield from ("snat", kind.removesuffix("_snat"))
            if call["external_ip"]:
                yield from ("--external", call["external_ip"])
        case "create_dnat":
            outer = external_name(call["external_ip"], call["external_port"], call["protocol"])
            yield from ("dnat", "create", "--external", outer)
            yield from ("--to", f"{call['internal_ip']}:{call['internal_port']}")
        case "add_policy_rules":
            yield from ("network-policy", "rule", "add", call["network_policy"])
            yield from (_policy_rule(rule) for rule in call["rules"])
            yield from ("--at", str(call["position"]))
        case _:
            raise AssertionError(f"nobody proposes {kind}")


def _one_rule(call: Document, prefix: str) -> Iterator[str]:
    for direction, word in _SIDES:
        for rule in call[f"{direction}_rules"]:
            yield from (f"--{direction}", "--protocol", rule["protocol"])
            if span := rule["port_range"]:
                yield from (
                    "--ports",
                    str(span["min"]) if span["min"] == span["max"] else f"{span['min']}-{span['max']}",
                )
            peer = rule["source"].removeprefix(prefix)
            looks_like_none = peer == "any" or re.fullmatch(r"[0-9./:]+", peer)
            is_group = rule["source_type"] == "security-group"
            yield from (word, f"group {peer}" if is_group and looks_like_none else peer)


def _policy_rule(rule: Document) -> str:
    """Of a single address range: no other is proposed."""
    span = rule["port_range"]
    ports = f" {PortSpan(span['min'], span['max'])}" if span else ""
    return f"{rule['action']} {rule['protocol']}{ports} with {rule['cidr']}"
