"""The ACLs of a northbound, indexed so that a packet meets only those that could speak of its port.

A match that begins with `inport == @group` or `outport == "port"` is looked for there; one that names no port is about
whoever is on a switch where it is in force, and is looked for by what it stands on.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from weftwork.program.ovn import Acl, AclAction, AclDirection, PortGroupMember
from weftwork.verifier.ovn.expressions import Holds, Names, conditions, parse
from weftwork.verifier.ovn.packet import Packet

Stage = tuple[AclDirection, bool]
"""The direction, and whether it is after load balancing."""

_ABOUT = re.compile(r'(inport|outport) == (@\S+|"[^"]*")')
_OF_STAGE = {AclDirection.FROM_PORT: "inport", AclDirection.TO_PORT: "outport"}


@dataclass(frozen=True, slots=True)
class Said:
    """An ACL, read."""

    acl: Acl
    holds: Holds

    @property
    def order(self) -> tuple[int, bool]:
        """Of equal priority, which is first is not defined: the one that drops, so that it matters."""
        return (-self.acl.priority, self.acl.action is not AclAction.DROP)


class Acls:
    """Beside the members of port groups, for an ACL of a group is in force on every switch that has a member."""

    def __init__(self) -> None:
        self.members: defaultdict[str, set[str]] = defaultdict(set)
        self.groups_of: defaultdict[str, set[str]] = defaultdict(set)
        self._switch_of: dict[str, str] = {}
        self._groups_on: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._about: defaultdict[tuple[Stage, str], set[Acl]] = defaultdict(set)
        self._tracking: Counter[str] = Counter()
        self._on: defaultdict[str, set[Acl]] = defaultdict(set)
        self._wide: Counter[str] = Counter()
        """Of what has an ACL that names no port: how many."""
        self._wide_on: dict[str, frozenset[str]] = {}
        self._met: dict[tuple[Stage, frozenset[str]], tuple[Said, ...]] = {}

    def put(self, acl: Acl) -> None:
        parse(acl.match)
        self._about[_stage(acl), _about(acl)].add(acl)
        self._on[acl.on].add(acl)
        self._tracking[acl.on] += acl.action is AclAction.ALLOW_RELATED
        self._count_wide(acl, 1)
        self._met.clear()

    def drop(self, acl: Acl) -> None:
        self._about[_stage(acl), _about(acl)].discard(acl)
        self._on[acl.on].discard(acl)
        self._tracking[acl.on] -= acl.action is AclAction.ALLOW_RELATED
        self._count_wide(acl, -1)
        self._met.clear()

    def join(self, member: PortGroupMember) -> None:
        self.members[member.group].add(member.port)
        self.groups_of[member.port].add(member.group)
        if member.port in self._switch_of:
            self._count_on(self._switch_of[member.port], member.group, 1)

    def leave(self, member: PortGroupMember) -> None:
        self.members[member.group].discard(member.port)
        self.groups_of[member.port].discard(member.group)
        if member.port in self._switch_of:
            self._count_on(self._switch_of[member.port], member.group, -1)

    def plug(self, port: str, switch: str) -> None:
        self._switch_of[port] = switch
        for group in self.groups_of.get(port, ()):
            self._count_on(switch, group, 1)

    def unplug(self, port: str) -> None:
        switch = self._switch_of.pop(port, "")
        for group in self.groups_of.get(port, ()):
            self._count_on(switch, group, -1)

    def about(self, stage: Stage, groups: Iterable[str], everywhere: str) -> tuple[Said, ...]:
        """What a port in these groups, and in no other, meets on a switch where that of all switches is in force; in
        the order in which it decides."""
        met = [f"group {everywhere}"]
        for one in groups:
            met += (f"@{one}", f"group {one}")
        return self._read(stage, met)

    def on(self, what: str) -> set[Acl]:
        """Those of `group <name>` or `switch <name>`."""
        return self._on.get(what, set())

    def is_stateful(self, switch: str) -> bool:
        """Are connections tracked there?"""
        if self._tracking[f"switch {switch}"]:
            return True
        return any(count > 0 and self._tracking[f"group {one}"] for one, count in self._groups_on[switch].items())

    def decides(self, switch: str, stage: Stage, packet: Packet, names: Names) -> Acl | None:
        """The rule with the highest priority that matches."""
        port = packet.inport if stage[0] is AclDirection.FROM_PORT else packet.outport
        for said in self._meets(stage, port, switch):
            if said.holds(packet, names) and self._is_in_force(said.acl, switch):
                return said.acl
        return None

    def _meets(self, stage: Stage, port: str, switch: str) -> tuple[Said, ...]:
        groups = (f"@{one}" for one in self.groups_of.get(port, ()))
        return self._read(stage, (f'"{port}"', *groups, *self._wide_at(switch)))

    def _wide_at(self, switch: str) -> frozenset[str]:
        """What has ACLs about whoever is on the switch."""
        found = self._wide_on.get(switch)
        if found is None:
            groups = (f"group {one}" for one, count in self._groups_on[switch].items() if count > 0)
            found = frozenset(one for one in (f"switch {switch}", *groups) if self._wide[one])
            self._wide_on[switch] = found
        return found

    def _count_on(self, switch: str, group: str, step: int) -> None:
        counted = self._groups_on[switch]
        before = counted[group]
        counted[group] = before + step
        if (before > 0) != (before + step > 0):
            self._wide_on.pop(switch, None)

    def _count_wide(self, acl: Acl, step: int) -> None:
        if _about(acl) == acl.on:
            before = self._wide[acl.on]
            self._wide[acl.on] = before + step
            if (before > 0) != (before + step > 0):
                self._wide_on.clear()

    def _read(self, stage: Stage, keys: Iterable[str]) -> tuple[Said, ...]:
        keys = frozenset(one for one in keys if self._about.get((stage, one)))
        found = self._met.get((stage, keys))
        if found is None:
            said = (Said(acl, parse(acl.match)) for one in keys for acl in self._about[stage, one])
            found = self._met[stage, keys] = tuple(sorted(said, key=lambda one: one.order))
        return found

    def _is_in_force(self, acl: Acl, switch: str) -> bool:
        kind, _, name = acl.on.partition(" ")
        return name == switch if kind == "switch" else self._groups_on[switch][name] > 0


def _stage(acl: Acl) -> Stage:
    return (acl.direction, acl.after_load_balancing)


def _about(acl: Acl) -> str:
    """The `@group` or the `"port"` that a match asks for first; what it stands on when it may be about anybody."""
    found = _ABOUT.fullmatch(conditions(acl.match)[0])
    return found[2] if found and found[1] == _OF_STAGE[acl.direction] else acl.on
