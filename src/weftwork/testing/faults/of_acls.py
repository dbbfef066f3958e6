"""ACLs of OVN that are gone, wrong or elsewhere."""

import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from random import Random

from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroup
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import Change, one_of

_PORT = re.compile(
    r"(?<=(?:tcp|udp)\.dst == )(\d+)$|(?<=(?:tcp|udp)\.dst <= )(\d+)$|(?<= )(\d+)(?= <= (?:tcp|udp)\.dst)"
)
_RANGE = re.compile(r"(\d+\.\d+\.\d+\.\d+)/(\d+)")
_SET = re.compile(r"\$[\w.]+")


def is_rule(acl: Acl) -> bool:
    """Of a group, or of a policy."""
    return acl.action is AclAction.ALLOW_RELATED and "icmp4.type" not in acl.match


def acl_gone(random: Random, ordered: list[Resource]) -> Change | None:
    acl = one_of(random, ordered, Acl)
    return (acl, None) if acl else None


def guard_gone(random: Random, ordered: list[Resource]) -> Change | None:
    acl = one_of(random, ordered, Acl, lambda one: one.action is AclAction.DROP)
    return (acl, None) if acl else None


def acl_altered(alter: Callable[[Random, list[Resource], Acl], Acl | None]) -> Callable[..., Change | None]:
    def draw(random: Random, ordered: list[Resource]) -> Change | None:
        acls = [one for one in ordered if isinstance(one, Acl)]
        random.shuffle(acls)
        for acl in acls:
            new = alter(random, ordered, acl)
            if new is not None and new != acl and not any(one.key == new.key for one in acls if one is not acl):
                return acl, new
        return None

    return draw


def other_direction(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    swapped = {"inport": "outport", "outport": "inport", "ip4.src": "ip4.dst", "ip4.dst": "ip4.src"}
    match = re.sub("|".join(swapped), lambda found: swapped[found[0]], acl.match)
    if not is_rule(acl):
        return None
    to_port = acl.direction is AclDirection.FROM_PORT
    direction = AclDirection.TO_PORT if to_port else AclDirection.FROM_PORT
    return replace(acl, match=match, direction=direction, after_load_balancing=not to_port)


def off_by_one(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    return replace(acl, match=_PORT.sub(lambda found: str(int(found[0]) + 1), acl.match, count=1))


def other_set(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    found = _SET.search(acl.match)
    groups = [one for one in ordered if isinstance(one, PortGroup)]
    if found is None or not groups:
        return None
    return replace(acl, match=acl.match.replace(found[0], f"${random.choice(groups).name}_ip4", 1))


def let_through(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    return replace(acl, action=AclAction.ALLOW_RELATED) if acl.action is AclAction.DROP else None


def asks_for_less(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    first, *rest = acl.match.split(" && ")
    telling = [one for one in rest if one not in ("ip4", "arp", "ct.new", "tcp") and "(" not in one and ")" not in one]
    if not telling or acl.action is AclAction.DROP:
        return None
    gone = random.choice(telling)
    return replace(acl, match=" && ".join((first, *(one for one in rest if one is not gone))))


def other_range(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    found = _RANGE.search(acl.match)
    if found is None or not 8 < int(found[2]) <= 32:
        return None
    wider = IPv4Network(found[0]).supernet()
    return replace(acl, match=f"{acl.match[: found.start()]}{wider}{acl.match[found.end() :]}")


def other_priority(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    """A rule before the guard, or the guard behind the rules."""
    if is_rule(acl):
        return replace(acl, priority=3950)
    return replace(acl, priority=500) if acl.action is AclAction.DROP and acl.priority > 1000 else None


def on_another(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    groups = [f"group {one.name}" for one in ordered if isinstance(one, PortGroup) and f"group {one.name}" != acl.on]
    return replace(acl, on=random.choice(groups)) if groups and acl.on.startswith("group") else None


def about_all(random: Random, ordered: list[Resource], acl: Acl) -> Acl | None:
    """It forgets whose ports it is about."""
    first, *rest = acl.match.split(" && ")
    return replace(acl, match=" && ".join(rest)) if rest and is_rule(acl) and "port ==" in first else None
