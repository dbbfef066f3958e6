"""Devices, bridges, neighbours and marks that are gone, wrong or foreign."""

from dataclasses import replace
from random import Random

from weftwork.program.linux import (
    Bridge,
    LinkKind,
    Namespace,
    Neighbour,
    PortLink,
    Sysctl,
    VlanInterface,
)
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import STRANGE_MAC, Change, is_in_vpc, one_of


def port_on_wrong_bridge(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, PortLink)
    if not isinstance(link, PortLink):
        return None
    bridges = [
        one.name for one in ordered if isinstance(one, Bridge) and one.scope == link.scope and one.name != link.bridge
    ]
    return (link, replace(link, bridge=random.choice(bridges))) if bridges else None


def port_in_wrong_vlan(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, PortLink, lambda one: one.vlan)
    return (link, replace(link, vlan=random.choice((0, 3 - link.vlan, 77)))) if isinstance(link, PortLink) else None


def port_at_another_tenant(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, PortLink)
    scopes = sorted({one.scope for one in ordered if isinstance(one, Namespace) and is_in_vpc(one)})
    others = [one for one in scopes if isinstance(link, PortLink) and one != link.scope]
    if not isinstance(link, PortLink) or not others:
        return None
    digits = link.name.removeprefix("tap")
    return None, replace(link, scope=random.choice(others), name="tap9" + digits[1:], mac=STRANGE_MAC)


def port_altered(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, PortLink)
    if not isinstance(link, PortLink):
        return None
    changed = (
        replace(link, mac=STRANGE_MAC),
        replace(link, peer_netns="somebody-else"),
        replace(link, peer_name="eth9"),
        replace(link, kind=LinkKind.TAP, peer_netns="", peer_name=""),
    )
    return link, random.choice(changed)


def port_gone(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, PortLink)
    return (link, None) if link else None


def vlan_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, VlanInterface)
    return (link, replace(link, vlan=3 - link.vlan)) if isinstance(link, VlanInterface) else None


def no_filtering(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, Bridge, lambda one: one.vlan_filtering)
    return (link, replace(link, vlan_filtering=False)) if isinstance(link, Bridge) else None


def bridge_gone(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, Bridge)
    return (link, None) if link else None


def neighbour_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    neighbours = [one for one in ordered if isinstance(one, Neighbour)]
    if len(neighbours) < 2:
        return None
    one, other = random.sample(neighbours, 2)
    return one, replace(one, mac=other.mac if other.mac != one.mac else STRANGE_MAC)


def neighbour_gone(random: Random, ordered: list[Resource]) -> Change | None:
    neighbour = one_of(random, ordered, Neighbour)
    return (neighbour, None) if neighbour else None


def mark_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    namespaces = [one for one in ordered if isinstance(one, Namespace) and is_in_vpc(one)]
    one = random.choice(namespaces)
    marks = ["vpc nobody/else", *(other.owner for other in namespaces if other is not one)]
    return one, replace(one, owner=random.choice(marks))


def sysctl_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    sysctl = one_of(random, ordered, Sysctl, is_in_vpc)
    if not isinstance(sysctl, Sysctl):
        return None
    return sysctl, replace(sysctl, value="0" if sysctl.value != "0" else "1")
