"""Random intents, and what a tenant may change of them."""

from dataclasses import replace
from ipaddress import IPv4Network
from random import Random

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule, SubnetRef
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.testing import strategies as make
from weftwork.testing.equivalence.world import (
    CIDRS,
    EXTERNAL_OF,
    GROUPS,
    GUESTS,
    LENT,
    RANGES,
    SUBNETS,
    TENANTS,
    at,
    device_of,
    places_of,
)


def draw_project(random: Random, owner: ProjectKey) -> ProjectIntent:
    own = make.project(
        make.vpc(owner, vni=make.vni_of(owner)),
        *(make.subnet(owner, name, vlan=vlan) for name, vlan in SUBNETS.items()),
        *(_group(random, owner, name) for name in GROUPS),
        *(_port(random, owner, number) for number in range(len(places_of(owner)))),
    )
    if random.random() < 0.7:
        own.snat = _snat(random, owner)
    for _ in range(random.randint(0, 3)):
        make.put(own, _dnat(random, owner))
    return own


def add_policies(random: Random, intent: Intent) -> None:
    for owner, own in intent.items():
        for number in range(random.choice((0, 0, 1, 1, 2, 3, 4))):
            make.put(own, _policy(random, owner, f"p{number}"))


def _port(random: Random, owner: ProjectKey, number: int) -> Port:
    subnet, octet = places_of(owner)[number]
    port = make.port(owner, number + 1, subnet=subnet, vlan=SUBNETS[subnet], groups=_groups(random))
    attached = Attachment(AttachmentKind.NETNS, GUESTS, f"{owner.org}{number}")
    return replace(
        port,
        name=str(number),
        addresses=(at(owner, (subnet, octet)),),
        attachment=attached if random.random() < 0.96 else None,
    )


def _groups(random: Random) -> tuple[str, ...]:
    return tuple(sorted(random.sample(GROUPS, random.choice((0, 1, 1, 1, 2, 2, 3)))))


def _group(random: Random, owner: ProjectKey, name: str) -> SecurityGroup:
    egress = [_rule(random) for _ in range(random.randint(0, 3))]
    if random.random() < 0.5:
        egress.append(make.allow("0.0.0.0/0"))
    ingress = [_rule(random) for _ in range(random.randint(0, 4))]
    return make.group(owner, name, ingress=tuple(ingress), egress=tuple(egress))


def _rule(random: Random) -> Rule:
    protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ALL))
    span = None if protocol is Protocol.ICMP else random.choice(RANGES)
    chance = random.random()
    peer: GroupRef | IPv4Network = IPv4Network(random.choice(CIDRS))
    if chance < 0.35:
        peer = GroupRef(random.choice(GROUPS))
    elif chance < 0.5:
        peer = GroupRef(random.choice(GROUPS), random.choice(TENANTS))
    return Rule(protocol, PortRange(*span) if span else None, peer)


def _policy(random: Random, owner: ProjectKey, name: str) -> NetworkPolicy:
    """Few priorities, so that names decide, too."""
    kind = random.choice(tuple(PolicyKind))
    return NetworkPolicy(
        owner=owner,
        name=name,
        kind=kind,
        subnet=random.choice(("", *SUBNETS)),
        priority=random.choice((1, 1, 100, 65535)),
        rules=_policy_rules(random, kind),
        created_at=0,
    )


def _policy_rules(random: Random, kind: PolicyKind) -> tuple[PolicyRule, ...]:
    """What a policy denies it mostly denies narrowly, or little would be left to pass."""
    rules: list[PolicyRule] = []
    for _ in range(random.choice((0, 1, 1, 2, 3, 4))):
        plain = _rule(random)
        peer: GroupRef | SubnetRef | IPv4Network = GroupRef(random.choice(GROUPS))
        if isinstance(plain.peer, IPv4Network):
            peer = plain.peer if random.random() < 0.8 else SubnetRef(random.choice(tuple(SUBNETS)))
        action = Action.ALLOW if kind is PolicyKind.ISOLATION else random.choice(tuple(Action))
        rules.append(PolicyRule(action, plain.protocol, plain.ports, peer))
    return tuple(dict.fromkeys(rules))


def lend(random: Random, intent: Intent) -> None:
    """Some tenant's subnet to another, whose guest moves in; or out, if it is there."""
    lender, owner = random.sample(list(intent), 2)
    made = make.lodger(owner, lender, LENT, vlan=SUBNETS[LENT], groups=_groups(random))
    if made.id in intent[owner].ports:
        del intent[owner].ports[made.id]
        return
    make.put(intent[lender], make.share(lender, LENT, owner))
    name = f"l{TENANTS.index(lender)}"
    attached = Attachment(AttachmentKind.NETNS, GUESTS, f"{owner.org}{name}")
    make.put(intent[owner], replace(made, name=name, attachment=attached))


def make_half(random: Random, intent: Intent) -> None:
    """An offer, or the answer to one, of anybody who may; rarely towards nobody."""
    owner = random.choice(list(intent))
    nobody, *peers = make.can_peer(intent, owner, tuple(intent))
    wanted = [peer for peer in peers if owner in intent[peer].peerings] or peers or [nobody]
    make.put(intent[owner], make.peering(owner, random.choice(wanted)))


def _snat(random: Random, owner: ProjectKey) -> Snat:
    return make.snat(owner, random.choice(EXTERNAL_OF[owner]), enabled=random.random() < 0.85)


def _dnat(random: Random, owner: ProjectKey) -> Dnat:
    return make.dnat(
        owner,
        f"{random.choice(EXTERNAL_OF[owner])}:{random.choice((80, 81, 65535))}",
        f"{at(owner, random.choice(places_of(owner)))}:{random.choice((80, 1000, 2001, 65535))}",
        random.choice((Protocol.TCP, Protocol.UDP)),
    )


def change(random: Random, intent: Intent) -> None:
    """One thing that a tenant may change."""
    owner = random.choice(list(intent))
    own = intent[owner]
    match random.choice(
        (
            *("group", "group", "port", "port", "snat", "dnat", "attach"),
            *("peering", "peering", "policy", "policy", "lend"),
        )
    ):
        case "lend":
            lend(random, intent)
        case "peering":
            if own.peerings and random.random() < 0.5:
                del own.peerings[random.choice(sorted(own.peerings))]
            else:
                make_half(random, intent)
        case "policy":
            _change_policies(random, own, owner)
        case "group":
            group = random.choice(list(own.groups.values()))
            ingress, egress = list(group.ingress), list(group.egress)
            for rules in random.sample((ingress, egress), random.randint(1, 2)):
                if rules and random.random() < 0.6:
                    rules.pop(random.randrange(len(rules)))
                else:
                    rules.append(_rule(random))
            make.put(own, replace(group, ingress=tuple(ingress), egress=tuple(egress)))
        case "port":
            port = random.choice(list(own.ports.values()))
            make.put(own, replace(port, groups=_groups(random)))
        case "snat":
            own.snat = _snat(random, owner) if random.random() < 0.6 else None
        case "dnat":
            if own.dnats and random.random() < 0.5:
                del own.dnats[random.choice(sorted(own.dnats))]
            else:
                make.put(own, _dnat(random, owner))
        case "attach":
            number = random.randrange(len(own.ports))
            port = list(own.ports.values())[number]
            attached = Attachment(AttachmentKind.NETNS, GUESTS, device_of(port))
            make.put(own, replace(port, attachment=None if port.attachment else attached))


def _change_policies(random: Random, own: ProjectIntent, owner: ProjectKey) -> None:
    """One comes, goes, moves or has other rules."""
    old = random.choice((None, *own.policies.values()))
    if old is None:
        make.put(own, _policy(random, owner, f"p{random.randrange(6)}"))
    elif random.random() < 0.4:
        del own.policies[old.name]
    elif random.random() < 0.5:
        make.put(own, replace(old, priority=random.choice((1, 99, 101, 65535))))
    else:
        make.put(own, replace(old, rules=_policy_rules(random, old.kind)))
