"""An intent as the hosts see it: every port where it is, under the groups that it brings along.

A port in another project's subnet becomes one of that project's ports, and its groups are groups there whose names have
their own project before them. What passes is the same; only who owns an end is told otherwise.
"""

from dataclasses import replace

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, lodgers_of
from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, Rule, SecurityGroup
from weftwork.verifier.packet import Inside, Probe


def at_home(intent: Intent) -> Intent:
    """The same intent where no subnet is shared."""
    lenders = [owner for owner, own in intent.items() if own.shares]
    if not lenders:
        return intent
    lodgers = [port for lender in lenders for port in lodgers_of(intent, lender)]
    seen: Intent = dict(intent)
    for owner in {port.owner for port in lodgers}:
        own = intent[owner]
        seen[owner] = replace(own, ports={key: one for key, one in own.ports.items() if not one.lender})
    for port in lodgers:
        seen[port.home] = _with(seen[port.home], port, intent[port.owner])
    return seen


def moved(intent: Intent, probe: Probe) -> Probe:
    """The same question about `at_home(intent)`."""
    source = probe.source
    if not isinstance(source, Inside) or source.owner not in intent:
        return probe
    port = intent[source.owner].ports.get(source.port)
    return replace(probe, source=Inside(port.home, port.id)) if port else probe


def _with(host: ProjectIntent, port: Port, own: ProjectIntent) -> ProjectIntent:
    assert port.lender is not None
    names = tuple(str(GroupRef(name, port.owner)) for name in port.groups)
    moved_in = replace(port, owner=port.lender, lender=None, groups=names)
    brought = [own.groups[name] for name in port.groups if name in own.groups] if port.attachment else []
    groups = {group.name: group for group in (_seen(one, port.lender) for one in brought)}
    return replace(host, ports={**host.ports, port.id: moved_in}, groups={**host.groups, **groups})


def _seen(group: SecurityGroup, there: ProjectKey) -> SecurityGroup:
    def with_project(rule: Rule) -> Rule:
        if not isinstance(rule.peer, GroupRef):
            return rule
        whose = rule.peer.owner or group.owner
        return replace(rule, peer=GroupRef(rule.peer.name, None if whose == there else whose))

    ways = (tuple(map(with_project, rules)) for rules in (group.ingress, group.egress))
    ingress, egress = ways
    return replace(group, owner=there, name=str(GroupRef(group.name, group.owner)), ingress=ingress, egress=egress)
