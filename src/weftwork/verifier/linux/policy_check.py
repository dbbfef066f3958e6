"""Are a VPC's network policies asked in their order, and does each one's chain say what its rules say?

The chains that ask are so plain that there is one right text. A policy's own chain is asked at every edge that it or
its rules know, as a group's is.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from itertools import product

from weftwork.model.network_policy import NetworkPolicy, PolicyKind, SubnetRef
from weftwork.model.security_group import Rule
from weftwork.verifier.linux import group_battery
from weftwork.verifier.linux.group_battery import MEMBERS, Service
from weftwork.verifier.linux.language import parse_rule
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.rules import Rule as NftRule
from weftwork.verifier.linux.tables import Stop, Table
from weftwork.verifier.packet import Inside, Outside, Probe
from weftwork.verifier.policies import matched, policies_of, target_of
from weftwork.verifier.violation import Fault, Violation

ASKING = {False: "policies.in", True: "policies.out"}
"""The chains that ask, by whether what is sent is judged."""
PREFIX = "policy."

_ALLOWED = "0001:0001"
_SENDER, _RECEIVER = "ct original ip saddr", "ct reply ip saddr"


def check_policies(look: Look, names: Iterable[str]) -> Iterator[Violation]:
    """All are asked about their order, and these about what they say."""
    wanted = set(names)
    for table, outwards in product(look.judging, (False, True)):
        policies = policies_of(look.project, outwards=outwards)
        chain = table.chains.get(ASKING[outwards])
        if chain is None or chain.rules != tuple(_asking(look, policies, outwards=outwards)):
            yield _wrong(look, f"{table.family.value} {ASKING[outwards]} does not ask the policies in their order.")
        for policy in policies:
            if policy.name in wanted or _chain_of(policy, outwards=outwards) not in table.chains:
                yield from _policy(look, table, policy, outwards=outwards)


def _asking(look: Look, policies: list[NetworkPolicy], *, outwards: bool) -> Iterator[NftRule]:
    own, other = (_SENDER, _RECEIVER) if outwards else (_RECEIVER, _SENDER)
    if policies:
        yield parse_rule("meta priority set none")
    for policy in policies:
        target = target_of(look.project, policy)
        if target is not None:
            where = str(target.network_address) if target.prefixlen == 32 else str(target)
            beyond = f"{other} != {where} " if policy.kind is PolicyKind.ISOLATION else ""
            yield parse_rule(f"{own} {where} {beyond}jump {_chain_of(policy, outwards=outwards)}")
            yield parse_rule(f"meta priority {_ALLOWED} return")


def _chain_of(policy: NetworkPolicy, *, outwards: bool) -> str:
    return f"{PREFIX}{'out' if outwards else 'in'}.{policy.name}"


def _policy(look: Look, table: Table, policy: NetworkPolicy, *, outwards: bool) -> Iterator[Violation]:
    """The first packet that the chain and the rules differ about."""
    name = _chain_of(policy, outwards=outwards)
    said = table.chains[name].rules if name in table.chains else ()
    rules = tuple(_plain(look, policy))
    atoms = group_battery.atoms_of(rules, said)
    otherwise = "deny" if policy.kind is PolicyKind.ISOLATION else "pass"
    with ExitStack() as stack:
        for group, address in atoms.items():
            if MEMBERS + group in table.sets:
                stack.enter_context(table.sets[MEMBERS + group].holding([str(IPv4Address(address))]))
        peers: dict[int, tuple[str, ...]] = dict.fromkeys(group_battery.edges_of(table, rules, said), ())
        peers |= {address: (group,) for group, address in atoms.items()}
        for service, (address, groups) in product(group_battery.services_of(rules, said), peers.items()):
            peer = IPv4Address(address)
            rule = matched(look.project, policy, peer, groups, service.protocol, service.port)
            intended = rule.action.value if rule else otherwise
            if _outcome(table, name, service, address, inwards=not outwards) != intended:
                what = f"{table.family.value}: policy {policy.name} does not {intended}"
                ends = f"protocol {service.protocol} port {service.port} {'to' if outwards else 'from'} {peer}."
                yield _wrong(look, f"{what} {ends}", service, peer)
                return


def _plain(look: Look, policy: NetworkPolicy) -> Iterator[Rule]:
    """As rules of a group, to find their edges."""
    for rule in policy.rules:
        peer = rule.peer
        if isinstance(peer, SubnetRef):
            if peer.name in look.project.subnets:
                yield Rule(rule.protocol, rule.ports, look.project.subnets[peer.name].cidr)
        else:
            yield Rule(rule.protocol, rule.ports, peer)


def _outcome(table: Table, chain: str, service: Service, peer: int, *, inwards: bool) -> str:
    """`deny`, `allow`, `pass`, or a verdict that no policy may give."""
    if chain not in table.chains:
        return "nothing"
    packet = group_battery.packet_of(service, peer, inwards=inwards)
    decided = table.decides(chain, packet)
    if isinstance(decided, Stop):
        return "deny"
    if decided is not None:
        return decided.kind
    return "allow" if packet.priority == _ALLOWED else "pass"


def _wrong(look: Look, what: str, service: Service | None = None, peer: IPv4Address | None = None) -> Violation:
    """With some guest as the end that the policy is for."""
    guest = next(iter(look.some_ports(1)), None)
    there = peer or IPv4Address("192.0.2.99")
    ends = (service.protocol, 40000, service.port) if service else (6, 40000, 80)
    source = Inside(look.owner, guest.id) if guest else Outside(there)
    return Violation(Fault.REACH, look.scope.name, what, Probe(source, there, *ends))
