"""What can be asked for of a VM, checked before anything is looked at or chosen."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from weftwork.actions.words import check_mac, check_name
from weftwork.base import codes
from weftwork.base.addresses import Address, Mac
from weftwork.model.image_reference import Reference
from weftwork.model.vm import Flavour, Placement, Restart, Service

VCPUS_MAX = 32
MEMORY_MIB_RANGE = range(128, 1_048_576 + 1)
DISK_MIB_RANGE = range(64, 2_097_152 + 1)
NICS_MAX = 8
SERVICES_MAX = 32
KEYS_MAX = 64
SETTINGS_MAX = 256
TEXT_MAX = 4096
TEXTS_MAX = 32_768
"""Characters of a command or of an environment together: it all has to fit into what the guest is told."""
NAME_MAX = 60
"""So that `vm-NAME` is the name of a group."""
ARCHITECTURES = ("amd64", "arm64")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Nic:
    """N §11.3's NetworkSpec; what is empty is chosen."""

    subnet: str = ""
    mac: Mac | None = None
    address: Address | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A VM as it is asked for: what it names is looked up later."""

    name: str
    image: str
    flavour: Flavour = field(default_factory=Flavour)
    nics: tuple[Nic, ...] = field(default_factory=lambda: (Nic(),))
    ssh_keys: tuple[str, ...] = ()
    public_keys: tuple[str, ...] = ()
    """Whole keys, of the one who asks, beside those that are named; with them, no name is needed."""
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    services: tuple[Service, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    restart: Restart = Restart.ON_FAILURE
    placement: Placement = field(default_factory=Placement)
    is_started: bool = True


def check_wanted(wanted: Wanted) -> None:
    """Refusals INVALID_NAME, INVALID_IMAGE_REFERENCE, INVALID_VM, INVALID_MAC, MAC_RESERVED, IPV6_NOT_SUPPORTED."""
    check_name(wanted.name, "VM")
    if len(wanted.name) > NAME_MAX:
        raise codes.INVALID_NAME.refusal(f"VM name {wanted.name!r} has more than {NAME_MAX} characters", field="name")
    Reference.parse(wanted.image)
    check_flavour(wanted.flavour)
    _check_count(wanted.nics, 1, NICS_MAX, "nics")
    _check_count(wanted.ssh_keys, 0, KEYS_MAX, "ssh_key_ids")
    for nic in wanted.nics:
        if nic.mac is not None:
            check_mac(nic.mac)
        if nic.address is not None and nic.address.version != 4:
            raise codes.IPV6_NOT_SUPPORTED.refusal(f"{nic.address} is an IPv6 address", field="nics")
    if len({nic.mac for nic in wanted.nics if nic.mac}) < sum(nic.mac is not None for nic in wanted.nics):
        raise _invalid("two NICs have the same MAC", "nics")
    places = [(nic.subnet, nic.address) for nic in wanted.nics if nic.address is not None]
    if twice := next((address for one, address in places if places.count((one, address)) > 1), None):
        raise codes.IP_ALREADY_ALLOCATED.refusal(f"{twice} is asked for by two NICs", field="nics")
    _check_services(wanted.services)
    _check_texts(wanted.command, "command")
    _check_settings(wanted.environment, "environment")
    for name, _ in wanted.environment:
        if not _VARIABLE.fullmatch(name):
            raise _invalid(f"{name[:64]!r} is no name of an environment variable", "environment")
    _check_settings(wanted.metadata, "metadata")
    _check_placement(wanted.name, wanted.placement)


def check_flavour(flavour: Flavour) -> None:
    """Refusal INVALID_VM."""
    if not 1 <= flavour.vcpus <= VCPUS_MAX:
        raise _invalid(f"{flavour.vcpus} vCPUs are not from 1 to {VCPUS_MAX}", "flavour.vcpus")
    if flavour.memory_mib not in MEMORY_MIB_RANGE:
        raise _invalid(f"{flavour.memory_mib} MiB of memory are not {_told(MEMORY_MIB_RANGE)}", "flavour.memory_mib")
    if flavour.disk_mib not in DISK_MIB_RANGE:
        raise _invalid(f"{flavour.disk_mib} MiB of disk are not {_told(DISK_MIB_RANGE)}", "flavour.disk_mib")


def _check_services(services: tuple[Service, ...]) -> None:
    _check_count(services, 0, SERVICES_MAX, "services")
    for service in services:
        check_name(service.name, "service")
        if not 1 <= service.port <= 65535:
            raise _invalid(f"service {service.name}: {service.port} is no port", "services")
        if service.protocol not in ("tcp", "udp"):
            raise _invalid(f"service {service.name}: its protocol is neither tcp nor udp", "services")
    if len({one.name for one in services}) < len(services):
        raise _invalid("two services have the same name", "services")


def _check_placement(name: str, placement: Placement) -> None:
    if placement.architecture not in ("", *ARCHITECTURES):
        raise _invalid(f"an architecture is one of {', '.join(ARCHITECTURES)}", "placement.architecture")
    for other in (*placement.near, *placement.apart_from):
        check_name(other, "VM")
        if other == name:
            raise _invalid("a VM is neither near nor apart from itself", "placement")
    if both := set(placement.near) & set(placement.apart_from):
        raise _invalid(f"it is to be near {min(both)} and apart from it", "placement")
    _check_count((*placement.near, *placement.apart_from, *placement.labels), 0, SETTINGS_MAX, "placement")


def _check_settings(settings: tuple[tuple[str, str], ...], field: str) -> None:
    _check_count(settings, 0, SETTINGS_MAX, field)
    if len({key for key, _ in settings}) < len(settings):
        raise _invalid(f"{field} says something twice", field)
    _check_texts((text for pair in settings for text in pair), field)


def _check_texts(texts: Iterable[str], field: str) -> None:
    total = 0
    for text in texts:
        total += len(text)
        if "\0" in text:
            raise _invalid(f"{field} has a NUL in it", field)
        if len(text) > TEXT_MAX or total > TEXTS_MAX:
            raise _invalid(f"{field} is longer than {TEXT_MAX} characters each, {TEXTS_MAX} together", field)


def _check_count(things: tuple[object, ...], least: int, most: int, field: str) -> None:
    if not least <= len(things) <= most:
        raise _invalid(f"{field} has {len(things)} entries, not from {least} to {most}", field)


def _told(allowed: range) -> str:
    return f"from {allowed.start} to {allowed.stop - 1}"


def _invalid(why: str, field: str) -> Exception:
    return codes.INVALID_VM.refusal(why, field=field)
