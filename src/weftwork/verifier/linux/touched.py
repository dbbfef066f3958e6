"""What a change of resources speaks of: the ports, groups and translations to look at."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.tenancy import ProjectKey
from weftwork.program.dhcp import DhcpBinding, DhcpServer
from weftwork.program.linux import (
    Bridge,
    Family,
    InterfaceAddress,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    RemoteEntry,
    Route,
    Uplink,
    Vtep,
)
from weftwork.program.resource import Resource
from weftwork.verifier.linux.group_battery import MEMBERS
from weftwork.verifier.linux.look import Look, device_by
from weftwork.verifier.linux.model import MARK
from weftwork.verifier.linux.peering_check import PEERS
from weftwork.verifier.linux.policy_check import ASKING, PREFIX
from weftwork.verifier.linux.remotes import device_behind, is_vtep
from weftwork.verifier.linux.sets import NotUnderstood

EPOCH, STAMP = "epoch", "stamp"
GUARDS = ("guard", "guard_mac")
_POLICY_MAPS = ("out_policy", "in_policy")
_NAT_SETS = ("dnat_map", "dnat_flows", "offered")
_BY_ADDRESS = ("egress", "ingress", "same")
REMOTE = "remote"
"""The addresses of ports on other hosts, whose routers send as ours does."""


@dataclass(slots=True)
class Touched:
    """What a change speaks of in one namespace. `hints` are groups by device; `rules` are what all packets pass."""

    devices: set[str] = field(default_factory=set)
    hints: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    groups: set[str] = field(default_factory=set)
    combinations: set[tuple[Family, str]] = field(default_factory=set)
    away: set[tuple[str, str]] = field(default_factory=set)
    """Devices of peers, by their namespace."""
    strange: list[NftElement] = field(default_factory=list)
    destinations: set[IPv4Network] = field(default_factory=set)
    nat: bool = False
    peerings: bool = False
    vteps: bool = False
    policies: set[str] = field(default_factory=set)
    asking: bool = False
    """Whether policies are asked, and in which order, changes."""
    rules: bool = False
    decides: bool = False
    """Something of nftables changes, so that flows must be judged again."""


def touched_by(look: Look, resources: Iterable[Resource]) -> Touched:
    """`resources` are of the namespace that is looked at."""
    touched = Touched()
    for resource in resources:
        match resource:
            case PortLink():
                touched.devices.add(resource.name)
            case Vtep(bridge=""):
                touched.nat = True
            case RemoteEntry() if not is_vtep(resource.interface):
                touched.nat = True
            case RemoteEntry():
                touched.devices.add(device_behind(resource.interface, resource.mac))
            case Vtep():
                touched.vteps = True
            case Neighbour() if isinstance(look.scope.links.get(resource.interface), Uplink | Vtep | None):
                touched.peerings = touched.nat = True
            case Neighbour(address=IPv4Address() as address) | DhcpBinding(address=IPv4Address() as address):
                _speaks_of(look, touched, int(address), resource.mac)
            case NftElement():
                _element(look, touched, resource)
            case NftChain():
                _chain(touched, resource)
            case NftSet():
                touched.decides = True
                _set(touched, resource)
            case NftTable():
                touched.decides = touched.rules = True
            case Uplink():
                touched.nat = touched.rules = touched.peerings = True
            case InterfaceAddress():
                touched.nat = touched.rules = True
            case Route(destination=IPv4Network() as destination):
                touched.nat = touched.rules = touched.peerings = True
                if resource.gateway is None or not destination.prefixlen:
                    touched.destinations.add(destination)
            case DhcpServer():
                pass
            case Namespace():
                touched.nat = touched.rules = touched.peerings = touched.vteps = True
                touched.groups |= look.project.groups.keys()
                touched.policies |= look.project.policies.keys()
                look.remember_ports()
                touched.devices |= {device_by(one) for one in look.project.ports.values() if one.attachment}
            case _:
                touched.rules = True
                if isinstance(resource, Bridge):
                    touched.vteps = True
                    touched.devices |= {one.device for one in look.some_ports(2)}
    return touched


def _element(look: Look, touched: Touched, element: NftElement) -> None:
    if element.set in (EPOCH, STAMP):
        return
    touched.decides = True
    table = look.scope.tables[element.family]
    elements = table.sets.get(element.set)
    if elements is None:
        _gone_with_its_set(touched, element.set)
        return
    key = elements.key_of(element.element)
    if element.set.startswith(MEMBERS):
        group = element.set.removeprefix(MEMBERS)
        if "/" in group:
            _speaks_of_peer(look, touched, group, int(key[0]))
        # Also of another project: its ports may be in the subnets of this one.
        for device in _speaks_of(look, touched, int(key[0])):
            touched.hints[device].add(group)
        touched.strange.append(element)
    elif element.set in GUARDS:
        touched.devices.add(device_behind(str(key[0]), str(key[1])))
        touched.strange.append(element)
    elif element.set in _BY_ADDRESS:
        for address in key:
            _speaks_of(look, touched, int(address))
        touched.strange.append(element)
    elif element.set == REMOTE:
        _speaks_of(look, touched, int(key[0]))
        touched.strange.append(element)
    elif element.set in _POLICY_MAPS:
        touched.combinations.add((element.family, element.element))
    elif element.set in _NAT_SETS:
        touched.nat = True
    elif element.set == PEERS:
        touched.peerings = touched.rules = True
    elif element.set == "gateways":
        touched.rules = True
        touched.strange.append(element)
    elif element.set.startswith(PREFIX):
        touched.policies.add(_policy_of(element.set))
    elif elements.interval:
        touched.groups.add(_group_of_set(element.set))
    else:
        raise NotUnderstood(f"set {element.set}")


def _gone_with_its_set(touched: Touched, name: str) -> None:
    """What the rules of a group or a policy compare with is looked at with them."""
    if name.startswith(("in.", "out.")):
        touched.groups.add(_group_of_set(name))
    elif name.startswith(PREFIX):
        touched.policies.add(_policy_of(name))
    else:
        touched.nat = touched.rules = True


def _speaks_of(look: Look, touched: Touched, address: int, mac: str = "") -> list[str]:
    """The devices of whoever has an address or a MAC."""
    devices = look.scope.who_has(address) + (look.scope.with_mac(mac) if mac else [])
    touched.devices.update(devices)
    return devices


def _speaks_of_peer(look: Look, touched: Touched, group: str, address: int) -> None:
    org, project, _ = group.split("/")
    for scope in look.view.owned(f"{MARK}{ProjectKey(org, project)}"):
        touched.away |= {(scope.name, device) for device in scope.who_has(address)}


def _chain(touched: Touched, chain: NftChain) -> None:
    touched.decides = True
    if chain.name.startswith(("in.", "out.")):
        touched.groups.add(chain.name.partition(".")[2])
    elif chain.name.startswith(("in/", "out/", "in_", "out_")) or chain.name in ("in", "out"):
        touched.combinations.add((chain.family, f"goto {chain.name}"))
    elif chain.name.startswith(PREFIX):
        touched.asking = True
        touched.policies.add(_policy_of(chain.name))
    elif chain.name in ASKING.values():
        touched.asking = True
    else:
        touched.rules = touched.nat = True


def _set(touched: Touched, declared: NftSet) -> None:
    if declared.name.startswith(("in.", "out.")):
        touched.groups.add(_group_of_set(declared.name))
    elif declared.name.startswith(PREFIX):
        touched.policies.add(_policy_of(declared.name))
    elif not declared.name.startswith(MEMBERS):
        touched.rules = True


def _policy_of(name: str) -> str:
    """`policy.in.apart` and `policy.in.apart.0.6.80` are of the policy `apart`."""
    return name.split(".")[2]


def _group_of_set(name: str) -> str:
    """`in.web.6.80` is of the group `web`; a group's name has no dot."""
    return name.split(".")[1]
