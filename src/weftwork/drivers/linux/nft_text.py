"""One nftables transaction for one namespace, as text: every step, in an order that always commits."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from weftwork.drivers.linux import nft_notes
from weftwork.drivers.linux.nft_decode import TABLE, NftResource
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.plan import Create, Delete, Replace, Step

_Counter = tuple[Family, str]
_COUNTER = re.compile(r'\bcounter name "?([\w.+/-]+)"?')


@dataclass(slots=True)
class Change:
    """The steps sorted by what they do; a set that is replaced is a delete and a create."""

    add: list[NftResource] = field(default_factory=list)
    drop: list[NftResource] = field(default_factory=list)
    refill: list[NftChain] = field(default_factory=list)
    """Chains that stay and get their rules anew."""


def needs_present(steps: Iterable[Step]) -> bool:
    """Whether the script depends on what else the namespace holds."""
    return any(isinstance(step, Replace) and isinstance(step.new, NftSet) for step in steps) or bool(
        _counters_let_go(steps)
    )


def script(steps: Sequence[Step], present: Iterable[NftResource]) -> str:
    """The commands. `present` is what the namespace holds, where `needs_present`."""
    present = list(present)
    change = _sorted_out(steps, present)
    lost = {one.family for one in change.drop if isinstance(one, NftTable)}
    drop = [one for one in change.drop if isinstance(one, NftTable) or one.family not in lost]
    gone_sets = {(one.family, one.name) for one in drop if isinstance(one, NftSet)}
    chains_dropped = [one for one in drop if isinstance(one, NftChain)]
    chains_filled = [one for one in change.add if isinstance(one, NftChain)] + change.refill
    dropped_names = {(one.family, one.name) for one in chains_dropped}
    replaced_bases = [
        one for one in chains_dropped if (one.family, one.name) in {(c.family, c.name) for c in chains_filled}
    ]
    lines = [
        *_elements("delete", (e for e in drop if isinstance(e, NftElement) and (e.family, e.set) not in gone_sets)),
        *(f"add table {one.family.value} {TABLE}" for one in change.add if isinstance(one, NftTable)),
        *(f"flush chain {_name(one)}" for one in (*chains_dropped, *change.refill)),
        *(f"delete chain {_name(one)}" for one in replaced_bases),
        *(_new_chain(one) for one in chains_filled if one not in change.refill),
        *(f"delete set {_name(one)}" for one in drop if isinstance(one, NftSet) and _replaced(one, change.add)),
        *(_new_set(one) for one in change.add if isinstance(one, NftSet)),
        *_counters(chains_filled),
        *(line for one in chains_filled for line in _rules(one)),
        *_elements("add", (one for one in change.add if isinstance(one, NftElement))),
        *(f"delete chain {_name(one)}" for one in chains_dropped if one not in replaced_bases),
        *(f"delete set {_name(one)}" for one in drop if isinstance(one, NftSet) and not _replaced(one, change.add)),
        *(f"delete counter {family.value} {TABLE} {name}" for family, name in _counters_unused(steps, present, lost)),
        *(f"delete table {one.family.value} {TABLE}" for one in drop if isinstance(one, NftTable)),
    ]
    assert len(dropped_names) == len(chains_dropped), "two chains share a key"
    return "\n".join(lines) + "\n" if lines else ""


def _sorted_out(steps: Iterable[Step], present: Iterable[NftResource]) -> Change:
    change = Change()
    reset: set[tuple[Family, str]] = set()
    named: set[tuple[str, ...]] = set()
    for step in steps:
        match step:
            case Create(new):
                change.add.append(_ours(new))
                named.add(new.key)
            case Delete(old):
                change.drop.append(_ours(old))
                named.add(old.key)
            case Replace(old, new):
                named.add(new.key)
                _replace(change, _ours(old), _ours(new))
                if isinstance(new, NftSet):
                    reset.add((new.family, new.name))
    if reset:
        _carry_over(change, reset, (one for one in present if one.key not in named))
    return change


def _replace(change: Change, old: NftResource, new: NftResource) -> None:
    """A chain whose hook is the same keeps standing: packets see its old rules or its new ones."""
    if isinstance(old, NftChain) and isinstance(new, NftChain) and old.hook == new.hook:
        change.refill.append(new)
    else:
        change.drop.append(old)
        change.add.append(new)


def _carry_over(change: Change, reset: set[tuple[Family, str]], untouched: Iterable[NftResource]) -> None:
    """A set is replaced while no rule speaks of it, and takes its elements along: give both back."""
    for one in untouched:
        match one:
            case NftElement() if (one.family, one.set) in reset:
                change.add.append(one)
            case NftChain() if any(one.family == family and _speaks_of(one, name) for family, name in reset):
                change.refill.append(one)


def _speaks_of(chain: NftChain, name: str) -> bool:
    return any(re.search(rf"@{re.escape(name)}(?![\w.+/-])", rule) for rule in chain.rules)


def _ours(resource: object) -> NftResource:
    assert isinstance(resource, NftTable | NftSet | NftChain | NftElement), f"{resource} is not of nftables"
    return resource


def _replaced(old: NftSet, added: Iterable[NftResource]) -> bool:
    return any(isinstance(one, NftSet) and one.key == old.key for one in added)


def _name(one: NftChain | NftSet) -> str:
    return f"{one.family.value} {TABLE} {one.name}"


def _new_chain(chain: NftChain) -> str:
    if not chain.hook:
        return f"add chain {_name(chain)}"
    return f'add chain {_name(chain)} {{ {chain.hook} comment "{nft_notes.encode(chain.hook)}"; }}'


def _rules(chain: NftChain) -> list[str]:
    # A chain may be there already, when a plan is carried out twice.
    first = [f"flush chain {_name(chain)}"]
    return first + [f'add rule {_name(chain)} {rule} comment "{nft_notes.encode(rule)}"' for rule in chain.rules]


def _counters(chains: Iterable[NftChain]) -> list[str]:
    """Named counters are part of the rules that speak of them; adding one that exists keeps its count."""
    return [
        f"add counter {family.value} {TABLE} {name}"
        for family, name in sorted(_counters_of(chains), key=lambda counter: (counter[0].value, counter[1]))
    ]


def _counters_of(resources: Iterable[object]) -> set[_Counter]:
    chains = [one for one in resources if isinstance(one, NftChain)]
    return {(one.family, name) for one in chains for rule in one.rules for name in _COUNTER.findall(rule)}


def _counters_let_go(steps: Iterable[Step]) -> set[_Counter]:
    """Counters that a chain spoke of and will not."""
    before = _counters_of(step.old for step in steps if not isinstance(step, Create))
    return before - _counters_of(step.new for step in steps if not isinstance(step, Delete))


def _counters_unused(steps: Sequence[Step], present: Iterable[NftResource], lost: Iterable[Family]) -> list[_Counter]:
    """Those of them that no other chain speaks of."""
    named = {step.old.key if isinstance(step, Delete) else step.new.key for step in steps}
    kept = _counters_of(one for one in present if one.key not in named)
    unused = {one for one in _counters_let_go(steps) - kept if one[0] not in lost}
    return sorted(unused, key=lambda counter: (counter[0].value, counter[1]))


def _new_set(one: NftSet) -> str:
    kind = "map" if one.data else "set"
    type_ = f"{one.type} : {one.data}" if one.data else one.type
    flags = f" flags {', '.join(one.flags)};" if one.flags else ""
    size = f" size {one.size};" if one.size else ""
    return f"add {kind} {_name(one)} {{ type {type_};{size}{flags} }}"


def _elements(verb: str, elements: Iterable[NftElement]) -> list[str]:
    by_set: dict[tuple[str, str], list[str]] = {}
    for one in elements:
        words = f"{one.element} : {one.value}" if one.value and verb == "add" else one.element
        by_set.setdefault((one.family.value, one.set), []).append(words)
    return [
        f"{verb} element {family} {TABLE} {name} {{ {', '.join(words)} }}" for (family, name), words in by_set.items()
    ]
