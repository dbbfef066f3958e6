"""Faults from a seed, so that each comes again: one of every kind that a program has a place for, all kinds alike.

What comes of a fault gets a new epoch, as the compiler would give it, so that the fault itself has to be found.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random

from weftwork.program.linux import (
    NftElement,
)
from weftwork.program.resource import Program, Resource
from weftwork.testing.faults import of_links, of_nat, of_rules, of_sets
from weftwork.testing.faults.fault import EPOCHS, Change, Fault

Draw = Callable[[Random, list[Resource]], Change | None]
KINDS: dict[str, Draw] = {
    "a rule is missing": of_rules.rule_gone,
    "a rule looks the wrong way": of_rules.rule_altered(of_rules.swap),
    "a rule is off by one": of_rules.rule_altered(of_rules.off_by_one),
    "a rule asks the wrong set": of_rules.rule_altered(of_rules.wrong_set),
    "a rule lets pass what it should drop": of_rules.rule_altered(of_rules.let_through),
    "a rule asks for less": of_rules.rule_altered(of_rules.condition_gone),
    "a chain lets pass what no rule decides": of_rules.policy_accept,
    "a rule of the guard is missing": of_rules.guard_rule_gone,
    "a chain is missing": of_rules.chain_gone,
    "an element is missing": of_sets.element_gone,
    "a member is missing": of_sets.member_gone,
    "a member is foreign": of_sets.member_foreign,
    "the guard lets a port be somebody else": of_sets.guard_foreign,
    "a CIDR is wider or narrower": of_sets.cidr_wrong,
    "a port follows another combination of groups": of_sets.wrong_combination,
    "a combination is judged by another's chain": of_sets.wrong_chain,
    "an epoch is missing": of_sets.epoch_gone,
    "there are two epochs": of_sets.epoch_too_many,
    "a DNAT leads elsewhere": of_nat.dnat_wrong,
    "a DNAT is foreign": of_nat.dnat_foreign,
    "a DNAT is missing": of_nat.dnat_gone,
    "the SNAT has another address": of_nat.snat_wrong,
    "a route is missing": of_nat.route_gone,
    "a route is wrong": of_nat.route_wrong,
    "a route is foreign": of_nat.route_foreign,
    "an address is missing": of_nat.address_gone,
    "an external address is another tenant's": of_nat.address_foreign,
    "an uplink ends elsewhere": of_nat.uplink_wrong,
    "a port is under another bridge": of_links.port_on_wrong_bridge,
    "a port is in another VLAN": of_links.port_in_wrong_vlan,
    "a port is at another tenant's": of_links.port_at_another_tenant,
    "a port's device is another": of_links.port_altered,
    "a port's device is missing": of_links.port_gone,
    "a router is in another VLAN": of_links.vlan_wrong,
    "a bridge does not filter VLANs": of_links.no_filtering,
    "a bridge is missing": of_links.bridge_gone,
    "a neighbour has another's MAC": of_links.neighbour_wrong,
    "a neighbour is missing": of_links.neighbour_gone,
    "a namespace has another's mark": of_links.mark_wrong,
    "a sysctl is another": of_links.sysctl_wrong,
}
_OF_EPOCHS = ("an epoch is missing", "there are two epochs")


def draw_fault(random: Random, program: Program, among: Mapping[str, Draw] = KINDS) -> Fault:
    """One of every kind that the program has a place for, all kinds alike."""
    ordered = sorted(program, key=lambda one: one.key)
    kinds = list(among)
    while True:
        kind = random.choice(kinds)
        drawn = among[kind](random, ordered)
        if drawn is not None and drawn[0] != drawn[1]:
            break
        kinds.remove(kind)
    old, new = drawn
    added, removed = frozenset(_some(new)), frozenset(_some(old))
    if kind not in _OF_EPOCHS:
        scope = next(iter(added | removed)).scope
        for one in ordered:
            if isinstance(one, NftElement) and one.scope == scope and one.set in EPOCHS and one not in removed:
                removed |= {one}
                added |= {_with_epoch(one, "0x5eed5eed")}
    return Fault(kind, added, removed)


def _some(resource: Resource | None) -> Iterator[Resource]:
    if resource is not None:
        yield resource


def _with_epoch(element: NftElement, mark: str) -> NftElement:
    return replace(element, value=mark) if element.set == "stamp" else replace(element, element=mark)
