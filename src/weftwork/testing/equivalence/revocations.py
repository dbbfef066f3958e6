"""What an established flow lives by, taken away in mid-flow: too rare among what is drawn blindly."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, peers_of
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import Action
from weftwork.model.security_group import Protocol
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.shots import Form, Numbers, Shot, service
from weftwork.testing.equivalence.world import OUTSIDERS
from weftwork.verifier.model import Model, survives
from weftwork.verifier.packet import TCP, UDP, Inside, Outside, Probe, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode

Removal = Callable[[Intent], None]
"""Takes one thing out of an intent."""

_TRIES = 4
_TRIES_AT_PEERS = 40
_RARE = 0.7
_FREE_PORT = 82
"""Of external addresses: no DNAT is drawn with it."""


@dataclass(frozen=True, slots=True)
class _Alive:
    """A flow of the first intent that would go on under the second."""

    probe: Probe
    verdict: Verdict


def flows(random: Random, intent: Intent, numbers: Numbers) -> Iterator[Shot]:
    """Such as there are few of: one by a DNAT, and one to a peer, where there can be any."""
    model = Model(intent)
    for probes in (_to_dnats(random, intent), _to_peers(random, intent)):
        delivered = (one for one in probes if model.verdict(one).delivered)
        yield from (Shot(replace(one, source_port=numbers.source_port())) for one in [next(delivered, None)] if one)


def _to_dnats(random: Random, intent: Intent) -> Iterator[Probe]:
    forwards = [(owner, dnat) for owner, own in intent.items() for dnat in own.dnats.values()]
    random.shuffle(forwards)
    # Rules that allow UDP are fewer.
    forwards.sort(key=lambda one: one[1].protocol is Protocol.TCP)
    for owner, dnat in forwards:
        inside = [Inside(owner, port.id) for port in intent[owner].ports.values()]
        outer, protocol = dnat.external_ip, TCP if dnat.protocol is Protocol.TCP else UDP
        assert isinstance(outer, IPv4Address)
        sources: list[Inside | Outside] = [*map(Outside, random.sample(OUTSIDERS, 2))]
        for source in (*sources, *random.sample(inside, min(2, len(inside)))):
            yield Probe(source, outer, protocol, 1, dnat.external_port)


def _to_peers(random: Random, intent: Intent) -> Iterator[Probe]:
    pairs = [(owner, peer) for owner in intent for peer, _ in peers_of(intent, owner)]
    for _ in range(_TRIES_AT_PEERS if pairs else 0):
        owner, peer = random.choice(pairs)
        sender, receiver = (random.choice(list(intent[one].ports.values())) for one in (owner, peer))
        address = receiver.addresses[0]
        assert isinstance(address, IPv4Address)
        protocol, port = service(random, intent, peer, address)
        if protocol in (TCP, UDP):
            yield Probe(Inside(owner, sender.id), address, protocol, 1, port)


def revoke(random: Random, before: Intent, after: Intent, shots: list[Shot]) -> None:
    """Take out of `after` something without which a flow of `before` ends; mostly what few flows live by."""
    alive = list(_alive(before, after, shots))
    policies = list(_policies(after))
    rare = [*(one for flow in alive for one in _ways(flow, after)), *random.sample(policies, min(2, len(policies)))]
    common = [one for flow in alive for one in (*_rules(flow, after), *_ends(flow, after))]
    random.shuffle(rare)
    random.shuffle(common)
    for remove in (*(rare if random.random() < _RARE else ())[:_TRIES], *common[:_TRIES]):
        trial = {owner: own.copy() for owner, own in after.items()}
        remove(trial)
        model = Model(trial)
        if any(not survives(one.verdict, model.verdict(one.probe)) for one in alive):
            remove(after)
            return


def _alive(before: Intent, after: Intent, shots: list[Shot]) -> Iterator[_Alive]:
    first, second = Model(before), Model(after)
    for shot in shots:
        if shot.form is Form.PLAIN:
            verdict = first.verdict(shot.probe)
            if survives(verdict, second.verdict(shot.probe)):
                yield _Alive(shot.probe, verdict)


def _ways(flow: _Alive, intent: Intent) -> Iterator[Removal]:
    """The DNAT and the peering that it goes by."""
    for reason in flow.verdict.reasons:
        match reason:
            case Reason(ReasonCode.DNAT, ProjectKey() as owner, name) if name in intent[owner].dnats:
                yield partial(_without_dnat, owner, intent[owner].dnats[name])
            case Reason(ReasonCode.PEERING, ProjectKey() as owner):
                yield partial(_without_peering, owner, flow)


def _without_dnat(owner: ProjectKey, dnat: Dnat, intent: Intent) -> None:
    """The VPC keeps the address: nothing is promised of one that is nobody's any more."""
    own = intent[owner]
    del own.dnats[dnat.name]
    make.put(own, replace(dnat, external_port=_FREE_PORT))


def _without_peering(owner: ProjectKey, flow: _Alive, intent: Intent) -> None:
    receiver = flow.verdict.receiver
    for name, half in list(intent[owner].peerings.items()):
        if isinstance(receiver, Inside) and half.peer == receiver.owner:
            del intent[owner].peerings[name]


def _policies(intent: Intent) -> Iterator[Removal]:
    """All that a policy allows, or the policy."""

    def without(owner: ProjectKey, name: str, intent: Intent) -> None:
        del intent[owner].policies[name]

    def stricter(owner: ProjectKey, name: str, intent: Intent) -> None:
        policy = intent[owner].policies[name]
        denied = tuple(one for one in policy.rules if one.action is Action.DENY)
        make.put(intent[owner], replace(policy, rules=denied))

    for owner, own in intent.items():
        for name in own.policies:
            yield partial(stricter, owner, name)
            yield partial(without, owner, name)


def _rules(flow: _Alive, intent: Intent) -> Iterator[Removal]:
    """Those that allow it."""
    for reason in flow.verdict.reasons:
        match reason:
            case Reason(ReasonCode.EGRESS_RULE | ReasonCode.INGRESS_RULE, ProjectKey() as owner, name):
                if name in intent[owner].groups:
                    yield partial(_without_rule, reason, owner)


def _without_rule(reason: Reason, owner: ProjectKey, intent: Intent) -> None:
    group = intent[owner].groups[reason.thing]
    ingress, egress = (tuple(one for one in side if one != reason.rule) for side in (group.ingress, group.egress))
    make.put(intent[owner], replace(group, ingress=ingress, egress=egress))


def _ends(flow: _Alive, intent: Intent) -> Iterator[Removal]:
    """Its sender and its receiver."""

    def without(end: Inside, intent: Intent) -> None:
        del intent[end.owner].ports[end.port]

    for end in (flow.probe.source, flow.verdict.receiver):
        if isinstance(end, Inside) and end.port in intent[end.owner].ports:
            yield partial(without, end)
