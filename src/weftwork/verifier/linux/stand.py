"""Guests that stand in a VPC for a question only: their ports, and what a program would say of them.

No policy of the tenant's is asked meanwhile, so that none hides what the other rules say; in their place stand two that
deny a port each. In each subnet stand four: `any` may talk to everybody, `none` to nobody, `more` like `any`, and no
rule has ever heard of `lost`. DNATs lead to the first of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from weftwork.base.addresses import Mac
from weftwork.model.intent import ProjectIntent
from weftwork.model.nat import Dnat
from weftwork.model.network_policy import Action, NetworkPolicy, PolicyKind, PolicyRule
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import PortRange, Protocol, Rule, SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.program.linux import (
    Bridge,
    Family,
    LinkKind,
    Neighbour,
    NftChain,
    NftElement,
    PortLink,
    VlanInterface,
)
from weftwork.program.resource import Resource
from weftwork.verifier.linux.frame import TCP, UDP
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.policy_check import ASKING
from weftwork.verifier.linux.scope import Scope

ANY, NONE, MORE, LOST = "judge/any", "judge/none", "judge/more", "judge/lost"
"""No group can have such a name."""
_KINDS = (ANY, NONE, MORE, LOST)
_GROUPS = {ANY: (ANY,), NONE: (NONE,), MORE: (ANY,), LOST: ()}
_EVERYWHERE = Rule(Protocol.ALL, None, IPv4Network("0.0.0.0/0"))
CLASSES = {"out": {ANY: "fffe:0001", NONE: "fffe:0002"}, "in": {ANY: "fffe:0003", NONE: "fffe:0004"}}
OUTSIDE = IPv4Address("192.0.2.99")
EXTERNAL_PORT = 64999
SOURCE_PORT = 40000
DENIED_OUT, DENIED_IN = 64997, 64998
_DENIED = {ASKING[True]: DENIED_OUT, ASKING[False]: DENIED_IN}
"""The ports that the policies of the stand deny."""


@dataclass(frozen=True, slots=True)
class Stand:
    """The guests, their subnets' legs, and all that the program and the intent say of them for the moment."""

    look: Look
    ports: dict[tuple[str, str], Port]
    resources: tuple[Resource, ...]
    hidden: tuple[Resource, ...]
    """What the program says meanwhile no more."""

    def gateways(self) -> Iterator[IPv4Address]:
        subnets = self.look.project.subnets.values()
        return (one.gateway for one in subnets if isinstance(one.gateway, IPv4Address))


def stand_in(look: Look) -> Stand | None:
    ports: dict[tuple[str, str], Port] = {}
    resources: list[Resource] = []
    number = 0
    for subnet in sorted(look.project.subnets.values(), key=lambda one: one.vlan):
        place = _place(look.scope, subnet)
        if place is None:
            continue
        bridge, vlan, leg = place
        for kind, address in zip(_KINDS, _free(look.scope, subnet), strict=False):
            number += 1
            port = _port(look, subnet, kind, number, address)
            ports[subnet.name, kind] = port
            resources += _resources(look, port, address, bridge, vlan, leg, kind)
    if not ports:
        return None
    for table in look.judging:
        for direction, allows in (("out", "accept"), ("in", "goto stamp")):
            for kind, rule in ((ANY, allows), (NONE, "drop")):
                name = f"{kind}/{direction}"
                resources.append(NftChain(look.scope.name, table.family, name, "", (rule,)))
                class_ = CLASSES[direction][kind]
                policy = f"{direction}_policy"
                resources.append(NftElement(look.scope.name, table.family, policy, class_, f"goto {name}"))
    hidden = tuple(_asking(look))
    for table, (chain, denied) in product(look.judging, _DENIED.items()):
        resources.append(NftChain(look.scope.name, table.family, chain, "", (_deny_text(denied),)))
    project = replace(_project(look, ports), policies=_policies(look))
    for dnat, number in _dnats(look, ports):
        project = replace(project, dnats={**project.dnats, dnat.name: dnat})
        outer = f"{dnat.external_ip} . {number} . {dnat.external_port}"
        inner = f"{dnat.internal_ip} . {dnat.internal_port}"
        resources.append(NftElement(look.scope.name, Family.INET, "dnat_map", outer, inner))
        resources.append(NftElement(look.scope.name, Family.INET, "dnat_flows", f"{outer} . {inner}"))
    return Stand(replace(look, project=project), ports, tuple(resources), hidden)


def _place(scope: Scope, subnet: Subnet) -> tuple[str, int, str] | None:
    """Where the subnet's ports are plugged in: by who has its gateway's address."""
    if not isinstance(subnet.gateway, IPv4Address):
        return None
    for name, held in scope.addresses.items():
        if int(subnet.gateway) in held:
            match scope.links.get(name):
                case Bridge():
                    return name, 0, name
                case VlanInterface(bridge=bridge, vlan=vlan):
                    return bridge, vlan, name
    return None


def _free(scope: Scope, subnet: Subnet) -> Iterator[IPv4Address]:
    """Addresses of the subnet that nobody has, the highest first."""
    assert isinstance(subnet.cidr, IPv4Network)
    first, last = int(subnet.cidr.network_address), int(subnet.cidr.broadcast_address)
    for address in range(last - 1, first, -1):
        if not scope.who_has(address) and not scope.is_local(address):
            yield IPv4Address(address)


def _port(look: Look, subnet: Subnet, kind: str, number: int, address: IPv4Address) -> Port:
    return Port(
        owner=look.owner,
        id=f"ffffffff-{number:04x}-4fff-8fff-ffffffffffff",
        name="",
        subnet=subnet.name,
        vm="judge",
        mac=Mac(f"02:57:ff:ff:{number >> 8:02x}:{number & 255:02x}"),
        addresses=(address,),
        groups=_GROUPS[kind],
        attachment=Attachment(AttachmentKind.TAP),
        created_at=0,
    )


def _resources(
    look: Look, port: Port, address: IPv4Address, bridge: str, vlan: int, leg: str, kind: str
) -> Iterator[Resource]:
    scope, device = look.scope.name, port.device
    yield PortLink(scope, device, LinkKind.TAP, bridge, port.mac, 1500, vlan)
    yield NftElement(scope, Family.BRIDGE, "guard_mac", f'"{device}" . {port.mac}')
    yield NftElement(scope, Family.BRIDGE, "guard", f'"{device}" . {port.mac} . {address}')
    yield Neighbour(scope, leg, address, port.mac)
    for table in look.judging:
        yield NftElement(scope, table.family, "same", f"{address} . {address}")
        for group in _GROUPS[kind]:
            yield NftElement(scope, table.family, "egress", str(address), CLASSES["out"][group])
            yield NftElement(scope, table.family, "ingress", str(address), CLASSES["in"][group])


def _project(look: Look, ports: dict[tuple[str, str], Port]) -> ProjectIntent:
    groups = {
        name: SecurityGroup(look.owner, name, "", rules, rules, created_at=0)
        for name, rules in ((ANY, (_EVERYWHERE,)), (NONE, ()))
    }
    own = look.project
    return replace(own, groups={**own.groups, **groups}, ports={**own.ports, **{one.id: one for one in ports.values()}})


def _asking(look: Look) -> Iterator[NftChain]:
    """The chains that ask the tenant's policies."""
    for table, name in product(look.judging, _DENIED):
        if name in table.chains:
            yield NftChain(look.scope.name, table.family, name, "", table.chains[name].texts)


def _deny_text(port: int) -> str:
    return f"meta l4proto 6 ct reply proto-src {port} drop"


def _policies(look: Look) -> dict[str, NetworkPolicy]:
    everybody = IPv4Network("0.0.0.0/0")
    return {
        kind.value: NetworkPolicy(
            look.owner,
            kind.value,
            kind,
            "",
            1,
            (PolicyRule(Action.DENY, Protocol.TCP, PortRange(port, port), everybody),),
            created_at=0,
        )
        for kind, port in ((PolicyKind.EGRESS, DENIED_OUT), (PolicyKind.INGRESS, DENIED_IN))
    }


def _dnats(look: Look, ports: dict[tuple[str, str], Port]) -> Iterator[tuple[Dnat, int]]:
    external = look.external()
    target = next((port for (_, kind), port in ports.items() if kind == ANY), None)
    sets = look.scope.tables[Family.INET].sets
    if not external or target is None or not {"dnat_map", "dnat_flows"} <= sets.keys():
        return
    for protocol, number in ((Protocol.TCP, TCP), (Protocol.UDP, UDP)):
        yield Dnat(look.owner, external[0], EXTERNAL_PORT, protocol, target.addresses[0], 80, created_at=0), number


def v4_of(port: Port) -> IPv4Address:
    address = port.addresses[0]
    assert isinstance(address, IPv4Address)
    return address
