"""What a VPC has logged: rules that decide say so of what they decide, and meters keep that bounded.

OVN 23.03 has no rule that only looks. Of what is allowed the first packet is to be told, so a rule that allows is said
twice: for what is new, which is logged, and for the rest. Without a flow log the program is without all of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from weftwork.compiler.ovn import names
from weftwork.model.vpc import Vpc
from weftwork.program.flow_log import ALLOWED, PER_SECOND, Called, Way, acl_name, called_in
from weftwork.program.ovn import Acl, AclDirection, AclLog, Meter
from weftwork.program.resource import Resource

METERED_MAX = 1000
"""Packets a second of a reason that ovn-controller is asked to write down, though one of many is told."""


def log_of(vpc: Vpc, side: Literal["in", "out"], reason: str, policy: str = "") -> AclLog | None:
    """For a rule that drops."""
    if vpc.flow_log is None:
        return None
    scope = names.scope_of(vpc)
    name = acl_name(Called(scope, vpc.flow_log.sample, Way(side, reason, policy)))
    return AclLog(name, f"{scope}.log.{side}.{reason}")


def allowing(vpc: Vpc, acl: Acl) -> Iterator[Acl]:
    """The rule, so that the first packet of each flow is told if that is wanted."""
    if vpc.flow_log is None or not vpc.flow_log.allowed:
        yield acl
        return
    side: Literal["in", "out"] = "in" if acl.direction is AclDirection.TO_PORT else "out"
    yield replace(acl, match=f"{acl.match} && ct.new", log=log_of(vpc, side, ALLOWED))
    yield replace(acl, match=f"{acl.match} && !ct.new")


def with_meters(resources: Iterable[Resource]) -> Iterator[Resource]:
    """The same, and the meters that they name. Sampling comes behind the meter, which is therefore wider."""
    told: set[str] = set()
    for resource in resources:
        yield resource
        if isinstance(resource, Acl) and resource.log and resource.log.meter not in told:
            told.add(resource.log.meter)
            called = called_in(resource.log.name)
            assert called is not None, "we named it"
            yield Meter(resource.scope, resource.log.meter, min(PER_SECOND * called.sample, METERED_MAX))
