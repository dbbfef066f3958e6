"""Hypothesis strategies and builders for intents: small worlds, in which things meet often.

Two tenants share all addresses; a third can be peered with either. Every intent and every step of a history is closed,
as the store keeps it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from weftwork.base.addresses import Cidr, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.settings import ExternalNetwork, HostProfile
from weftwork.model.intent import Intent, ProjectIntent, Thing, lodgers_of, peers_of
from weftwork.model.keys import ThingKey, peer_in
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.peering import Peering
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc

TENANTS = (ProjectKey("red", "web"), ProjectKey("blue", "web"))
GREEN, AMBER = ProjectKey("green", "web"), ProjectKey("amber", "web")
"""Tenants with addresses of their own."""
PROJECTS = (*TENANTS, GREEN)
_NETS = {GREEN: 1, AMBER: 2}
_NOBODY = ProjectKey("ghost", "web")
SUBNETS = ("default", "data")
GROUPS = ("default", "web", "db")
POLICIES = ("first", "second", "third")
PORTS_MAX = 6

TAP = Attachment(AttachmentKind.TAP)
EXTERNAL = ExternalNetwork((IPv4Network("198.51.100.0/24"),), IPv4Address("198.51.100.1"))


def vpc(owner: ProjectKey, *, vni: int = 101) -> Vpc:
    """10.0.0.0/16, or that of GREEN or AMBER."""
    return Vpc(owner, "vpc", IPv4Network(f"10.{net_of(owner)}.0.0/16"), vni, created_at=0, updated_at=0)


def vni_of(owner: ProjectKey) -> int:
    return 101 + (*PROJECTS, AMBER).index(owner)


def net_of(owner: ProjectKey) -> int:
    """The second octet of the tenant's addresses."""
    return _NETS.get(owner, 0)


def subnet(owner: ProjectKey, name: str = "default", *, vlan: int = 1, dhcp: bool = True) -> Subnet:
    """10.<net>.<vlan>.0/24"""
    net = net_of(owner)
    return Subnet(
        owner=owner,
        name=name,
        cidr=IPv4Network(f"10.{net}.{vlan}.0/24"),
        gateway=IPv4Address(f"10.{net}.{vlan}.1"),
        vlan=vlan,
        dhcp_enabled=dhcp,
        dns_servers=(IPv4Address("192.0.2.53"),),
        domain_name="guests.test",
        ntp_servers=(),
        lease_time_s=3600,
        created_at=0,
    )


def port(
    owner: ProjectKey,
    number: int,
    *,
    subnet: str = "default",
    vlan: int = 1,
    groups: tuple[str, ...] = ("default",),
    attachment: Attachment | None = TAP,
) -> Port:
    """The `number`th port of its VPC: 10.<net>.<vlan>.0 + 10 + number."""
    return Port(
        owner=owner,
        id=f"{number:012x}-0000-4000-8000-{number:08x}",
        name=f"guest{number}",
        subnet=subnet,
        vm=f"vm{number}" if attachment else "",
        mac=Mac("02:57:" + number.to_bytes(4, "big").hex(":")),
        addresses=(IPv4Address(f"10.{net_of(owner)}.{vlan}.0") + 10 + number,),
        groups=groups,
        attachment=attachment,
        created_at=0,
    )


def group(
    owner: ProjectKey, name: str = "default", *, ingress: tuple[Rule, ...] = (), egress: tuple[Rule, ...] = ()
) -> SecurityGroup:
    inwards, outwards = (tuple(_by_name(owner, rule) for rule in rules) for rules in (ingress, egress))
    return SecurityGroup(owner, name, "", inwards, outwards, created_at=0)


def _by_name(owner: ProjectKey, rule: Rule) -> Rule:
    """As the store has it: groups of one's own project without the project."""
    if isinstance(rule.peer, GroupRef) and rule.peer.owner == owner:
        return replace(rule, peer=GroupRef(rule.peer.name))
    return rule


def allow(peer: str, protocol: Protocol = Protocol.ALL, first: int | None = None, last: int | None = None) -> Rule:
    """`peer` is a CIDR or the name of a group, of a peer's with its project; without ports, all of them."""
    ports = None if first is None else PortRange(first, first if last is None else last)
    whose, _, name = peer.rpartition("/")
    if whose and not name.isdigit():
        org, project_ = whose.split("/")
        return Rule(protocol, ports, GroupRef(name, ProjectKey(org, project_)))
    return Rule(protocol, ports, ip_network(peer) if set(peer) & {"/", ":"} else GroupRef(peer))


def share(owner: ProjectKey, subnet: str, to: ProjectKey) -> SubnetShare:
    return SubnetShare(owner, subnet, to, created_at=0)


def peering(owner: ProjectKey, peer: ProjectKey) -> Peering:
    return Peering(owner, peer.org, peer, created_at=0)


def snat(owner: ProjectKey, external_ip: str, *, enabled: bool = True) -> Snat:
    return Snat(owner, ip_address(external_ip), enabled, created_at=0)


def dnat(owner: ProjectKey, external: str, internal: str, protocol: Protocol = Protocol.TCP) -> Dnat:
    """`external` and `internal` as `address:port`."""
    (outer, outer_port), (inner, inner_port) = external.split(":"), internal.split(":")
    return Dnat(owner, ip_address(outer), int(outer_port), protocol, ip_address(inner), int(inner_port), created_at=0)


def project(*things: Thing) -> ProjectIntent:
    result = ProjectIntent()
    for thing in things:
        put(result, thing)
    return result


def key_of(thing: Thing) -> ThingKey:
    match thing:
        case Vpc():
            return ThingKey("vpc", thing.owner)
        case Subnet():
            return ThingKey("subnet", thing.owner, thing.name)
        case Port():
            return ThingKey("port", thing.owner, thing.id)
        case SecurityGroup():
            return ThingKey("security-group", thing.owner, thing.name)
        case Snat():
            return ThingKey("snat", thing.owner)
        case Dnat():
            return ThingKey("dnat", thing.owner, thing.name)
        case Peering():
            return ThingKey("peering", thing.owner, str(thing.peer))
        case NetworkPolicy():
            return ThingKey("network-policy", thing.owner, thing.name)
        case ReachTest():
            return ThingKey("reach-test", thing.owner, thing.name)
        case SubnetShare():
            return ThingKey("subnet-share", thing.owner, thing.name)
        case Vm():
            return ThingKey("vm", thing.owner, thing.name)
        case SshKey():
            return ThingKey("ssh-key", thing.owner, thing.name)


def put(into: ProjectIntent, thing: Thing) -> None:
    match thing:
        case Vpc():
            into.vpc = thing
        case Subnet():
            into.subnets[thing.name] = thing
        case Port():
            into.ports[thing.id] = thing
        case SecurityGroup():
            into.groups[thing.name] = thing
        case Snat():
            into.snat = thing
        case Dnat():
            into.dnats[thing.name] = thing
        case Peering():
            into.peerings[thing.peer] = thing
        case NetworkPolicy():
            into.policies[thing.name] = thing
        case ReachTest():
            into.reach_tests[thing.name] = thing
        case SubnetShare():
            into.shares[thing.name] = thing
        case Vm():
            into.vms[thing.name] = thing
        case SshKey():
            into.ssh_keys[thing.name] = thing


def remove(out_of: ProjectIntent, key: ThingKey) -> None:
    match key.kind:
        case "vpc":
            out_of.vpc = None
        case "subnet":
            del out_of.subnets[key.name]
        case "port":
            del out_of.ports[key.name]
        case "security-group":
            del out_of.groups[key.name]
        case "snat":
            out_of.snat = None
        case "dnat":
            del out_of.dnats[key.name]
        case "peering":
            del out_of.peerings[peer_in(key)]
        case "network-policy":
            del out_of.policies[key.name]
        case "reach-test":
            del out_of.reach_tests[key.name]
        case "subnet-share":
            del out_of.shares[key.name]
        case "vm":
            del out_of.vms[key.name]
        case "ssh-key":
            del out_of.ssh_keys[key.name]


CIDRS: tuple[Cidr, ...] = tuple(
    map(ip_network, ("0.0.0.0/0", "10.0.1.0/25", "10.0.1.128/25", "10.0.1.64/26", "10.0.1.11/32", "fd00::/8"))
)


def rules() -> SearchStrategy[Rule]:
    of_peers = st.builds(GroupRef, st.sampled_from(GROUPS), st.sampled_from(PROJECTS))
    peers = st.one_of(st.sampled_from(CIDRS), st.sampled_from(GROUPS).map(GroupRef), of_peers)
    ports = st.sampled_from((None, PortRange(80, 80), PortRange(0, 65535), PortRange(1000, 2000)))
    with_ports = st.builds(Rule, st.sampled_from((Protocol.TCP, Protocol.UDP, Protocol.ALL)), ports, peers)
    return st.one_of(with_ports, st.builds(Rule, st.just(Protocol.ICMP), st.none(), peers))


@st.composite
def policies(draw: DrawFn, owner: ProjectKey, own: ProjectIntent) -> NetworkPolicy:
    """Of any kind and target. What is named is there; kind and target never change."""
    name = draw(st.sampled_from(POLICIES))
    old = own.policies.get(name)
    kind = old.kind if old else draw(st.sampled_from(PolicyKind))
    subnet = old.subnet if old else draw(st.sampled_from(("", *sorted(own.subnets))))
    rules = draw(st.lists(policy_rules(own, kind), max_size=4, unique=True))
    return NetworkPolicy(owner, name, kind, subnet, draw(st.sampled_from((1, 100, 65535))), tuple(rules), created_at=0)


def policy_rules(own: ProjectIntent, kind: PolicyKind) -> SearchStrategy[PolicyRule]:
    actions = (Action.ALLOW,) if kind is PolicyKind.ISOLATION else tuple(Action)
    peers = (*CIDRS, *map(GroupRef, sorted(own.groups)), *map(SubnetRef, sorted(own.subnets)))
    ports = st.sampled_from((None, PortRange(80, 80), PortRange(0, 65535), PortRange(1000, 2000)))
    services = st.tuples(st.sampled_from((Protocol.TCP, Protocol.UDP, Protocol.ALL)), ports)
    return st.builds(
        lambda action, service, peer: PolicyRule(action, service[0], service[1], peer),
        st.sampled_from(actions),
        st.one_of(services, st.just((Protocol.ICMP, None))),
        st.sampled_from(peers),
    )


def policy(
    owner: ProjectKey,
    name: str,
    *rules: PolicyRule,
    kind: PolicyKind = PolicyKind.INGRESS,
    subnet: str = "",
    priority: int = 100,
) -> NetworkPolicy:
    return NetworkPolicy(owner, name, kind, subnet, priority, rules, created_at=0)


def policy_rule(
    action: str, peer: str, protocol: Protocol = Protocol.ALL, first: int | None = None, last: int | None = None
) -> PolicyRule:
    """`peer` is a CIDR, the name of a group, or `subnet NAME`; without ports, all of them."""
    if peer.startswith("subnet "):
        plain = allow("0.0.0.0/0", protocol, first, last)
        return PolicyRule(Action(action), protocol, plain.ports, SubnetRef(peer.removeprefix("subnet ")))
    plain = allow(peer, protocol, first, last)
    return PolicyRule(Action(action), protocol, plain.ports, plain.peer)


def rule_lists() -> SearchStrategy[tuple[Rule, ...]]:
    return st.lists(rules(), max_size=4).map(tuple)


def profiles() -> SearchStrategy[HostProfile]:
    external = st.sampled_from((None, EXTERNAL, replace(EXTERNAL, scope="", bridge="br-operator")))
    bridged = st.builds(
        HostProfile,
        filter_mode=st.just("bridge"),
        layout=st.sampled_from(("bridges", "vlan")),
        external=external,
        has_bridge_netfilter=st.booleans(),
        has_ipv6=st.booleans(),
    )
    return st.one_of(bridged, st.builds(HostProfile, external=external))


@dataclass(frozen=True, slots=True)
class Edit:
    """A thing made or changed, or (`thing` is None) deleted."""

    key: ThingKey
    thing: Thing | None

    def apply(self, intent: Intent) -> None:
        own = intent.setdefault(self.key.owner, ProjectIntent())
        if self.thing is None:
            remove(own, self.key)
        else:
            put(own, self.thing)
        if own.is_empty:
            del intent[self.key.owner]


@st.composite
def edits(draw: DrawFn, intent: Intent) -> Edit:
    """One change that keeps `intent` closed."""
    owner = draw(st.sampled_from(PROJECTS))
    own = intent.get(owner)
    if own is None or own.vpc is None:
        return _made(vpc(owner, vni=vni_of(owner)))
    lent = tuple(one for lender in intent.values() for one in lender.shares.values() if one.to == owner)
    lodgers = tuple(lodgers_of(intent, owner))
    choices = [
        draw(things(owner, own, can_peer(intent, owner), lent)),
        *(Edit(key, None) for key in deletable(own, lodgers)),
    ]
    return draw(st.sampled_from(choices)) if draw(st.booleans()) else choices[0]


@st.composite
def things(
    draw: DrawFn, owner: ProjectKey, own: ProjectIntent, peers: tuple[ProjectKey, ...], lent: tuple[SubnetShare, ...]
) -> Edit:
    """Something new, or a change of what is there. Only what may change changes."""
    kinds = ("subnet", "group", "port", "port", "snat", "dnat", "peering", "policy", "share", "lodger")
    kind = draw(st.sampled_from(kinds))
    if kind == "policy":
        return _made(draw(policies(owner, own)))
    if kind == "share" and own.subnets:
        to = draw(st.sampled_from([one for one in (*PROJECTS, _NOBODY) if one != owner]))
        return _made(share(owner, draw(st.sampled_from(sorted(own.subnets))), to))
    if kind == "lodger" and lent and own.groups:
        return _made(draw(lodgers(own, draw(st.sampled_from(lent)))))
    if kind == "peering":
        return _made(peering(owner, draw(st.sampled_from(peers))))
    if kind == "group" or (kind in ("port", "share", "lodger") and not own.groups):
        name = draw(st.sampled_from(GROUPS))
        return _made(group(owner, name, ingress=draw(rule_lists()), egress=draw(rule_lists())))
    if kind == "subnet" or (kind in ("port", "dnat", "share", "lodger") and not own.subnets):
        name = draw(st.sampled_from(SUBNETS))
        # Whether there is DHCP never changes: no call does it, and the ports' leases hang on it.
        dhcp = own.subnets[name].dhcp_enabled if name in own.subnets else draw(st.booleans())
        return _made(subnet(owner, name, vlan=1 + SUBNETS.index(name), dhcp=dhcp))
    if kind in ("port", "share", "lodger"):
        return _made(draw(ports(owner, own)))
    external = f"198.51.100.{10 + PROJECTS.index(owner) * 2 + draw(st.integers(0, 1))}"
    if kind == "snat":
        return _made(snat(owner, external, enabled=draw(st.booleans())))
    protocol = draw(st.sampled_from((Protocol.TCP, Protocol.UDP)))
    return _made(
        dnat(
            owner,
            f"{external}:{draw(st.sampled_from((80, 443)))}",
            f"10.{net_of(owner)}.1.{draw(st.integers(10, 15))}:80",
            protocol,
        )
    )


@st.composite
def ports(draw: DrawFn, owner: ProjectKey, own: ProjectIntent) -> Port:
    name = draw(st.sampled_from(sorted(own.subnets)))
    number = draw(st.integers(0, PORTS_MAX - 1)) * 2 + SUBNETS.index(name)
    attachments = (
        None,
        TAP,
        Attachment(AttachmentKind.NETNS, f"guest{number}", "eth0"),
    )
    return port(
        owner,
        number,
        subnet=name,
        vlan=own.subnets[name].vlan,
        groups=tuple(sorted(draw(st.sets(st.sampled_from(sorted(own.groups)), max_size=3)))),
        attachment=draw(st.sampled_from(attachments)),
    )


@st.composite
def lodgers(draw: DrawFn, own: ProjectIntent, share: SubnetShare) -> Port:
    """A port of the project that a subnet is shared with."""
    vlan = 1 + SUBNETS.index(share.subnet)
    groups = tuple(sorted(draw(st.sets(st.sampled_from(sorted(own.groups)), max_size=3))))
    return lodger(
        share.to, share.owner, share.subnet, vlan=vlan, groups=groups, attachment=draw(st.sampled_from((None, TAP)))
    )


def lodger(
    owner: ProjectKey,
    lender: ProjectKey,
    subnet: str = "default",
    *,
    vlan: int = 1,
    groups: tuple[str, ...] = ("default",),
    attachment: Attachment | None = TAP,
) -> Port:
    """The owner's one port in a subnet of another project's."""
    everybody = (*PROJECTS, AMBER)
    number = 64 + 32 * everybody.index(lender) + 8 * everybody.index(owner) + vlan
    made = port(owner, number, subnet=subnet, vlan=vlan, groups=groups, attachment=attachment)
    address = IPv4Address(f"10.{net_of(lender)}.{vlan}.{250 + everybody.index(owner)}")
    mac = Mac(f"02:57:00:01:0{everybody.index(owner)}:0{vlan}")
    return replace(made, addresses=(address,), mac=mac, lender=lender)


def can_peer(intent: Intent, owner: ProjectKey, among: tuple[ProjectKey, ...] = PROJECTS) -> tuple[ProjectKey, ...]:
    """Towards whom the owner may have a half: two active peerings of one VPC never overlap. Nobody takes any offer."""

    def is_free(peer: ProjectKey) -> bool:
        taken = {net_of(other) for other, _ in peers_of(intent, owner) if other != peer} | {net_of(owner)}
        rivals = [one for one, _ in peers_of(intent, peer) if one != owner and net_of(one) == net_of(owner)]
        return net_of(peer) not in taken and not rivals

    return (_NOBODY, *(peer for peer in among if peer != owner and is_free(peer)))


def deletable(own: ProjectIntent, lodgers: tuple[Port, ...] = ()) -> Iterator[ThingKey]:
    """What nothing else depends on; `lodgers` are the ports of others in its subnets."""
    named = own.policies.values()
    used_subnets = {one.subnet for one in own.ports.values() if not one.lender}.union(
        (one.subnet for one in own.shares.values()), *(one.subnets_named for one in named)
    )
    used_groups = {name for one in own.ports.values() for name in one.groups}.union(
        *(one.groups_named for one in named)
    )
    used_shares = {(one.subnet, one.owner) for one in lodgers}
    yield from (key_of(one) for one in own.shares.values() if (one.subnet, one.to) not in used_shares)
    yield from (key_of(one) for one in own.ports.values())
    yield from (key_of(one) for one in own.dnats.values())
    yield from (key_of(one) for name, one in own.subnets.items() if name not in used_subnets)
    yield from (key_of(one) for name, one in own.groups.items() if name not in used_groups)
    if own.snat:
        yield key_of(own.snat)
    yield from (key_of(one) for one in own.peerings.values())
    yield from (key_of(one) for one in named)
    shelves = (own.subnets, own.groups, own.ports, own.dnats, own.peerings, own.policies, own.shares)
    if own.vpc and not own.snat and not any(shelves):
        yield key_of(own.vpc)


@st.composite
def histories(draw: DrawFn, *, length_max: int = 25) -> tuple[Edit, ...]:
    """Edits from an empty intent, each valid when its turn comes."""
    intent: Intent = {}
    history: list[Edit] = []
    for _ in range(draw(st.integers(0, length_max))):
        edit = draw(edits(intent))
        edit.apply(intent)
        history.append(edit)
    return tuple(history)


@st.composite
def intents(draw: DrawFn) -> Intent:
    intent: Intent = {}
    for edit in draw(histories()):
        edit.apply(intent)
    return intent


def _made(thing: Thing) -> Edit:
    return Edit(key_of(thing), thing)
