"""Translations, addresses and routes that are gone, wrong or foreign."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

from weftwork.program.linux import (
    InterfaceAddress,
    NftChain,
    NftElement,
    Route,
    Uplink,
)
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import Change, one_of


def dnat_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set == "dnat_map")
    if not isinstance(element, NftElement):
        return None
    address, port = element.value.split(" . ")
    values = (f"{address} . {(int(port) + 1) % 65536}", f"10.0.1.63 . {port}", f"10.0.2.2 . {port}")
    return element, replace(element, value=random.choice(values))


def dnat_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    """Another port of the external address, or another tenant's address."""
    element = one_of(random, ordered, NftElement, lambda one: one.set in ("dnat_map", "dnat_flows"))
    if not isinstance(element, NftElement):
        return None
    address, rest = element.element.split(" . ", 1)
    other = IPv4Address(int(IPv4Address(address)) ^ random.choice((1, 6)))
    new = replace(element, element=f"{other} . {rest}")
    return None if any(isinstance(one, NftElement) and one.key == new.key for one in ordered) else (None, new)


def dnat_gone(random: Random, ordered: list[Resource]) -> Change | None:
    element = one_of(random, ordered, NftElement, lambda one: one.set in ("dnat_map", "dnat_flows"))
    return (element, None) if element else None


def snat_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    chain = one_of(
        random,
        ordered,
        NftChain,
        lambda one: one.name in ("translate_source", "to_outside") and "198.51.100" in " ".join(one.rules),
    )
    if not isinstance(chain, NftChain):
        return None
    rules = tuple(
        re.sub(r"198\.51\.100\.(\d+)", lambda found: f"198.51.100.{int(found[1]) ^ 1}", one) for one in chain.rules
    )
    return chain, replace(chain, rules=rules)


def route_gone(random: Random, ordered: list[Resource]) -> Change | None:
    route = one_of(random, ordered, Route)
    return (route, None) if route else None


def route_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    route = one_of(random, ordered, Route)
    if not isinstance(route, Route):
        return None
    legs = sorted(
        {
            one.interface
            for one in ordered
            if isinstance(one, InterfaceAddress) and one.scope == route.scope and one.interface != route.interface
        }
    )
    return route, random.choice(
        (
            replace(route, gateway=IPv4Address("198.51.100.99")),
            *(replace(route, interface=leg, gateway=None) for leg in legs),
        )
    )


def route_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    route = one_of(random, ordered, Route)
    if not isinstance(route, Route):
        return None
    destination = random.choice(("10.0.1.64/32", "10.0.2.0/25", "10.0.1.0/25"))
    return None, replace(route, destination=IPv4Network(destination))


def address_gone(random: Random, ordered: list[Resource]) -> Change | None:
    address = one_of(random, ordered, InterfaceAddress)
    return (address, None) if address else None


def address_foreign(random: Random, ordered: list[Resource]) -> Change | None:
    """A tenant's router says that another's external address is its own."""
    held = [one for one in ordered if isinstance(one, InterfaceAddress) and one.interface == "ext0"]
    if not held:
        return None
    one = random.choice(held)
    other = random.choice([f"198.51.100.{octet}" for octet in range(10, 14)])
    new = replace(one, address=IPv4Address(other))
    return None if new in held else (None, new)


def uplink_wrong(random: Random, ordered: list[Resource]) -> Change | None:
    link = one_of(random, ordered, Uplink)
    return (link, replace(link, peer_bridge="br1")) if isinstance(link, Uplink) else None
