"""The judge of a change, before it is published: would tenants meet who should not, does the program say what is meant?

Its cost follows the change: it looks at the ports, groups and translations that the changed resources speak of, and at
the rules that every packet passes only where those rules are part of the change.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from weftwork.model.intent import Intent
from weftwork.program.linux import (
    Bridge,
    Family,
    NftElement,
    PortLink,
    RemoteEntry,
)
from weftwork.program.resource import Resource
from weftwork.verifier.at_home import at_home
from weftwork.verifier.linux import gateway_check, group_battery
from weftwork.verifier.linux.elsewhere_check import check_vteps
from weftwork.verifier.linux.group_battery import MEMBERS
from weftwork.verifier.linux.look import JUDGING, PEERINGS, Look, is_elsewhere
from weftwork.verifier.linux.model import MARK, owner_of
from weftwork.verifier.linux.nat_check import check_nat
from weftwork.verifier.linux.peering_check import check_peerings, is_member
from weftwork.verifier.linux.pipeline_check import check_pipeline
from weftwork.verifier.linux.policy_check import check_policies
from weftwork.verifier.linux.port_check import check_port, groups_in
from weftwork.verifier.linux.remotes import device_behind
from weftwork.verifier.linux.reserved_check import check_reserved_ports
from weftwork.verifier.linux.rules import Remember
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.sets import NotUnderstood
from weftwork.verifier.linux.touched import EPOCH, GUARDS, REMOTE, STAMP, Touched, touched_by
from weftwork.verifier.linux.transit_check import check_transit
from weftwork.verifier.linux.underlay_check import check_underlay
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.packet import ICMP, Inside, Outside, Probe
from weftwork.verifier.violation import Change, Fault, Mapped, Violation

EXTERNAL = "external"
"""The mark of the namespace of the external network."""

_PORTS_TO_PROBE = 16
"""Where all rules are asked with guests of our own, a port is looked at by what it is made of: only that tells it from
them. In small changes it is asked with packets all the same. Counted over all namespaces: at the start, everything is
one change, which nobody's packets pass before it is judged."""

_MARKS = range(2)
"""Of a flow that nobody judged, and of none: never an epoch."""

_MUST_DROP = (
    (Family.BRIDGE, "prerouting"),
    (Family.BRIDGE, "forward"),
    (Family.INET, "forward"),
    (Family.INET, "input"),
)
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/ip_early_demux": "0",
    "net/ipv4/conf/all/rp_filter": "1",
    "net/ipv4/conf/default/rp_filter": "1",
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv4/conf/all/proxy_arp": "0",
    "net/ipv4/conf/default/proxy_arp": "0",
    "net/ipv4/conf/all/accept_source_route": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
_CALL_INET = "net/bridge/bridge-nf-call-iptables"
_IF_THERE = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}


def judge(programs: ProgramView, change: Change, intent: Intent, mapped: Mapped = map) -> tuple[Violation, ...]:
    """What would be wrong if `change` came over `programs`, which are left as they are; `intent` is what should be.

    `mapped` judges the namespaces, each of which is a question by itself.
    """
    parts = _by_scope(change)
    ports = sum(isinstance(one, PortLink | RemoteEntry) for part in parts.values() for one in part)
    before = {name: _epochs(programs.scopes.get(name)) for name in parts}
    intent = at_home(intent)
    small = ports <= _PORTS_TO_PROBE

    def of_scope(name: str) -> tuple[Violation, ...]:
        found: list[Violation] = []
        try:
            found.extend(_judge_scope(programs, name, parts[name], intent, before[name], small=small))
        except NotUnderstood as error:
            found.append(_not_understood(name, error))
        return tuple(found)

    try:
        with programs.changed(added=change.added, removed=change.removed):
            return tuple(one for found in mapped(of_scope, sorted(before)) for one in found)
    except NotUnderstood as error:
        return (_not_understood(min(before, default=""), error),)


def _not_understood(scope: str, error: NotUnderstood) -> Violation:
    return Violation(Fault.NOT_UNDERSTOOD, scope, f"{error}.")


def _by_scope(change: Change) -> Mapping[str, Sequence[Resource]]:
    found: defaultdict[str, list[Resource]] = defaultdict(list)
    for one in (*change.added, *change.removed):
        found[one.scope].append(one)
    return found


def _judge_scope(
    view: ProgramView, name: str, part: Sequence[Resource], intent: Intent, before: set[int], *, small: bool
) -> Iterator[Violation]:
    scope = view.scopes.get(name)
    if scope is None:
        return
    if not name and view.underlay is not None:
        yield from check_underlay(view, scope)
        return
    if scope.mark.startswith(gateway_check.MARK) and len(scope.marks) == 1:
        yield from gateway_check.check_gateway(view, scope, part, intent)
        return
    if not scope.mark.startswith(MARK):
        yield from _without_owner(view, scope)
        return
    look = _look(view, scope, intent)
    if look is None:
        gateways = scope.tables[Family.INET].sets.get("gateways", ())
        address = next((IPv4Address(int(key[0])) for key, _ in gateways), IPv4Address("192.0.2.1"))
        device = next(iter(scope.devices()), "")
        probe = Probe(Inside(owner_of(scope), device.removeprefix("tap")), address, ICMP)
        yield Violation(Fault.ISOLATION, name, f"it is marked as {owner_of(scope)}'s, which it is not.", probe)
        return
    touched = touched_by(look, part)
    yield from _epoch(look, before, touched)
    if touched.rules:
        yield from _defences(look)
        yield from check_reserved_ports(look)
        yield from check_pipeline(look)
    if touched.nat or touched.rules:
        if view.underlay is None:
            yield from check_nat(look, tuple(sorted(touched.destinations)))
        else:
            yield from check_transit(look)
    if touched.policies or touched.asking or touched.rules:
        yield from check_policies(look, touched.policies)
    for group in sorted(touched.groups):
        yield from _group(look, group)
    for family, chain in sorted(touched.combinations, key=str):
        touched.devices |= _followers(look, family, chain)
    for name, device in sorted(touched.away):
        away = _look(view, view.scopes[name], intent)
        if away is not None:
            yield from check_port(away, device)
    if touched.peerings or touched.rules:
        yield from check_peerings(look)
    if touched.vteps or touched.rules:
        yield from check_vteps(look)
    for element in touched.strange:
        yield from _strange(look, element)
    thorough = not touched.rules or (small and len(touched.devices) <= _PORTS_TO_PROBE)
    for device in sorted(touched.devices):
        yield from check_port(look, device, touched.hints.get(device, ()), thorough=thorough)


def _look(view: ProgramView, scope: Scope, intent: Intent) -> Look | None:
    """None where the mark is not that of the owner."""
    owner = owner_of(scope)
    project = intent.get(owner)
    if project is None or project.vpc is None or project.vpc.netns != scope.name or len(scope.marks) != 1:
        return None
    return Look(view, scope, owner, project, intent)


def _without_owner(view: ProgramView, scope: Scope) -> Iterator[Violation]:
    """What is no VPC's bridges the external network, and neither routes nor holds guests."""
    if scope.mark not in (EXTERNAL, PEERINGS):
        yield Violation(Fault.ISOLATION, scope.name, "nobody's mark is on it.", _some_probe(scope))
    if any(True for _ in scope.devices()) or any(scope.addresses.values()):
        yield Violation(
            Fault.ISOLATION, scope.name, "a guest or a router stands on the external bridge.", _some_probe(scope)
        )
    for other, link in view.guests_of(scope.name):
        if not isinstance(scope.links.get(link.peer_bridge), Bridge):
            what = f"{other.name} has an uplink to {link.peer_bridge}, which is not there."
            yield Violation(Fault.REACH, scope.name, what, _some_probe(other))
    if scope.sysctls.get("net/ipv4/ip_forward") != "0":
        yield Violation(Fault.DEFENCE, scope.name, "it may route between what it bridges.")


def _some_probe(scope: Scope) -> Probe:
    held = next((address for one in scope.addresses.values() for address in one), 0)
    return Probe(Outside(IPv4Address("192.0.2.99")), IPv4Address(held), ICMP)


def _followers(look: Look, family: Family, chain: str) -> set[str]:
    """Devices that a combination judges: by its number, or by `goto` and the name of its chain. One shows for all."""
    table = look.scope.tables[family]
    found: set[str] = set()
    for map_, policy in (("egress", "out_policy"), ("ingress", "in_policy")):
        if map_ not in table.sets or policy not in table.sets:
            raise NotUnderstood(f"no map is called {map_} or {policy}")
        if chain.startswith("goto "):
            name = chain.removeprefix("goto ")
            if name in table.chains:
                groups_in(table.chains[name].rules, "in" if name.startswith("in") else "out")
            numbers = list(table.sets[policy].keys_with(("goto", name)))
        else:
            numbers = [(chain,)]
        for number in numbers:
            address = next(iter(table.sets[map_].keys_with(number)), None)
            if address is not None:
                found.update(look.scope.who_has(int(address[0]))[:1])
    return found


# --- what is looked at ------------------------------------------------------------------------------------------------


def _epochs(scope: Scope | None) -> set[int]:
    if scope is None:
        return set()
    sets = scope.tables[Family.INET].sets
    return {int(key[0]) for key, _ in sets[EPOCH]} if EPOCH in sets else set()


def _epoch(look: Look, before: set[int], touched: Touched) -> Iterator[Violation]:
    """One epoch, the same in every table that judges, and another one after every change of what decides."""
    said: set[int] = set()
    wrong = ""
    for table in look.judging:
        epochs = {int(key[0]) for key, _ in table.sets[EPOCH]} if EPOCH in table.sets else set()
        stamps = dict(table.sets[STAMP]) if STAMP in table.sets else {}
        if len(epochs) != 1 or stamps != {(2,): tuple(epochs)} or epochs & set(_MARKS):
            wrong = f"{table.family.value}: the epochs are {sorted(epochs)}, and flows are marked with {stamps}."
        said |= epochs
    if not wrong and len(said) > 1:
        wrong = "the tables have different epochs."
    if not wrong and touched.decides and said == before:
        wrong = "the rules change and the epoch does not."
    if wrong:
        port = next(iter(look.some_ports(1)), None)
        probe = None
        if port is not None:
            probe = Probe(Inside(look.owner, port.id), IPv4Address("192.0.2.99"), 6, 40000, 80)
        yield Violation(Fault.STALE, look.scope.name, wrong, probe)


def _defences(look: Look) -> Iterator[Violation]:
    for family, hook in _MUST_DROP:
        table = look.scope.tables[family]
        chains = [one for one in table.hook(hook) if one.base and one.base.kind == "filter"]
        open_ = [one.name for one in chains if one.base and one.base.policy != "drop"]
        if open_ or not chains or not table.declared:
            what = f"{family.value} {hook}: {', '.join(open_) or 'no chain'} does not drop what no rule decides."
            yield Violation(Fault.DEFENCE, look.scope.name, what)
    dropped = look.scope.tables[Family.BRIDGE].chains.get("dropped")
    if dropped and not any(isinstance(step, Remember) for rule in dropped.rules for step in rule):
        yield Violation(Fault.DEFENCE, look.scope.name, "what the guard drops is counted for no port.")
    for table in look.scope.tables.values():
        for name in sorted(table.missing()):
            what = f"{table.family.value}: a rule speaks of {name}, which is not there."
            yield Violation(Fault.NOT_UNDERSTOOD, look.scope.name, what)
    for name, value in _SYSCTLS.items():
        if look.scope.sysctls.get(name) != value:
            what = f"{name} is {look.scope.sysctls.get(name, 'not set')} instead of {value}."
            yield Violation(Fault.DEFENCE, look.scope.name, what)
    called = look.scope.sysctls.get(_CALL_INET, "0") == "1"
    if called == (look.scope.tables[Family.BRIDGE] in look.judging):
        what = f"bridged packets are judged {'twice' if called else 'by nobody'}."
        yield Violation(Fault.DEFENCE, look.scope.name, what)
    for name, value in _IF_THERE.items():
        if look.scope.sysctls.get(name, value) != value:
            yield Violation(Fault.DEFENCE, look.scope.name, f"{name} is {look.scope.sysctls[name]} instead of {value}.")
    if look.scope.bridges_call_inet() == (JUDGING in look.scope.tables[Family.BRIDGE].chains):
        what = "bridged packets pass no policy, or two: net/bridge/bridge-nf-call-iptables and the tables do not agree."
        yield Violation(Fault.DEFENCE, look.scope.name, what)
    wanted = {int(one.gateway) for one in look.project.subnets.values() if isinstance(one.gateway, IPv4Address)}
    stand = {address for name, held in look.scope.addresses.items() if look.scope.leg_called(name) for address in held}
    sets = look.scope.tables[Family.INET].sets
    said = {int(key[0]) for key, _ in sets["gateways"]} if "gateways" in sets else set()
    for address in sorted((wanted ^ stand) | (wanted ^ said)):
        port = next(iter(look.some_ports(1)), None)
        probe = Probe(Inside(look.owner, port.id), IPv4Address(address), ICMP) if port else None
        what = f"{IPv4Address(address)} is a gateway of the program or of the intent, and not of both."
        yield look.proof([port] if port else [], [probe] if probe else [], what, Fault.REACH)


def _group(look: Look, name: str) -> Iterator[Violation]:
    group = look.project.groups.get(name)
    for table in look.judging:
        for direction, rules in (("in", group.ingress if group else ()), ("out", group.egress if group else ())):
            for found in group_battery.wrong(table, f"{direction}.{name}", rules, inwards=direction == "in"):
                yield _of_group(look, name, table.family, direction, found)
                break


def _of_group(look: Look, name: str, family: Family, direction: str, found: group_battery.Difference) -> Violation:
    """With a member as the guest, and whoever has the peer's address as the other end."""
    says = "forbid" if found.allowed else "allow"
    service = f"protocol {found.service.protocol} port {found.service.port}"
    way = "from" if direction == "in" else "to"
    what = f"{family.value}: the rules of {name} {says} {service} {way} {found.peer}, and the group does not."
    members = look.scope.tables[family].sets.get(MEMBERS + name)
    keys = (int(key[0]) for key, _ in members or ())
    guest = next((port for key in keys if (port := look.has(key))), None)
    peer = look.has(int(found.peer))
    ends = (found.service.protocol, 40000, found.service.port)
    if guest is None:
        return Violation(Fault.REACH, look.scope.name, what, Probe(Outside(found.peer), found.peer, *ends))
    own = guest.addresses[0]
    assert isinstance(own, IPv4Address)
    if direction == "out":
        probe = Probe(Inside(look.owner, guest.id), found.peer, *ends)
    else:
        probe = Probe(Inside(look.owner, peer.id) if peer else Outside(found.peer), own, *ends)
    return look.proof([guest, *([peer] if peer else [])], [probe], what, Fault.REACH)


def _strange(look: Look, element: NftElement) -> Iterator[Violation]:
    """An element that speaks of nobody whom the intent knows."""
    elements = look.scope.tables[element.family].sets[element.set]
    key = elements.key_of(element.element)
    if elements.get(key) is None:
        return  # it is on its way out
    if element.set in GUARDS:
        port = look.attached(device_behind(str(key[0]), str(key[1])))
        honest = port is not None and port.mac == key[1]
        if honest and element.set == "guard" and port is not None:
            honest = IPv4Address(int(key[2])) in port.addresses
        address = int(key[2]) if element.set == "guard" else 0
        probe = Probe(
            Inside(look.owner, str(key[0]).removeprefix("tap")),
            IPv4Address("192.0.2.99"),
            6,
            40000,
            80,
            source_address=IPv4Address(address),
        )
    else:
        address = int(key[0])
        gateways = {one.gateway for one in look.project.subnets.values()}
        port = look.has(address)
        honest = (
            IPv4Address(address) in gateways if element.set == "gateways" else port is not None and len(set(key)) == 1
        )
        if element.set == REMOTE:
            honest = port is not None and is_elsewhere(port)
        group = element.set.removeprefix(MEMBERS) if element.set.startswith(MEMBERS) else ""
        if "/" in group:
            honest = is_member(look, group, address) or (port is not None and group in port.groups)
        elif honest and port is not None and group:
            honest = group in port.groups
        probe = Probe(Outside(IPv4Address(address)), IPv4Address(address), 6, 40000, 80)
    if not honest:
        what = f"{element.family.value} {element.set} holds {element.element}, which no port of {look.owner} is."
        yield Violation(Fault.ISOLATION, look.scope.name, what, probe)
