"""Elements of sets and maps that are gone, wrong or foreign."""

from dataclasses import replace
from ipaddress import IPv4Network
from random import Random

from weftwork.program.linux import (
    NftElement,
)
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import EPOCHS, STRANGER, Change, one_of


def is_telling(one: NftElement) -> bool:
    return one.set not in EPOCHS


def element_gone(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, is_telling)
    return (element, None) if element else None


def member_gone(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set.startswith("members."))
    return (element, None) if element else None


def member_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set.startswith("members."))
    if not isinstance(element, NftElement):
        return None
    new = replace(element, element=random.choice((STRANGER, "10.0.1.63", "10.0.1.64", "10.0.2.254", "10.0.1.200")))
    return None if new in ordered else (None, new)


def guard_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set == "guard")
    if not isinstance(element, NftElement):
        return None
    device, mac, _ = element.element.split(" . ")
    new = replace(element, element=f"{device} . {mac} . {random.choice(('10.0.1.1', '10.0.1.200', STRANGER))}")
    return None if new in ordered else (None, new)


def cidr_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set.startswith(("in.", "out.")))
    if not isinstance(element, NftElement):
        return None
    network = IPv4Network(element.element)
    wider = network.supernet() if network.prefixlen and random.random() < 0.5 else None
    new = wider or next(network.subnets()) if network.prefixlen < 32 else network.supernet()
    others = [
        IPv4Network(one.element)
        for one in ordered
        if isinstance(one, NftElement)
        and one.set == element.set
        and one.scope == element.scope
        and one.family is element.family
        and one is not element
    ]
    return None if any(new.overlaps(one) for one in others) else (element, replace(element, element=str(new)))


def wrong_combination(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set in ("egress", "ingress"))
    if not isinstance(element, NftElement):
        return None
    values = sorted(
        {
            one.value
            for one in ordered
            if isinstance(one, NftElement) and (one.set, one.scope) == (element.set, element.scope)
        }
    )
    others = [one for one in values if one != element.value]
    return (element, replace(element, value=random.choice(others))) if others else None


def wrong_chain(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set in ("out_policy", "in_policy"))
    if not isinstance(element, NftElement):
        return None
    values = sorted(
        {
            one.value
            for one in ordered
            if isinstance(one, NftElement) and (one.set, one.scope) == (element.set, element.scope)
        }
    )
    others = [one for one in values if one != element.value]
    return (element, replace(element, value=random.choice(others))) if others else None


def epoch_gone(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set in EPOCHS)
    return (element, None) if element else None


def epoch_too_many(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set == "epoch")
    return (None, replace(element, element="0x0dd0dd01")) if isinstance(element, NftElement) else None
