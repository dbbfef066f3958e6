"""VMs of one host into the guests that it runs. What carries their packets is compiled elsewhere, from their ports."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent
from weftwork.model.port import Port
from weftwork.model.vm import Vm
from weftwork.program.guest import Guest, GuestNic
from weftwork.program.resource import Program, SliceId

SEED_BYTES = 32
_INFO = b"weftwork ssh host key "


@dataclass(frozen=True, slots=True)
class GuestProfile:
    """`host` is the host of the fleet, empty for the server's own machine. `device_netns` is where the devices of
    ports are; None: each in its VPC's namespace. From `secret`, the host keys of all guests are derived.
    """

    secret: bytes = field(repr=False)
    host: str = ""
    mtu_bytes: int = 1500
    device_netns: str | None = None


def compile_guests(intent: Intent, slice_id: SliceId, profile: GuestProfile) -> Program:
    """One slice: a guest, or nothing when the VM is elsewhere, or its image is not known yet."""
    kind, *rest = slice_id
    if kind != "vm":
        return frozenset()
    org, project, name = rest
    own = intent.get(ProjectKey(org, project))
    vm = own.vms.get(name) if own else None
    if vm is None or vm.host != profile.host or not vm.digest:
        return frozenset()
    return frozenset((compile_guest(intent, vm, profile),))


def compile_guest(intent: Intent, vm: Vm, profile: GuestProfile) -> Guest:
    ports = [intent[vm.owner].ports[port_id] for port_id in vm.ports]
    return Guest(
        id=vm.id,
        scope=_scope(intent, ports, profile),
        hostname=vm.name,
        vcpus=vm.flavour.vcpus,
        memory_mib=vm.flavour.memory_mib,
        disk_mib=vm.flavour.disk_mib,
        image=vm.digest,
        nics=tuple(_nics(intent, ports, profile)),
        command=vm.command,
        environment=vm.environment,
        authorized_keys=vm.authorized_keys,
        host_key_seed=host_key_seed(profile.secret, vm.id),
        restart=vm.restart.value,
        running=vm.is_started,
        run=vm.run,
    )


def host_key_seed(secret: bytes, vm_id: str) -> bytes:
    """HKDF's expansion (RFC 5869) of a secret that is random already; one block is a whole seed."""
    return hmac.digest(secret, _INFO + vm_id.encode() + b"\1", "sha256")


def _scope(intent: Intent, ports: list[Port], profile: GuestProfile) -> str:
    """All devices of a VM are in one place: its first port's."""
    if profile.device_netns is not None or not ports:
        return profile.device_netns or ""
    vpc = intent[ports[0].home].vpc
    assert vpc is not None, "a port has a VPC"
    return vpc.netns


def _nics(intent: Intent, ports: list[Port], profile: GuestProfile) -> Iterator[GuestNic]:
    for number, port in enumerate(ports):
        subnet = intent[port.home].subnets[port.subnet]
        address = port.addresses[0]
        assert isinstance(address, IPv4Address), "addresses of ports are IPv4"
        yield GuestNic(
            port=port.id,
            device=port.device,
            mac=port.mac,
            address=IPv4Interface((address, subnet.cidr.prefixlen)),
            # With several cards, the first leads outside.
            gateway=_ipv4(subnet.gateway) if number == 0 else None,
            dns_servers=tuple(one for one in subnet.dns_servers if isinstance(one, IPv4Address)),
            domain=subnet.domain_name,
            mtu_bytes=profile.mtu_bytes,
        )


def _ipv4(address: object) -> IPv4Address | None:
    return address if isinstance(address, IPv4Address) else None
