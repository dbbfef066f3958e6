"""Which flows end with a change: those whose first packet today's intent delivers no more, seen from any zone."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from ipaddress import IPv4Address

from verifier_worlds import may_pass, sendable

from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent
from weftwork.model.intent import peers_of as peers_of_project
from weftwork.model.security_group import GroupRef
from weftwork.program.ovn import Acl, AclAction, LogicalRouter, LogicalSwitchPort
from weftwork.program.resource import Program, Resource
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.cases import draw_case
from weftwork.verifier.at_home import at_home, moved
from weftwork.verifier.model import OVN_IN_USER_SPACE, Model, guarded, snat_of
from weftwork.verifier.ovn.rows import address_of
from weftwork.verifier.ovn.tracked import Opening, dead, peers_of
from weftwork.verifier.packet import ICMP, Inside, Outside, Phase, Probe, Verdict

PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("chassis",))
CASES = 150
CASES_WITH_STRANGERS = 50
"""Each is judged once more for every stranger."""


def rows_of(intent: Intent) -> dict[str, set[Resource]]:
    """By scope."""
    rows: dict[str, set[Resource]] = {}
    for slice_id in slices_of(intent):
        for one in compile_slice(intent, slice_id, PROFILE):
            rows.setdefault(one.scope, set()).add(one)
    return rows


def part(rows: dict[str, set[Resource]], scope: str) -> Program:
    """As a chassis reads it: the scope that changed, and its peers."""
    own = frozenset(rows.get(scope, ()))
    return own.union(*(rows.get(one, set()) for one in peers_of(own)))


class World:
    def __init__(self, intent: Intent) -> None:
        self.rows, self.intent = rows_of(intent), at_home(intent)
        self.model = Model(self.intent, OVN_IN_USER_SPACE)

    def scope(self, end: object) -> str:
        vpc = self.intent[end.owner].vpc if isinstance(end, Inside) and end.owner in self.intent else None
        return vpc.netns if vpc else ""

    def name(self, end: object) -> str:
        return f"{self.scope(end)}.port.{end.port}" if isinstance(end, Inside) else ""

    def has(self, at: str) -> bool:
        rows = (one for some in self.rows.values() for one in some if isinstance(one, LogicalSwitchPort))
        return at in {one.name for one in rows}

    def delivers(self, probe: Probe, like: Verdict) -> bool:
        verdict = self.model.verdict(probe)
        return (verdict.receiver, verdict.seen) == (like.receiver, like.seen)

    def belongs_to_another(self, probe: Probe) -> bool:
        """An external address of another VPC: the packet may leave, and what becomes of it is not the sender's."""
        others = [own for owner, own in self.intent.items() if owner != getattr(probe.source, "owner", None)]
        addresses = {one.external_ip for own in others for one in own.dnats.values()}
        return probe.destination in addresses | {own.snat.external_ip for own in others if own.snat}

    def comes_back(self, opening: Opening, scope: str) -> bool:
        """Whether an answer would come to a guest as the first packet of a flow, or both ends may send what the other
        waits for: each port then takes what comes for an answer to its own."""
        if opening.protocol == ICMP or opening.source == opening.destination:
            return False
        there, back = (opening.destination, opening.source_port), (opening.source, opening.destination_port)
        return any(
            self._arrives(answerer, opening, back[0])
            or (
                self._leaves(answerer, back[0], opening.protocol, opening.destination_port, opening.source_port)
                and any(
                    self._leaves(sender, there[0], opening.protocol, opening.source_port, opening.destination_port)
                    for sender in self._guests_with(opening.source, scope)
                )
            )
            for answerer in self._guests_with(opening.destination, scope)
        )

    def _guests_with(self, address: IPv4Address, scope: str) -> Iterator[Inside]:
        """In the VPC or at a peer's."""
        owner = next(one for one, own in self.intent.items() if own.vpc and own.vpc.netns == scope)
        for one in (owner, *(peer for peer, _ in peers_of_project(self.intent, owner))):
            ports = self.intent[one].ports.values()
            yield from (Inside(one, port.id) for port in ports if port.attachment and address in port.addresses)

    def _arrives(self, answerer: Inside, opening: Opening, back: IPv4Address) -> bool:
        ends = (back, opening.protocol, opening.destination_port, opening.source_port)
        return isinstance(self.model.verdict(Probe(answerer, *ends)).receiver, Inside)

    def _leaves(self, end: Inside, to: IPv4Address, protocol: int, source_port: int, destination_port: int) -> bool:
        """Whether its own side lets it out, whoever is there, by the plain oracle of the verifier's laws."""
        own = self.intent[end.owner]
        port, vpc = own.ports[end.port], own.vpc
        assert vpc is not None and vpc.cidr.version == 4
        peers = dict(peers_of_project(self.intent, end.owner))
        external = {one.external_ip for one in own.dnats.values()} | {snat_of(own)}
        gateways = {one.gateway for some in (own, *peers.values()) for one in some.subnets.values()}
        inside = to in vpc.cidr or any(one.vpc and to in one.vpc.cidr for one in peers.values())
        if to in external | gateways or not (inside or snat_of(own)) or 0 in (source_port, destination_port):
            return False
        if not sendable(protocol, destination_port) or guarded(protocol, source_port, destination_port):
            return False
        whose = next(self._guests_with(to, vpc.netns), None)
        groups: tuple[str, ...] = ()
        if whose is not None:
            named = self.intent[whose.owner].ports[whose.port].groups
            groups = named if whose.owner == end.owner else tuple(str(GroupRef(one, whose.owner)) for one in named)
        return may_pass(own, port, "out", protocol, destination_port, to, groups)

    def ends(self, opening: Opening, scope: str) -> bool:
        return opening in set(dead(part(self.rows, scope), {scope}, [opening]))


def as_sent(world: World, probe: Probe) -> Opening:
    at = world.name(probe.source)
    port = next(one for one in world.rows[world.scope(probe.source)] if getattr(one, "name", "") == at)
    assert isinstance(port, LogicalSwitchPort)
    source = IPv4Address(address_of(port) or 0)
    ends = (source, probe.source_port, probe.destination, probe.destination_port)
    return Opening(at, probe.protocol, *ends)


def as_received(world: World, probe: Probe, verdict: Verdict) -> Opening:
    seen = verdict.seen
    assert seen is not None
    ends = (seen.source, seen.source_port, seen.destination, seen.destination_port)
    return Opening(world.name(verdict.receiver), probe.protocol, *ends)


def ways(world: World, probe: Probe, verdict: Verdict) -> Iterator[Probe]:
    """All that the receiver would see as the same packet."""
    seen, receiver = verdict.seen, verdict.receiver
    assert seen is not None and isinstance(receiver, Inside)
    yield probe
    if isinstance(probe.source, Inside):
        yield replace(probe, destination=seen.destination, destination_port=seen.destination_port)
    for dnat in world.intent[receiver.owner].dnats.values():
        outer = replace(probe, destination=dnat.external_ip, destination_port=dnat.external_port)
        yield outer
        yield replace(outer, source=Outside(seen.source), source_address=None)


def flows_of(case_seed: int) -> Iterator[tuple[World, World, Probe, Verdict]]:
    """What was delivered before the change, and the worlds around it."""
    case = draw_case(case_seed)
    if case.after is None:
        return
    before, after = World(case.before), World(case.after)
    for shot in case.shots:
        probe = moved(case.before, shot.probe)
        verdict = before.model.verdict(probe)
        if probe.phase is Phase.OPENING and verdict.delivered:
            yield before, after, probe, verdict


def test_a_flow_ends_exactly_when_its_first_packet_would_be_delivered_no_more_and_nothing_would_take_it_up() -> None:
    """Of those that would be delivered no more, some are left to OVN: both ends' ports would track what they send."""
    ended = lived = left = 0
    for seed in range(CASES):
        for before, after, probe, verdict in flows_of(seed):
            if after.has(after.name(probe.source)) and before.scope(probe.source) == after.scope(probe.source):
                scope = after.scope(probe.source)
                sent = as_sent(before, probe)
                if as_sent(after, probe) == sent and not after.belongs_to_another(probe):
                    alive = after.model.verdict(probe).delivered
                    stays = alive or after.comes_back(sent, scope)
                    ends = after.ends(sent, scope)
                    assert ends is not stays, (seed, probe, sent)
                    if isinstance(verdict.receiver, Outside):
                        at_router = replace(sent, at=router_of(after, scope))
                        assert stays is alive and after.ends(at_router, scope) is not alive, (seed, probe, at_router)
                    ended, lived, left = ended + ends, lived + alive, left + (not ends and not alive)
            if after.has(after.name(verdict.receiver)) and isinstance(verdict.receiver, Inside):
                got = as_received(before, probe, verdict)
                alive = any(after.delivers(one, verdict) for one in ways(after, probe, verdict))
                scope = after.scope(verdict.receiver)
                stays = alive or after.comes_back(got, scope)
                ends = after.ends(got, scope)
                assert ends is not stays, (seed, probe, got)
                ended, lived, left = ended + ends, lived + alive, left + (not ends and not alive)
    assert ended > 30 and lived > 30 and left, (ended, lived, left)


def router_of(world: World, scope: str) -> str:
    return next(one.name for one in world.rows[scope] if isinstance(one, LogicalRouter))


def test_a_peer_is_asked_only_about_flows_with_who_changed() -> None:
    """Of its other flows the rows at hand are not all, so they would look dead."""
    asked = 0
    for seed in range(CASES_WITH_STRANGERS):
        for before, _, probe, verdict in flows_of(seed):
            ends = {before.scope(probe.source), before.scope(verdict.receiver)} - {""}
            if isinstance(probe.source, Inside):
                sent = as_sent(before, probe)
                for stranger in before.rows.keys() - ends - {"weft-ext", ""}:
                    assert not before.ends(sent, stranger), (seed, probe, stranger)
                    asked += 1
    assert asked > 30, asked


def test_without_what_allowed_it_a_flow_ends_in_both_zones() -> None:
    """The witness: the same flows, with all rules gone."""
    ended = 0
    for seed in range(20):
        for before, _, probe, verdict in flows_of(seed):
            if isinstance(probe.source, Inside) and isinstance(verdict.receiver, Inside):
                bare = copy(before)
                bare.rows = {scope: set(some) for scope, some in before.rows.items()}
                for some in bare.rows.values():
                    some -= {one for one in some if isinstance(one, Acl) and one.action is AclAction.ALLOW_RELATED}
                assert bare.ends(as_sent(before, probe), before.scope(probe.source))
                assert bare.ends(as_received(before, probe, verdict), before.scope(verdict.receiver))
                ended += 1
    assert ended > 5, ended
