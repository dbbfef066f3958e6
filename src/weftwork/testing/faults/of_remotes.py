"""Ways to other hosts that are gone, wrong or foreign."""

from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

from weftwork.program.linux import NftElement, RemoteEntry, Vtep
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import STRANGE_MAC, STRANGER, Change, one_of

_ELSEWHERE = IPv4Address("192.0.2.77")
_SETS = ("remote", "vteps")


def vtep_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    """Another VNI, of the same VPC, of another tenant or of nobody; another bridge; another host's address."""
    link = one_of(random, ordered, Vtep)
    if not isinstance(link, Vtep):
        return None
    others = [one for one in ordered if isinstance(one, Vtep) and one is not link]
    bridges = [one.bridge for one in others if one.scope == link.scope]
    changed = [replace(link, vni=link.vni + 1), replace(link, local=_ELSEWHERE)]
    changed += [replace(link, vni=random.choice(others).vni)] if others else []
    changed += [replace(link, bridge=random.choice(bridges))] if bridges else []
    return link, random.choice(changed)


def vtep_gone(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, Vtep)
    return (link, None) if link else None


def entry_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    entry = one_of(random, ordered, RemoteEntry)
    if not isinstance(entry, RemoteEntry):
        return None
    vteps = [one.name for one in ordered if isinstance(one, Vtep) and one.scope == entry.scope]
    others = [name for name in vteps if name != entry.interface]
    changed = [replace(entry, host=_ELSEWHERE)]
    changed += [replace(entry, interface=random.choice(others))] if others else []
    return entry, random.choice(changed)


def entry_gone(random: Random, ordered: list[Resource]) -> Change | None:
    entry = one_of(random, ordered, RemoteEntry)
    return (entry, None) if entry else None


def entry_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    vtep = one_of(random, ordered, Vtep)
    if not isinstance(vtep, Vtep):
        return None
    return None, RemoteEntry(vtep.scope, vtep.name, STRANGE_MAC, _ELSEWHERE)


def known_host_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    """Of those whose routers, or whose hosts, are trusted: one too many or too few."""
    element = one_of(random, ordered, NftElement, lambda one: one.set in _SETS)
    if not isinstance(element, NftElement):
        return None
    return random.choice(((element, None), (None, replace(element, element=STRANGER))))
