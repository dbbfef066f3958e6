"""A security group's slice: its chain per direction, and the sets that the chain's rules refer to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses

from weftwork.compiler.linux import names
from weftwork.compiler.linux.policy import ALLOW_IN, ALLOW_OUT, families
from weftwork.compiler.settings import HostProfile
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.vpc import Vpc
from weftwork.program.linux import Family, NftChain, NftElement, NftSet
from weftwork.program.resource import Resource

_TCP, _UDP, _ICMP = 6, 17, 1
_ANYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """What a rule opens. `protocol` is a number of IANA's, 0 for any; ports are 0–65535 with TCP and UDP, else all."""

    protocol: int
    first: int = 0
    last: int = 65535

    @property
    def name(self) -> str:
        """`6.80`, `17.1000-2000`, `6`, `any`: the end of a set's name."""
        protocol = str(self.protocol) if self.protocol else "any"
        return protocol if self.all_ports else f"{protocol}.{self.ports}"

    @property
    def all_ports(self) -> bool:
        return (self.first, self.last) == (0, 65535)

    @property
    def ports(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def match(self) -> tuple[str, ...]:
        """The port is the server's, which NAT has not changed in the reply."""
        protocol = (f"meta l4proto {self.protocol}",) if self.protocol else ()
        return protocol if self.all_ports else (*protocol, f"ct reply proto-src {self.ports}")


@dataclass(frozen=True, slots=True)
class Direction:
    """How rules of one direction are written; the names of their sets begin with the chain's."""

    chain: str
    peer: str
    verdict: str


def compile_group(vpc: Vpc, group: SecurityGroup, profile: HostProfile) -> Iterator[Resource]:
    scope = names.scope_of(vpc)
    inwards = Direction(names.in_chain(group.name), "ct original ip saddr", ALLOW_IN)
    outwards = Direction(names.out_chain(group.name), "ct reply ip saddr", ALLOW_OUT)
    for family in families(profile):
        yield from _chain(scope, family, inwards, group.ingress)
        yield from _chain(scope, family, outwards, group.egress)


def members(scope: str, family: Family, group: GroupRef | str) -> NftSet:
    """The addresses of a group's attached ports; whoever speaks of it declares it."""
    return NftSet(scope, family, names.members_set(group), "ipv4_addr")


def compile_rules(
    scope: str, family: Family, direction: Direction, rules: Iterable[Rule]
) -> tuple[list[str], list[Resource]]:
    """What a chain says for these rules, in whatever order, and the sets that it then refers to."""
    lines: list[str] = []
    needed: list[Resource] = []
    for service, networks, groups in _by_service(rules):
        for match, resources in _peers(scope, family, direction, service, networks, groups):
            lines.append(" ".join((*service.match, *match, direction.verdict)))
            needed += resources
    return lines, needed


def _chain(scope: str, family: Family, direction: Direction, rules: Iterable[Rule]) -> Iterator[Resource]:
    lines, needed = compile_rules(scope, family, direction, rules)
    yield from needed
    yield NftChain(scope, family, direction.chain, "", tuple(lines))


def _peers(
    scope: str,
    family: Family,
    direction: Direction,
    service: Service,
    networks: list[IPv4Network],
    groups: list[GroupRef],
) -> Iterator[tuple[tuple[str, ...], tuple[Resource, ...]]]:
    """For each rule of one service, how it matches its peers, and what it needs for that."""
    if networks == [_ANYWHERE]:
        yield (), ()
        return
    if networks:
        name = f"{direction.chain}.{service.name}"
        declared = NftSet(scope, family, name, "ipv4_addr", flags=("interval",))
        elements = (NftElement(scope, family, name, element_of(network)) for network in networks)
        yield (direction.peer, f"@{name}"), (declared, *elements)
    for group in groups:
        yield (direction.peer, f"@{names.members_set(group)}"), (members(scope, family, group),)


def _by_service(rules: Iterable[Rule]) -> list[tuple[Service, list[IPv4Network], list[GroupRef]]]:
    """The peers of each service, in order and without repetition. Peers of other families have no rule here."""
    networks: dict[Service, list[IPv4Network]] = {}
    groups: dict[Service, set[GroupRef]] = {}
    for rule in rules:
        for service in _services(rule.protocol, rule.ports):
            match rule.peer:
                case IPv4Network() as network:
                    networks.setdefault(service, []).append(network)
                case GroupRef() as group:
                    groups.setdefault(service, set()).add(group)
    return [
        (service, list(collapse_addresses(networks.get(service, ()))), sorted(groups.get(service, ()), key=str))
        for service in sorted(networks.keys() | groups.keys())
    ]


def _services(protocol: Protocol, ports: PortRange | None) -> tuple[Service, ...]:
    """ALL with ports means TCP and UDP, the protocols that have ports."""
    span = (ports.min, ports.max) if ports else (0, 65535)
    match protocol:
        case Protocol.TCP:
            return (Service(_TCP, *span),)
        case Protocol.UDP:
            return (Service(_UDP, *span),)
        case Protocol.ICMP:
            return (Service(_ICMP),)
        case Protocol.ALL:
            return (Service(_TCP, *span), Service(_UDP, *span)) if ports else (Service(0),)


def element_of(network: IPv4Network) -> str:
    """As nft prints it: one address has no prefix length."""
    return str(network.network_address) if network.prefixlen == 32 else str(network)
