"""The nftables tables of one namespace: which chains a hook runs, and what they say of a packet."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.verifier.linux.frame import Packet
from weftwork.verifier.linux.language import parse_rule
from weftwork.verifier.linux.rules import (
    Assign,
    Decide,
    Dispatch,
    Member,
    Remember,
    Rule,
    Sets,
    Translate,
    Verdict,
    only_looks,
)
from weftwork.verifier.linux.sets import Elements, NotUnderstood

_HOOK = re.compile(r"type (filter|nat) hook (\w+) priority ([\w-]+); policy (accept|drop);")
_HOOKS = frozenset(("prerouting", "input", "forward", "output", "postrouting"))
_PRIORITIES = {
    (Family.BRIDGE, "filter"): -200,
    (Family.INET, "filter"): 0,
    (Family.INET, "raw"): -300,
    (Family.INET, "dstnat"): -100,
    (Family.INET, "srcnat"): 100,
}
LOOKING = "log."
"""What chains are called that only log."""
_DEPTH_MAX = 16
"""NFT_JUMP_STACK_SIZE: deeper the kernel does not load."""


@dataclass(frozen=True, slots=True)
class Base:
    """A chain that a hook runs."""

    kind: str
    hook: str
    priority: int
    policy: str


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    base: Base | None
    lines: tuple[tuple[Rule, str], ...]
    """The rules with their texts."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule for rule, _ in self.lines)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.lines)

    @property
    def speaks_of(self) -> Iterator[str]:
        """The chains and `@` sets that its rules name."""
        for step in (step for rule in self.rules for step in rule):
            match step:
                case Decide(Verdict(chain=str(name))) if name:
                    yield name
                case Member(set=name) | Remember(set=name) | Dispatch(map=name):
                    yield f"@{name}"
                case Assign(map=name) | Translate(map=name) if name:
                    yield f"@{name}"


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a packet was dropped: the chain, and the rule or the policy that did it."""

    chain: str
    rule: str


class Table:
    """One family's table; it does not exist (and drops nothing) until it is declared."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.declared = False
        self.sets: Sets = {}
        self.chains: dict[str, Chain] = {}
        self._hooks: dict[str, tuple[Chain, ...]] = {}
        self._without_set: Sets = {}
        """What a program says of elements when it says nothing of their set."""

    def put(self, resource: NftTable | NftSet | NftChain | NftElement) -> None:
        match resource:
            case NftTable():
                self.declared = True
            case NftSet():
                self.sets[resource.name] = Elements(resource, self._without_set.get(resource.name))
                self._without_set.pop(resource.name, None)
            case NftChain():
                self.chains[resource.name] = chain = _chain(resource)
                if chain.base:
                    self._hooks.clear()
            case NftElement():
                self._elements(resource).put(resource.element, resource.value)

    def drop(self, resource: NftTable | NftSet | NftChain | NftElement) -> None:
        match resource:
            case NftTable():
                self.declared = False
            case NftSet():
                self._without_set[resource.name] = self.sets.pop(resource.name)
            case NftChain():
                self.chains.pop(resource.name, None)
                if resource.hook:
                    self._hooks.clear()
            case NftElement():
                if resource.set in self.sets:
                    self.sets[resource.set].drop(resource.element)

    def hook(self, name: str) -> tuple[Chain, ...]:
        """The chains of a hook in the order in which they run."""
        if not self._hooks:
            self._hooks = _by_hook(self.chains)
        return self._hooks.get(name, ())

    def missing(self) -> set[str]:
        """Chains and sets that rules speak of and that are not there."""
        return (
            {name for chain in self.chains.values() for name in chain.speaks_of}
            - self.chains.keys()
            - {f"@{name}" for name in self.sets}
        )

    def run(self, hook: str, packet: Packet) -> Stop | None:
        """None when every chain of the hook lets it pass."""
        if not self.declared:
            return None
        for chain in self.hook(hook):
            stop = self.run_base(chain, packet)
            if stop is not None:
                return stop
        return None

    def run_base(self, chain: Chain, packet: Packet) -> Stop | None:
        assert chain.base is not None
        decided = self._walk(chain, packet, _DEPTH_MAX)
        if decided is None:
            return Stop(chain.name, "policy drop") if chain.base.policy == "drop" else None
        return decided if isinstance(decided, Stop) else None

    def decides(self, name: str, packet: Packet) -> Stop | Verdict | None:
        """What one chain says by itself; None: it comes to its end."""
        return self._walk(self.chains[name], packet, _DEPTH_MAX)

    def _walk(self, chain: Chain, packet: Packet, depth: int) -> Stop | Verdict | None:
        """None: it came to the end of the chain, and whoever called goes on."""
        if not depth:
            raise NotUnderstood(f"chains call each other too deep at {chain.name}")
        sets = self.sets
        for rule, text in chain.lines:
            for step in rule:
                verdict = step(packet, sets)
                if verdict is not True:
                    break
            else:
                continue
            if verdict is False:
                continue
            kind = verdict.kind
            if kind == "accept":
                return verdict
            if kind == "drop":
                return Stop(chain.name, text)
            if kind == "return":
                return None
            decided = self._walk(self._called(verdict, text), packet, depth - 1)
            if kind == "goto" or decided is not None:
                return decided
        return None

    def _called(self, verdict: Verdict, text: str) -> Chain:
        found = self.chains.get(verdict.chain)
        if found is None:
            raise NotUnderstood(f"rule {text!r}: no chain is called {verdict.chain}")
        return found

    def _elements(self, element: NftElement) -> Elements:
        found = self.sets.get(element.set)
        if found is None:
            raise NotUnderstood(f"element {element.element}: no set is called {element.set}")
        return found


def _chain(resource: NftChain) -> Chain:
    base = None
    if resource.hook:
        found = _HOOK.fullmatch(resource.hook)
        if not found or found[2] not in _HOOKS:
            raise NotUnderstood(f"hook {resource.hook!r}")
        base = Base(found[1], found[2], _priority(resource.family, found[3]), found[4])
    return Chain(
        resource.name,
        base,
        _without_looks(resource.name, resource.hook, tuple(map(parse_rule, resource.rules)), resource.rules),
    )


def _without_looks(
    name: str, hook: str, rules: tuple[Rule, ...], texts: tuple[str, ...]
) -> tuple[tuple[Rule, str], ...]:
    """Each with its text. Rules that only log are left out, once it is seen that they do: no verdict is theirs."""
    told = tuple(zip(rules, texts, strict=True))
    if name.startswith(LOOKING):
        if hook or not all(map(only_looks, rules)):
            raise NotUnderstood(f"chain {name} does more than log")
        return told
    return tuple(one for one in told if not only_looks(one[0], _LOOKING_CHAINS))


class _Looking:
    """The chains that may do nothing but log, by name."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.startswith(LOOKING)


_LOOKING_CHAINS = _Looking()


def _priority(family: Family, text: str) -> int:
    if (family, text) in _PRIORITIES:
        return _PRIORITIES[family, text]
    try:
        return int(text)
    except ValueError as error:
        raise NotUnderstood(f"priority {text} of {family.value}") from error


def _by_hook(chains: dict[str, Chain]) -> dict[str, tuple[Chain, ...]]:
    hooks: defaultdict[str, list[Chain]] = defaultdict(list)
    for chain in chains.values():
        if chain.base:
            hooks[chain.base.hook].append(chain)
    return {hook: tuple(sorted(found, key=_order)) for hook, found in hooks.items()}


def _order(chain: Chain) -> tuple[int, str]:
    assert chain.base is not None
    return chain.base.priority, chain.name
