"""Rules and chains that are gone or say something else."""

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

from weftwork.program.linux import (
    Family,
    NftChain,
)
from weftwork.program.resource import Resource
from weftwork.testing.faults.fault import Change, one_of

_NUMBER = re.compile(r"(?<![\w.:/])\d+(?![\w.:/])")
_SWAPS = (
    ("original", "reply"),
    ("saddr", "daddr"),
    ("iifname", "oifname"),
    ("sport", "dport"),
    ("proto-src", "proto-dst"),
)


def rule_gone(random: Random, ordered: list[Resource]) -> Change | None:
    chain = one_of(random, ordered, NftChain, lambda one: bool(one.rules))
    if not isinstance(chain, NftChain):
        return None
    place = random.randrange(len(chain.rules))
    return chain, replace(chain, rules=(*chain.rules[:place], *chain.rules[place + 1 :]))


def rule_altered(change: Callable[[Random, str], str | None]) -> Callable[[Random, list[Resource]], Change | None]:
    def draw(random: Random, ordered: list[Resource]) -> Change | None:
        chains = [one for one in ordered if isinstance(one, NftChain) and one.rules]
        random.shuffle(chains)
        for chain in chains:
            place = random.randrange(len(chain.rules))
            new = change(random, chain.rules[place])
            if new is not None and new != chain.rules[place]:
                return chain, replace(chain, rules=(*chain.rules[:place], new, *chain.rules[place + 1 :]))
        return None

    return draw


def swap(random: Random, rule: str) -> str | None:
    """The wrong direction, or the wrong end."""
    for one, other in random.sample(_SWAPS, len(_SWAPS)):
        for old, new in ((one, other), (other, one)):
            if re.search(rf"\b{old}\b", rule) and not rule.startswith("arp") and "arp saddr" not in rule:
                return re.sub(rf"\b{old}\b", new, rule, count=1)
    return None


def off_by_one(random: Random, rule: str) -> str | None:
    if "limit rate" in rule:
        return None  # rates are beyond the verifier
    numbers = [one for one in _NUMBER.finditer(rule) if "set" not in rule[: one.start()].split()[-2:]]
    found = re.search(r"(?<=proto-src )(\d+)(?:-(\d+))?", rule)
    if found:
        first, last = int(found[1]), int(found[2] or found[1])
        first, last = random.choice(((first, last + 1), (first + 1, last + 1), (first - 1, last), (first, last - 1)))
        if not 0 <= first <= last <= 65535:
            return None
        return rule[: found.start()] + (f"{first}-{last}" if first != last else f"{first}") + rule[found.end() :]
    if not numbers:
        return None
    chosen = random.choice(numbers)
    return rule[: chosen.start()] + str(int(chosen[0]) + 1) + rule[chosen.end() :]


def wrong_set(_: Random, rule: str) -> str | None:
    for old, new in (("@members.a", "@members.b"), ("@members.b", "@members.c"), ("@egress", "@ingress")):
        if old in rule:
            return rule.replace(old, new, 1)
    return None


def let_through(_: Random, rule: str) -> str | None:
    """A rule that drops lets pass instead."""
    if rule.endswith("drop"):
        return rule.removesuffix("drop") + "accept"
    return rule.removesuffix("goto dropped") + "accept" if rule.endswith("goto dropped") else None


def condition_gone(random: Random, rule: str) -> str | None:
    """A rule that asks for less."""
    for pattern in random.sample(
        (r"meta l4proto \d+ ", r"ct reply proto-src \S+ ", r"ct (original|reply) ip saddr @\S+ "), 3
    ):
        if re.search(pattern, rule) and " . " not in rule:
            return re.sub(pattern, "", rule, count=1)
    return None


def policy_accept(random: Random, ordered: list[Resource]) -> Change | None:
    chain = one_of(random, ordered, NftChain, lambda one: "policy drop" in one.hook)
    if not isinstance(chain, NftChain):
        return None
    return chain, replace(chain, hook=chain.hook.replace("policy drop", "policy accept"))


def guard_rule_gone(random: Random, ordered: list[Resource]) -> Change | None:
    guards = ("prerouting", "payload", "arp_sender", "without_address", "ipv6", "requests", "delivery")
    found = [one for one in ordered if isinstance(one, NftChain) and one.family is Family.BRIDGE and one.name in guards]
    return rule_gone(random, list(found)) if found else None


def chain_gone(random: Random, ordered: list[Resource]) -> Change | None:
    chain = one_of(random, ordered, NftChain)
    return (chain, None) if chain else None
