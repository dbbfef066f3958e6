"""Checks of single words and texts that actions are given; they hold whatever door a call came through."""

import re

from weftwork.allocator.macs import GATEWAY_PREFIX
from weftwork.base import codes
from weftwork.base.addresses import Mac, parse_mac
from weftwork.base.tenancy import NAME

DESCRIPTION_MAX = 1024
VM_MAX = 128

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NETNS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OUR_NETNS = "weft-"
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_DOMAIN_MAX = 253


def check_name(name: str, noun: str) -> None:
    """Names go into keys, DNS and interface aliases as they are. Refusal INVALID_NAME."""
    if not NAME.fullmatch(name):
        raise codes.INVALID_NAME.refusal(
            f"{noun} name {_shown(name)} is not a label of a-z, 0-9 and -, at most 63, neither first nor last a -"
        )


def check_port_name(name: str) -> None:
    check_name(name, "port")
    if _UUID.fullmatch(name):
        raise codes.INVALID_NAME.refusal(f"port name {name!r} has the form of an id; ports are found by either")


def check_description(text: str) -> None:
    if len(text) > DESCRIPTION_MAX:
        raise codes.FIELD_TOO_LONG.refusal(
            f"description has {len(text)} characters, at most {DESCRIPTION_MAX} fit", field="description"
        )
    if not all(one.isprintable() or one in "\n\t" for one in text):
        raise codes.INVALID_ARGUMENT.refusal("description has characters that cannot be printed", field="description")


def check_vm(vm: str) -> None:
    if len(vm) > VM_MAX:
        raise codes.FIELD_TOO_LONG.refusal(f"vm has {len(vm)} characters, at most {VM_MAX} fit", field="vm_id")
    if not vm.isprintable():
        raise codes.INVALID_ARGUMENT.refusal("vm has characters that cannot be printed", field="vm_id")


def check_mac(mac: Mac) -> None:
    """A tenant's own choice of a MAC. Refusals INVALID_MAC, MAC_RESERVED."""
    try:
        canonical = parse_mac(mac)
    except ValueError as error:
        raise codes.INVALID_MAC.refusal(str(error), field="mac_address") from None
    if canonical != mac:
        raise codes.INVALID_MAC.refusal(f"{mac!r} is not written as {canonical!r}", field="mac_address")
    if mac.startswith(GATEWAY_PREFIX):
        raise codes.MAC_RESERVED.refusal(f"{mac} begins with {GATEWAY_PREFIX}, as gateways' MACs do")


def check_netns(name: str) -> None:
    if not _NETNS.fullmatch(name) or name in (".", ".."):
        raise codes.INVALID_NETNS.refusal(f"{_shown(name)} cannot be the name of a network namespace", field="netns")
    if name.startswith(_OUR_NETNS):
        raise codes.INVALID_NETNS.refusal(f"{name!r} is one of Weftwork's own namespaces", field="netns")


def check_interface(name: str) -> None:
    if not _INTERFACE.fullmatch(name) or name in ("all", "default", "lo"):
        raise codes.INVALID_INTERFACE.refusal(f"{_shown(name)} cannot be the name of an interface", field="interface")


def check_domain(name: str) -> None:
    if name and (len(name) > _DOMAIN_MAX or not _DOMAIN.fullmatch(name)):
        raise codes.INVALID_DOMAIN_NAME.refusal(f"{_shown(name)} is not a domain name", field="domain_name")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")
