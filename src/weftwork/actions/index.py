"""One project's intent with what choosing needs beside it, kept up to date thing by thing."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, assert_never

from weftwork.actions import rows
from weftwork.allocator.addresses import offset_of
from weftwork.allocator.bitmap import Bitmap
from weftwork.base.addresses import Address, Cidr, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent, Thing
from weftwork.model.keys import Kind, ThingKey, peer_in
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import GroupRef, SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc

K = TypeVar("K")
_NONE: Mapping[str, int] = {}


class ProjectIndex:
    """Lives as long as anything of the project does: a VPC that was deleted and made again has a new one."""

    def __init__(self, owner: ProjectKey) -> None:
        self.owner = owner
        self.intent = ProjectIntent()
        self._revisions: dict[Kind, dict[str, int]] = {}
        self.port_by_name: dict[str, str] = {}
        self.port_by_address: dict[Address, str] = {}
        self.port_by_mac: dict[Mac, str] = {}
        self.lodgers: dict[str, Port] = {}
        """Ports of other projects in this one's subnets."""
        self._used: dict[str, _Used] = {}
        self._ports_of_subnet: dict[str, dict[str, None]] = {}
        self._members: dict[str, dict[str, None]] = {}
        self._dnats_at: dict[Address, dict[str, None]] = {}
        self._sorted_ports: tuple[str, ...] | None = None

    def __copy__(self) -> "ProjectIndex":
        """With shelves of its own; the things are values."""
        mine = ProjectIndex(self.owner)
        mine._revisions = {kind: dict(names) for kind, names in self._revisions.items()}
        mine.intent = self.intent.copy()
        mine.port_by_name = dict(self.port_by_name)
        mine.port_by_address = dict(self.port_by_address)
        mine.port_by_mac = dict(self.port_by_mac)
        mine.lodgers = dict(self.lodgers)
        mine._used = {name: used.copy() for name, used in self._used.items()}
        mine._ports_of_subnet = {name: dict(ports) for name, ports in self._ports_of_subnet.items()}
        mine._members = {name: dict(ports) for name, ports in self._members.items()}
        mine._dnats_at = {address: dict(names) for address, names in self._dnats_at.items()}
        mine._sorted_ports = self._sorted_ports
        return mine

    def put(self, thing: Thing, revision: int) -> None:
        key = rows.key_of(thing)
        self._revisions.setdefault(key.kind, {})[key.name] = revision
        match thing:
            case Port():
                self._put_port(thing)
            case Vpc():
                self.intent.vpc = thing
            case Subnet():
                self.intent.subnets[thing.name] = thing
            case SecurityGroup():
                self.intent.groups[thing.name] = thing
            case Snat():
                self.intent.snat = thing
            case Dnat():
                self._remove_dnat(thing.name)
                self.intent.dnats[thing.name] = thing
                self._dnats_at.setdefault(thing.internal_ip, {})[thing.name] = None
            case Peering():
                self.intent.peerings[thing.peer] = thing
            case NetworkPolicy():
                self.intent.policies[thing.name] = thing
            case ReachTest():
                self.intent.reach_tests[thing.name] = thing
            case SubnetShare():
                self.intent.shares[thing.name] = thing
            case Vm():
                self.intent.vms[thing.name] = thing
            case SshKey():
                self.intent.ssh_keys[thing.name] = thing
            case _:
                assert_never(thing)

    def remove(self, key: ThingKey) -> None:
        self._revisions.get(key.kind, {}).pop(key.name, None)
        match key.kind:
            case "port":
                self._remove_port(key.name)
            case "vpc":
                self.intent.vpc = None
            case "subnet":
                self.intent.subnets.pop(key.name, None)
                self._used.pop(key.name, None)
            case "security-group":
                self.intent.groups.pop(key.name, None)
            case "snat":
                self.intent.snat = None
            case "dnat":
                self._remove_dnat(key.name)
            case "peering":
                self.intent.peerings.pop(peer_in(key), None)
            case "network-policy":
                self.intent.policies.pop(key.name, None)
            case "reach-test":
                self.intent.reach_tests.pop(key.name, None)
            case "subnet-share":
                self.intent.shares.pop(key.name, None)
            case "vm":
                self.intent.vms.pop(key.name, None)
            case "ssh-key":
                self.intent.ssh_keys.pop(key.name, None)
            case _:
                assert_never(key.kind)

    def get(self, key: ThingKey) -> Thing | None:
        match key.kind:
            case "port":
                return self.intent.ports.get(key.name)
            case "vpc":
                return self.intent.vpc
            case "subnet":
                return self.intent.subnets.get(key.name)
            case "security-group":
                return self.intent.groups.get(key.name)
            case "snat":
                return self.intent.snat
            case "dnat":
                return self.intent.dnats.get(key.name)
            case "peering":
                return self.intent.peerings.get(peer_in(key))
            case "network-policy":
                return self.intent.policies.get(key.name)
            case "reach-test":
                return self.intent.reach_tests.get(key.name)
            case "subnet-share":
                return self.intent.shares.get(key.name)
            case "vm":
                return self.intent.vms.get(key.name)
            case "ssh-key":
                return self.intent.ssh_keys.get(key.name)
            case _:
                assert_never(key.kind)

    def revision_of(self, key: ThingKey) -> int:
        """The revision that last wrote the thing; 0 when there is none."""
        return self._revisions.get(key.kind, _NONE).get(key.name, 0)

    def thing_keys(self) -> Iterator[ThingKey]:
        return (ThingKey(kind, self.owner, name) for kind, names in self._revisions.items() for name in names)

    def things(self) -> Iterator[Thing]:
        """As `ProjectIntent.things`."""
        return self.intent.things()

    def used(self, subnet: Subnet) -> Bitmap:
        """The offsets inside the subnet of all addresses that its ports have."""
        return self._used_in(subnet.name, subnet.cidr).offsets

    def ports_of_subnet(self, subnet: str) -> Iterator[Port]:
        return (self.intent.ports[port_id] for port_id in self._ports_of_subnet.get(subnet, ()))

    def lodgers_in(self, subnet: str, to: ProjectKey | None = None) -> list[Port]:
        """Ports of other projects in a subnet, or those of one project."""
        return [one for one in self.lodgers.values() if one.subnet == subnet and to in (None, one.owner)]

    def shares_of(self, subnet: str) -> list[SubnetShare]:
        return [one for one in self.intent.shares.values() if one.subnet == subnet]

    def put_lodger(self, port: Port) -> None:
        self.remove_lodger(port.id)
        self.lodgers[port.id] = port
        self._place(port)

    def remove_lodger(self, port_id: str) -> None:
        port = self.lodgers.pop(port_id, None)
        if port:
            self._displace(port)

    def members(self, group: str) -> Iterator[Port]:
        return (self.intent.ports[port_id] for port_id in self._members.get(group, ()))

    def vm_of_port(self, port_id: str) -> Vm | None:
        """The VM that the port came with."""
        return next((one for one in self.intent.vms.values() if port_id in one.ports), None)

    def vms_at(self, ports: Iterable[Port]) -> tuple[list[Vm], list[Port]]:
        """The VMs that the ports came with, and their ports besides these."""
        given = [port.id for port in ports]
        vms = [one for one in self.intent.vms.values() if not set(given).isdisjoint(one.ports)]
        return vms, [self.intent.ports[one] for vm in vms for one in vm.ports if one not in given]

    def groups_naming(self, group: str) -> Iterator[SecurityGroup]:
        """Other groups with a rule that names `group`."""
        return (one for one in self.intent.groups.values() if one.name != group and _names(one, group))

    def policies_naming_group(self, group: str) -> Iterator[NetworkPolicy]:
        return (one for one in self.intent.policies.values() if group in one.groups_named)

    def policies_naming_subnet(self, subnet: str) -> Iterator[NetworkPolicy]:
        """In a rule, or as their target."""
        return (one for one in self.intent.policies.values() if subnet in one.subnets_named)

    def peering_named(self, name: str) -> Peering | None:
        return next((one for one in self.intent.peerings.values() if one.name == name), None)

    def dnats_at(self, address: Address) -> Iterator[Dnat]:
        return (self.intent.dnats[name] for name in self._dnats_at.get(address, ()))

    def sorted_ports(self) -> tuple[str, ...]:
        """The ids of all ports, in order; remembered until a port comes or goes."""
        if self._sorted_ports is None:
            self._sorted_ports = tuple(sorted(self.intent.ports))
        return self._sorted_ports

    def _remove_dnat(self, name: str) -> None:
        dnat = self.intent.dnats.pop(name, None)
        if dnat:
            _drop(self._dnats_at, dnat.internal_ip, dnat.name)

    def _put_port(self, port: Port) -> None:
        old = self.intent.ports.get(port.id)
        if old is not None and (old.subnet, old.name, old.mac, old.addresses) == (
            port.subnet,
            port.name,
            port.mac,
            port.addresses,
        ):
            self._leave_groups(old)
        elif old is not None:
            self._remove_port(port.id)
        if port.id not in self.intent.ports:
            self._add_port(port)
        self.intent.ports[port.id] = port
        for group in port.groups:
            self._members.setdefault(group, {})[port.id] = None

    def _add_port(self, port: Port) -> None:
        self._sorted_ports = None
        if port.name:
            self.port_by_name[port.name] = port.id
        if not port.lender:
            self._ports_of_subnet.setdefault(port.subnet, {})[port.id] = None
            self._place(port)

    def _place(self, port: Port) -> None:
        """A port is in a subnet of this project."""
        self.port_by_mac[port.mac] = port.id
        for address in port.addresses:
            self.port_by_address[address] = port.id
            used = self._used.get(port.subnet)
            if used:
                used.offsets.add(offset_of(used.cidr, address))

    def _displace(self, port: Port) -> None:
        self.port_by_mac.pop(port.mac, None)
        used = self._used.get(port.subnet)
        for address in port.addresses:
            self.port_by_address.pop(address, None)
            if used:
                used.offsets.discard(offset_of(used.cidr, address))

    def _remove_port(self, port_id: str) -> None:
        port = self.intent.ports.pop(port_id, None)
        if port is None:
            return
        self._sorted_ports = None
        self.port_by_name.pop(port.name, None)
        self._leave_groups(port)
        if not port.lender:
            _drop(self._ports_of_subnet, port.subnet, port_id)
            self._displace(port)

    def _leave_groups(self, port: Port) -> None:
        for group in port.groups:
            _drop(self._members, group, port.id)

    def _used_in(self, subnet: str, cidr: Cidr) -> "_Used":
        """Built when it is first asked for, because a port may come before its subnet when the store is read."""
        used = self._used.get(subnet)
        if used is None or used.cidr != cidr:
            used = self._used[subnet] = _Used(cidr)
            for port in (*self.ports_of_subnet(subnet), *self.lodgers_in(subnet)):
                for address in port.addresses:
                    used.offsets.add(offset_of(cidr, address))
        return used


class _Used:
    __slots__ = ("cidr", "offsets")

    def __init__(self, cidr: Cidr, offsets: Bitmap | None = None) -> None:
        self.cidr = cidr
        self.offsets = offsets if offsets is not None else Bitmap()

    def copy(self) -> "_Used":
        return _Used(self.cidr, self.offsets.copy())


def _names(group: SecurityGroup, other: str) -> bool:
    return any(rule.peer == GroupRef(other) for rule in (*group.ingress, *group.egress))


def _drop(index: dict[K, dict[str, None]], key: K, name: str) -> None:
    names = index.get(key)
    if names is not None:
        names.pop(name, None)
        if not names:
            del index[key]
