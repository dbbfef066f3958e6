"""Ports: the address and the MAC are chosen when the port is created, and stay until it is deleted."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address

from weftwork.actions import rows
from weftwork.actions.claims import Draft, change, creation, plug_of
from weftwork.actions.dependents import in_use, removals, told_of
from weftwork.actions.external import release
from weftwork.actions.find import DEFAULT, group_of, port_of, usable_subnet, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.reach_guard import tests_naming
from weftwork.actions.subnets import dnats_to
from weftwork.actions.words import check_interface, check_mac, check_netns, check_port_name, check_vm
from weftwork.allocator.addresses import why_reserved
from weftwork.base import codes
from weftwork.base.addresses import Address, Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.host import Host, is_gateway
from weftwork.model.keys import ThingKey
from weftwork.model.port import TAP, Attachment, AttachmentKind, Port
from weftwork.model.security_group import SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.seams.store import Compare, Empty, Unchanged

GROUPS_MAX = 16
INTERFACE = "eth0"


async def create_port(
    network: Network,
    *,
    owner: ProjectKey,
    subnet: str = DEFAULT,
    name: str = "",
    vm: str = "",
    mac: Mac | None = None,
    address: Address | None = None,
    groups: tuple[str, ...] = (),
) -> Stored[Port]:
    """A port, attached at once when a VM is given; without groups it gets the group `default`.

    Refusals INVALID_NAME, FIELD_TOO_LONG, INVALID_ARGUMENT, INVALID_MAC, MAC_RESERVED, MAC_ALREADY_USED,
    VPC_NOT_FOUND, SUBNET_NOT_FOUND, SECURITY_GROUP_NOT_FOUND, TOO_MANY_SECURITY_GROUPS, PORT_ALREADY_EXISTS,
    IPV6_NOT_SUPPORTED, IP_OUTSIDE_SUBNET, IP_RESERVED, IP_ALREADY_ALLOCATED, SUBNET_EXHAUSTED, MAC_EXHAUSTED,
    HOST_NOT_NAMED.
    """
    if name:
        check_port_name(name)
    check_vm(vm)
    if vm:
        check_place(network, "")
    if mac is not None:
        check_mac(mac)
    if address is not None and address.version != 4:
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{address} is an IPv6 address", field="ip_address")

    def decide() -> Decision[Port]:
        here, _ = vpc_of(network, owner)
        into = usable_subnet(network, here, owner, subnet or DEFAULT)
        members_of = groups_of(here, owner, groups or (DEFAULT,))
        existing = here.intent.ports.get(here.port_by_name.get(name, "")) if name else None
        if existing is not None:
            _check_same(existing, into, vm, mac, address, members_of if groups else None)
            return _unchanged(network, existing)
        port, draft, claim = new_port(
            network, here, into, name=name, vm=vm, mac=mac, address=address, groups=members_of
        )
        return Decision(port, draft, holds=(claim,))

    return await network.run(owner, decide, alone=False)


def new_port(
    network: Network,
    here: ProjectIndex,
    into: Subnet,
    *,
    groups: list[SecurityGroup],
    name: str = "",
    vm: str = "",
    mac: Mac | None = None,
    address: Address | None = None,
) -> tuple[Port, Draft, str]:
    """A port that does not exist yet, what makes it, and the claim that was chosen for it. Raises MacsNeeded.

    Refusals MAC_ALREADY_USED, IP_OUTSIDE_SUBNET, IP_RESERVED, IP_ALREADY_ALLOCATED, SUBNET_EXHAUSTED, MAC_EXHAUSTED.
    """
    owner, there = here.owner, vpc_of(network, into.owner)[0]
    if mac is not None and mac in there.port_by_mac:
        raise codes.MAC_ALREADY_USED.refusal(f"{mac} is {_told(here, there.port_by_mac[mac])}'s", field="mac_address")
    if isinstance(address, IPv4Address):
        _check_address(here, there, into, address)
        chosen, claim = address, keys.allocated(into.owner, into.name, address)
    else:
        chosen, claim = network.choices.address(there, into)
    own_mac = mac or network.choices.mac(there, into.owner)
    if address is None:
        network.choices.took_address(there, into, chosen)
    port = Port(
        owner=owner,
        id=network.new_id(),
        name=name,
        subnet=into.name,
        vm=vm,
        mac=own_mac,
        addresses=(chosen,),
        groups=_alike(tuple(one.name for one in groups)),
        attachment=TAP if vm else None,
        created_at=network.clock.now_s(),
        lender=None if into.owner == owner else into.owner,
    )
    draft = creation(port) + Draft((*_still_lent(network, port), *_still_there(network, groups)))
    return port, draft, claim


async def delete_port(network: Network, *, owner: ProjectKey, port: str, cascade: bool) -> None:
    """With `cascade`, with the DNAT that points at it and the reach tests that name it.

    Refusals PORT_NOT_FOUND, IN_USE.
    """

    def decide() -> Decision[None]:
        here, _ = vpc_of(network, owner)
        gone = port_of(here, owner, port)
        _check_alone(here, gone)
        dnats = dnats_to(here, [gone])
        tests = tests_naming(here.intent, [gone])
        if (dnats or tests) and not cascade:
            raise in_use(told_of(gone), [*dnats, *tests])
        since = network.view.revision if dnats else 0
        # In another project's subnet its address says nothing about addresses of this VPC.
        own = () if gone.lender else gone.addresses
        seen_all = Draft(tuple(Empty(keys.dnat_target(owner, address), since) for address in own))
        return Decision(None, removals(network, [gone, *dnats, *tests]) + release(network, here, dnats) + seen_all)

    await network.run(owner, decide, alone=False)


async def attach_port(network: Network, *, owner: ProjectKey, port: str, vm: str, host: str = "") -> Stored[Port]:
    """Gives the port to a VM of the server's machine or of a host of the fleet: a TAP there. On another host it moves.

    Refusals PORT_NOT_FOUND, PORT_ALREADY_ATTACHED, MISSING_FIELD, FIELD_TOO_LONG, NO_FLEET, HOST_NOT_NAMED,
    HOST_NOT_FOUND, HOST_DRAINING, BACKEND_UNSUPPORTED.
    """
    if not vm:
        raise codes.MISSING_FIELD.refusal("no VM is named", field="vm_id")
    check_vm(vm)
    check_place(network, host)
    at = replace(TAP, host=host)

    def attached(here: ProjectIndex, old: Port) -> Port:
        _check_alone(here, old)
        is_there = old.attachment is None or (old.vm, old.attachment) == (vm, at)
        if not is_there and not (old.vm == vm and _moves(old.attachment, at)):
            raise codes.PORT_ALREADY_ATTACHED.refusal(f"{told_of(old)} is {_whereabouts(old)}")
        return replace(old, vm=vm, attachment=at)

    return await _change(network, owner, port, attached, on=host)


def check_place(network: Network, host: str) -> None:
    """A fleet's ports are on its hosts, one machine's on itself. Refusals NO_FLEET, HOST_NOT_NAMED."""
    if host and not network.settings.has_fleet:
        raise codes.NO_FLEET.refusal("this server listens for no agents")
    if not host and network.settings.has_fleet:
        raise codes.HOST_NOT_NAMED.refusal("this server's own machine carries no ports", field="host")


async def detach_port(network: Network, *, owner: ProjectKey, port: str) -> Stored[Port]:
    """Takes the port from its VM, if it has one. Refusals PORT_NOT_FOUND, PORT_ATTACHED_OTHERWISE."""

    def detached(here: ProjectIndex, old: Port) -> Port:
        _check_alone(here, old)
        if old.attachment is not None and old.attachment.kind is not AttachmentKind.TAP:
            raise codes.PORT_ATTACHED_OTHERWISE.refusal(f"{told_of(old)} is {_whereabouts(old)}: unplug it")
        return replace(old, vm="", attachment=None)

    return await _change(network, owner, port, detached)


async def plug_port(
    network: Network, *, owner: ProjectKey, port: str, netns: str, interface: str = INTERFACE, host: str = ""
) -> Stored[Port]:
    """Puts the port's far end into a network namespace of the server's machine or of a host of the fleet, so that the
    namespace is the guest. A port that is plugged on another host moves.

    Refusals PORT_NOT_FOUND, PORT_ALREADY_ATTACHED, INVALID_NETNS, INVALID_INTERFACE, INTERFACE_IN_USE, NO_FLEET,
    HOST_NOT_NAMED, HOST_NOT_FOUND, HOST_DRAINING, BACKEND_UNSUPPORTED.
    """
    if not network.settings.plugs_in:
        raise codes.NOTHING_TO_PLUG_INTO.refusal("this server has no chassis of its own")
    check_place(network, host)
    plugged_in = Attachment(AttachmentKind.NETNS, netns, interface or INTERFACE, host)
    check_netns(plugged_in.netns)
    check_interface(plugged_in.interface)
    claim = plug_of(plugged_in)

    def plugged(here: ProjectIndex, old: Port) -> Port:
        _check_alone(here, old)
        if old.attachment not in (None, plugged_in) and not _moves(old.attachment, plugged_in):
            raise codes.PORT_ALREADY_ATTACHED.refusal(f"{told_of(old)} is {_whereabouts(old)}")
        if network.view.plugs.get(claim, old.id) != old.id:
            raise codes.INTERFACE_IN_USE.refusal(f"namespace {netns!r} has a port at {plugged_in.interface!r} already")
        return replace(old, attachment=plugged_in)

    return await _change(network, owner, port, plugged, on=host)


def _moves(old: Attachment | None, new: Attachment) -> bool:
    """From one host of the fleet to another."""
    return old is not None and old.kind is new.kind and bool(old.host and new.host) and old.host != new.host


async def unplug_port(network: Network, *, owner: ProjectKey, port: str) -> Stored[Port]:
    """Takes the port out of its namespace, if it is in one. Refusals PORT_NOT_FOUND, PORT_ATTACHED_OTHERWISE."""

    def unplugged(here: ProjectIndex, old: Port) -> Port:
        if old.attachment is not None and old.attachment.kind is not AttachmentKind.NETNS:
            raise codes.PORT_ATTACHED_OTHERWISE.refusal(f"{told_of(old)} is {_whereabouts(old)}: detach it")
        return replace(old, attachment=None)

    return await _change(network, owner, port, unplugged)


async def set_security_groups(
    network: Network, *, owner: ProjectKey, port: str, groups: tuple[str, ...]
) -> Stored[Port]:
    """Exactly these; none at all means that nothing is allowed.

    Refusals PORT_NOT_FOUND, SECURITY_GROUP_NOT_FOUND, TOO_MANY_SECURITY_GROUPS.
    """

    def regrouped(here: ProjectIndex, old: Port) -> Port:
        return replace(old, groups=tuple(one.name for one in groups_of(here, owner, groups)))

    return await _change(network, owner, port, regrouped)


async def _change(
    network: Network, owner: ProjectKey, text: str, changed: Callable[[ProjectIndex, Port], Port], *, on: str = ""
) -> Stored[Port]:
    """`on` is the host of the fleet that the port comes to be on."""

    def decide() -> Decision[Port]:
        here, _ = vpc_of(network, owner)
        old = port_of(here, owner, text)
        new = changed(here, old)
        if new == old:
            return _unchanged(network, old)
        joined = [here.intent.groups[name] for name in new.groups if name not in old.groups]
        revision = network.view.revision_of(rows.key_of(old))
        draft = change(old, new, revision) + Draft(_still_there(network, joined))
        if not on:
            return Decision(new, draft)
        placed, holds = _placed(network, new, on)
        return Decision(new, draft + placed, holds=holds)

    return await network.run(owner, decide, alone=False)


def _placed(network: Network, port: Port, host: str) -> tuple[Draft, tuple[str, ...]]:
    """What a port on a host of the fleet needs besides: the host, and a name for its subnet on the wire."""
    there, revision = network.view.hosts.get(host, (None, 0))
    if there is None:
        raise codes.HOST_NOT_FOUND.refusal(f"there is no host {host!r}")
    if there.is_draining:
        raise codes.HOST_DRAINING.refusal(f"{host} is being drained")
    if is_gateway(there):
        message = f"{host} is a gateway, which holds no ports; its roles are {_told_roles(there)}"
        raise codes.INVALID_ARGUMENT.refusal(message, field="host")
    home = network.view.intent.get(port.home)
    if home is not None and home.peerings:
        message = f"{port.home} has peerings, which are not carried on hosts of the fleet"
        raise codes.BACKEND_UNSUPPORTED.refusal(message, hint="Plug a port of a VPC without peerings.")
    draft = Draft((Unchanged(keys.host(host), revision),))
    key = ThingKey("subnet", port.home, port.subnet)
    subnet = network.view.find(key)
    if not isinstance(subnet, Subnet) or subnet.vni:
        return draft, ()
    vni, claim = network.choices.vni()
    return draft + change(subnet, replace(subnet, vni=vni), network.view.revision_of(key)), (claim,)


@lru_cache(maxsize=4096)
def _alike(groups: tuple[str, ...]) -> tuple[str, ...]:
    """One object in memory for the many ports that have the same."""
    return groups


def _told_roles(host: Host) -> str:
    return ", ".join(sorted(role.value for role in host.roles))


def _check_alone(here: ProjectIndex, port: Port) -> None:
    """Refusal PORT_OF_VM."""
    if vm := here.vm_of_port(port.id):
        raise codes.PORT_OF_VM.refusal(f"{told_of(port)} is VM {vm.name}'s", vm=vm.name)


def groups_of(here: ProjectIndex, owner: ProjectKey, texts: tuple[str, ...]) -> list[SecurityGroup]:
    """Each once, by name."""
    groups = {group.name: group for group in (group_of(here, owner, text) for text in texts)}
    if len(groups) > GROUPS_MAX:
        raise codes.TOO_MANY_SECURITY_GROUPS.refusal(
            f"{len(groups)} security groups are asked for, a port has at most {GROUPS_MAX}", field="security_group_ids"
        )
    return [groups[name] for name in sorted(groups)]


def _still_there(network: Network, groups: list[SecurityGroup]) -> tuple[Compare, ...]:
    things = (ThingKey("security-group", group.owner, group.name) for group in groups)
    return tuple(Unchanged(str(key), network.view.revision_of(key)) for key in things)


def _still_lent(network: Network, port: Port) -> tuple[Compare, ...]:
    """The subnet is there and, when it is another project's, shared."""
    things = [ThingKey("subnet", port.home, port.subnet)]
    if port.lender:
        things.append(ThingKey("subnet-share", port.lender, f"{port.subnet}/{port.owner}"))
    return tuple(Unchanged(str(key), network.view.revision_of(key)) for key in things)


def _check_address(here: ProjectIndex, there: ProjectIndex, subnet: Subnet, address: Address) -> None:
    if address not in subnet.cidr:
        raise codes.IP_OUTSIDE_SUBNET.refusal(
            f"{address} is not inside subnet {subnet.name!r} ({subnet.cidr})", field="ip_address"
        )
    why = why_reserved(subnet.cidr, address)
    if why:
        raise codes.IP_RESERVED.refusal(f"{address} is the {why} of subnet {subnet.name!r}", field="ip_address")
    taken_by = there.port_by_address.get(address)
    if taken_by is not None:
        raise codes.IP_ALREADY_ALLOCATED.refusal(f"{address} is {_told(here, taken_by)}'s", field="ip_address")


def _check_same(
    port: Port,
    subnet: Subnet,
    vm: str,
    mac: Mac | None,
    address: Address | None,
    groups: list[SecurityGroup] | None,
) -> None:
    """What was not specified is not compared."""
    differences = []
    if (subnet.owner, subnet.name) != (port.home, port.subnet):
        differences.append(f"it is in subnet {port.subnet!r}, not {subnet.name!r}")
    if vm not in ("", port.vm):
        differences.append(f"its VM is {port.vm or 'none'}, not {vm}")
    if mac not in (None, port.mac):
        differences.append(f"its MAC is {port.mac}, not {mac}")
    if address is not None and address not in port.addresses:
        differences.append(f"its address is {', '.join(str(one) for one in port.addresses)}, not {address}")
    if groups is not None and tuple(one.name for one in groups) != port.groups:
        differences.append(f"its security groups are {', '.join(port.groups) or 'none'}")
    if differences:
        raise codes.PORT_ALREADY_EXISTS.refusal(f"port {port.name!r} exists: {', '.join(differences)}")


def _unchanged(network: Network, port: Port) -> Decision[Port]:
    return Decision(port, revision=network.view.revision_of(rows.key_of(port)))


def _told(here: ProjectIndex, port_id: str) -> str:
    """Whoever's it is: the names of other projects' ports are theirs."""
    port = here.intent.ports.get(port_id)
    return told_of(port) if port else "another project"


def _whereabouts(port: Port) -> str:
    if port.attachment is not None and port.attachment.kind is AttachmentKind.NETNS:
        where = f" on host {port.attachment.host}" if port.attachment.host else ""
        return f"plugged into namespace {port.attachment.netns!r} as {port.attachment.interface!r}{where}"
    return f"attached to VM {port.vm!r}"
