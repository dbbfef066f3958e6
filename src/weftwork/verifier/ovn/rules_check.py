"""Security groups and network policies: do the ACLs say what the rules say, at every edge that either of them knows?

Each group is asked alone, so that no other group of a port can hide it; and about members that are there for the
question only, so that it does not matter who is a member now.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import Action, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.security_group import GroupRef, Rule
from weftwork.verifier.model import guarded, is_one_host, snat_of
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.acls import Stage
from weftwork.verifier.ovn.expressions import conditions
from weftwork.verifier.ovn.look import FAR_AWAY, SOURCE_PORT, Look
from weftwork.verifier.ovn.stage import GOING, RECEIVED, Axes, Mask, Other, Service, StageSets
from weftwork.verifier.packet import ICMP, TCP, UDP, Inside, Outside, Probe
from weftwork.verifier.policies import is_peer, is_service, policies_of, target_of
from weftwork.verifier.violation import Fault, Violation

_SCTP, _EXPERIMENT = 132, 253
_PORTED = (TCP, UDP)
_NUMBER = re.compile(r"(?<![\w./])(\d+)(?![\w./])")
_NETWORK = re.compile(r"\b\d+\.\d+\.\d+\.\d+(?:/\d+)?")
_SET = re.compile(r"\$([\w.]+)")


def check_groups(look: Look, groups: Iterable[str]) -> Iterator[Violation]:
    """Those of the intent, and those of which only the rows speak."""
    groups = sorted(groups)
    if look.cidr is None or not groups:
        return
    for group in groups:
        yield from _structure(look, group)
    for stage in (GOING, RECEIVED):
        axes = axes_of(look, stage, groups)
        sets, meaning = StageSets(look.rows, stage, axes), _Meaning(look.project, stage, axes)
        for group in groups:
            yield from _first_difference(look, sets, meaning, group)


def _structure(look: Look, group: str) -> Iterator[Violation]:
    """An ACL of a group speaks of the group's ports only, and of port groups that are there."""
    name = names.group_called(look.scope, group)
    if group in look.project.groups and name not in look.rows.port_groups:
        yield look.proof(Fault.REACH, f"the port group {name} is not there.")
    for acl in look.rows.acls.on(f"group {name}"):
        if f"port == @{name} &&" not in f"{acl.match} &&" or (acl.direction, acl.after_load_balancing) not in _STAGES:
            yield look.proof(Fault.REACH, f"group {group}: a rule is about other ports than its own: {acl.match}.")
        for peer in _SET.findall(acl.match):
            if peer.removesuffix("_ip4") not in look.rows.port_groups:
                yield look.proof(Fault.REACH, f"group {group}: a rule is about {peer}, which is not there.")


_STAGES = (GOING, RECEIVED)


def _first_difference(look: Look, sets: StageSets, meaning: "_Meaning", group: str) -> Iterator[Violation]:
    """What passes and should not, else what should and does not."""
    inside = [names.group_called(look.scope, group)]
    differing = [
        (own, service, passed, meant)
        for own, service, passed in sets.passing(inside, look.everywhere)
        if passed != (meant := meaning.allowed(group, own, service))
    ]
    for own, service, passed, meant in sorted(differing, key=lambda one: not one[2] & ~one[3])[:1]:
        opened = passed & ~meant
        wrong = opened or meant & ~passed
        peer = sets.axes.peers[(wrong & -wrong).bit_length() - 1]
        fault = look.opening(Fault.REACH) if opened else Fault.REACH
        yield _told(look, sets.stage, group, own, service, peer, fault)


def _told(
    look: Look, stage: Stage, group: str, own: IPv4Address, service: Service, peer: Other, fault: Fault
) -> Violation:
    """With a member as the guest, and whoever has the peer's address as the other end."""
    members = look.rows.acls.members.get(names.group_called(look.scope, group), ())
    known = sorted(one for row in members if (one := names.port_in(row)) in look.project.ports)
    guest = known[0] if known else "of the group"
    ends = (service.protocol, SOURCE_PORT, service.port)
    if stage == GOING:
        probe = Probe(Inside(look.owner, guest), peer.address, *ends)
    else:
        probe = Probe(Outside(peer.address), own, *ends)
    way = "sending to" if stage == GOING else "hearing from"
    service_words = f"protocol {service.protocol} port {service.port}"
    what = f"the rules and the rows of group {group} differ about {own} {way} {peer.address}, {service_words}."
    return Violation(fault, look.scope, what, probe)


@dataclass(slots=True)
class _Meaning:
    """What the intent allows, as the same sets."""

    project: ProjectIntent
    stage: Stage
    axes: Axes
    _masks: dict[object, Mask] = field(default_factory=dict)

    def allowed(self, group: str, own: IPv4Address, service: Service) -> Mask:
        found = self.project.groups.get(group)
        rules = (found.egress if self.stage == GOING else found.ingress) if found else ()
        given = 0
        for rule in rules:
            if is_service(rule, service.protocol, service.port):
                given |= self._of_rule(rule)
        return given & ~self._denied(own, service) if given else 0

    def _denied(self, own: IPv4Address, service: Service) -> Mask:
        """The first rule of the first policy that matches decides; behind its rules an isolation denies."""
        open_, denied = self.axes.everybody, 0
        for policy in policies_of(self.project, outwards=self.stage == GOING):
            target = target_of(self.project, policy)
            if target is None or own not in target:
                continue
            isolates = policy.kind is PolicyKind.ISOLATION
            about = open_ & ~self._in(target) if isolates else open_
            for rule in policy.rules:
                if is_service(rule, service.protocol, service.port):
                    matched = about & self._of_policy(rule)
                    denied |= matched if rule.action is Action.DENY else 0
                    about, open_ = about & ~matched, open_ & ~matched
            if isolates:
                denied, open_ = denied | about, open_ & ~about
        return denied

    def _of_rule(self, rule: Rule) -> Mask:
        match rule.peer:
            case GroupRef() as group:
                return self._mask(("rule", group), lambda peer: str(group) in peer.groups)
            case IPv4Network() as network:
                return self._in(network)
            case _:
                return 0

    def _of_policy(self, rule: PolicyRule) -> Mask:
        key = ("policy", rule.peer)
        return self._mask(key, lambda peer: is_peer(self.project, rule, peer.address, peer.groups))

    def _in(self, network: IPv4Network) -> Mask:
        return self._mask(network, lambda peer: peer.address in network)

    def _mask(self, key: object, holds: Callable[[Other], bool]) -> Mask:
        if key not in self._masks:
            self._masks[key] = sum(1 << bit for bit, one in enumerate(self.axes.peers) if holds(one))
        return self._masks[key]


def axes_of(look: Look, stage: Stage, groups: Iterable[str]) -> Axes:
    """Every edge that the rules of these groups, the policies or the ACLs know."""
    inside = [names.group_called(look.scope, one) for one in groups]
    matches = {said.acl.match for said in look.rows.acls.about(stage, inside, look.everywhere)}
    rules = list(_rules(look, stage, groups))
    networks = {network for rule in rules if (network := _range(look, rule))}
    networks |= {IPv4Network(one) for match in matches for one in _NETWORK.findall(match)}
    sets = {one for match in matches for one in _SET.findall(match)}
    networks |= {one for name in sets for one in look.rows.ranges_in(name)}
    targets = {target for one in look.project.policies.values() if (target := target_of(look.project, one))}
    services = _services(rules, matches)
    atoms = {_atom(look, rule.peer) for rule in rules if isinstance(rule.peer, GroupRef)}
    named = {one for some in atoms for one in some} | {names.group_in(one) for one in sets}
    return Axes(
        tuple(_owns(look, networks | targets)),
        tuple(services),
        tuple(_peers(look, stage, networks | targets, sorted(named))),
    )


def _rules(look: Look, stage: Stage, groups: Iterable[str]) -> Iterator[Rule | PolicyRule]:
    found = (look.project.groups.get(one) for one in groups)
    for group in (one for one in found if one):
        yield from group.egress if stage == GOING else group.ingress
    for policy in policies_of(look.project, outwards=stage == GOING):
        yield from policy.rules


def _range(look: Look, rule: Rule | PolicyRule) -> IPv4Network | None:
    peer = rule.peer
    if isinstance(peer, SubnetRef):
        subnet = look.project.subnets.get(peer.name)
        return subnet.cidr if subnet and isinstance(subnet.cidr, IPv4Network) else None
    return peer if isinstance(peer, IPv4Network) else None


def _atom(look: Look, group: GroupRef) -> tuple[tuple[str, str], ...]:
    """Where its members stand: in the VPC, and of a peer in the peer's."""
    there = [(scope, group.name) for scope, owner in look.peers().items() if owner == group.owner]
    return ((look.scope, str(group)), *there)


def _services(rules: list[Rule | PolicyRule], matches: Iterable[str]) -> list[Service]:
    ports = {1, 65535}
    for rule in rules:
        if rule.ports:
            ports |= {rule.ports.min - 1, rule.ports.min, rule.ports.max, rule.ports.max + 1}
    for condition in (one for match in matches for one in conditions(match)):
        if "tcp.dst" in condition or "udp.dst" in condition:
            ports |= {int(one) + step for one in _NUMBER.findall(condition) for step in (-1, 0, 1)}
    asked = [Service(protocol) for protocol in (ICMP, _SCTP, _EXPERIMENT)]
    asked += [Service(protocol, port) for protocol in _PORTED for port in sorted(ports) if 0 < port < 65536]
    return [one for one in asked if not guarded(one.protocol, SOURCE_PORT, one.port)]


def _owns(look: Look, networks: Iterable[IPv4Network]) -> Iterator[IPv4Address]:
    """One address of the VPC for each way to be in some of these ranges and out of the others."""
    cidr = look.cidr
    assert cidr is not None
    networks = sorted(networks)
    told: set[tuple[bool, ...]] = set()
    for number in sorted({int(cidr.network_address) + 5, *_edges(networks)}):
        address = IPv4Address(number)
        place = tuple(address in one for one in networks)
        if address in cidr and place not in told:
            told.add(place)
            yield address


def _peers(
    look: Look, stage: Stage, networks: Iterable[IPv4Network], atoms: Iterable[tuple[str, str]]
) -> Iterator[Other]:
    unasked = set(look.external())
    inside = [one for one in (look.cidr, *look.peer_cidrs().values()) if one]
    if stage == GOING:
        gateways = (one.gateway for owner in look.peers().values() for one in look.intent[owner].subnets.values())
        unasked |= {*look.gateways(), *gateways, *(one.network_address for one in inside)}  # type: ignore[arg-type]
    leaves = stage == RECEIVED or (look.rows.gateway is not None and snat_of(look.project) is not None)
    for number in sorted({int(FAR_AWAY), *_edges(networks)}):
        address = IPv4Address(number)
        is_host = stage == RECEIVED or is_one_host(address)
        if address not in unasked and is_host and (leaves or any(address in one for one in inside)):
            yield Other(address)
    ranges = {look.scope: look.cidr, **look.peer_cidrs()}
    for number, (scope, group) in enumerate(atoms):
        cidr = ranges.get(scope) or look.cidr
        assert cidr is not None
        yield Other(cidr.broadcast_address - 2 - number, _called(look, scope, group), names.group_called(scope, group))


def _called(look: Look, scope: str, group: str) -> tuple[str, ...]:
    """As the rules of the VPC name it."""
    if scope == look.scope:
        return (group,)
    owner = look.peers().get(scope)
    return (str(GroupRef(group, owner)),) if owner else ()


def _edges(networks: Iterable[IPv4Network]) -> Iterator[int]:
    for one in networks:
        first, last = int(one.network_address), int(one.broadcast_address)
        yield from (edge for edge in (first - 1, first, last, last + 1) if 0 <= edge < 1 << 32)
