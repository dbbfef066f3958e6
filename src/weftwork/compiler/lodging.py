"""What a port in another project's subnet brings along there: the groups of its own project."""

from collections.abc import Iterator
from dataclasses import replace

from weftwork.model.intent import ProjectIntent
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Rule, SecurityGroup
from weftwork.model.vpc import Vpc


def brought_along(vpc: Vpc, project: ProjectIntent, port: Port) -> Iterator[SecurityGroup]:
    """The port's groups as the VPC sees them; a group that is not there allows nothing."""
    return (_seen_in(vpc, project.groups[name]) for name in port.groups if name in project.groups)


def _seen_in(vpc: Vpc, group: SecurityGroup) -> SecurityGroup:
    """Every name with its project, but the VPC's own."""

    def seen(rule: Rule) -> Rule:
        if not isinstance(rule.peer, GroupRef):
            return rule
        whose = rule.peer.owner or group.owner
        return replace(rule, peer=GroupRef(rule.peer.name, None if whose == vpc.owner else whose))

    return replace(
        group,
        name=str(GroupRef(group.name, group.owner)),
        ingress=tuple(map(seen, group.ingress)),
        egress=tuple(map(seen, group.egress)),
    )
