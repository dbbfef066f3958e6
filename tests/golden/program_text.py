"""Programs as text: one resource per line for reading, and nftables commands for loading."""

from weftwork.program.linux import NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Program
from weftwork.program.texts import lines_of


def program_text(program: Program) -> str:
    """By scope, then in the order of creation; the rules of a chain below it."""
    lines: list[str] = []
    for scope in sorted({resource.scope for resource in program}):
        lines.append(f"== {scope}")
        inside = sorted((one for one in program if one.scope == scope), key=lambda one: (one.rank, one.key))
        for resource in inside:
            first, *rules = lines_of(resource)
            lines += [first, *(f"    {rule}" for rule in rules)]
    return "\n".join(lines) + "\n"


def nft_text(program: Program, scope: str) -> str:
    """The commands that make one namespace's nftables objects: `nft -f` takes them in a namespace that has none."""
    inside = sorted((one for one in program if one.scope == scope), key=lambda one: (one.rank, one.key))
    chains = [one for one in inside if isinstance(one, NftChain)]
    counters = sorted(
        {(chain.family.value, name) for chain in chains for rule in chain.rules for name in _counters(rule)}
    )
    lines = [f"add table {one.family.value} weftwork" for one in inside if isinstance(one, NftTable)]
    lines += [f"add counter {family} weftwork {name}" for family, name in counters]
    lines += [_set_line(one) for one in inside if isinstance(one, NftSet)]
    lines += [_chain_line(one) for one in chains]
    lines += [f"add rule {one.family.value} weftwork {one.name} {rule}" for one in chains for rule in one.rules]
    lines += [_element_line(one) for one in inside if isinstance(one, NftElement)]
    return "\n".join(lines) + "\n"


def _counters(rule: str) -> list[str]:
    return [part.split('"')[1] for part in rule.split("counter name ")[1:]]


def _set_line(one: NftSet) -> str:
    kind, type_ = ("map", f"{one.type} : {one.data}") if one.data else ("set", one.type)
    flags = f" flags {','.join(one.flags)};" if one.flags else ""
    return f"add {kind} {one.family.value} weftwork {one.name} {{ type {type_};{flags} }}"


def _chain_line(one: NftChain) -> str:
    return f"add chain {one.family.value} weftwork {one.name}" + (f" {{ {one.hook} }}" if one.hook else "")


def _element_line(one: NftElement) -> str:
    value = f" : {one.value}" if one.value else ""
    return f"add element {one.family.value} weftwork {one.set} {{ {one.element}{value} }}"
