"""Which host a VM is to be on: first who can, then who has the most room. And when nobody can, why each cannot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from weftwork.model.vm import Flavour, Placement

VCPUS_FOR_CORE = 4
"""Processors are shared, memory is not."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a host of role compute says of itself. `why_not` says why it takes nothing now: down, drained; else empty.

    The server's own machine has an empty name.
    """

    name: str
    architecture: str
    cores: int
    memory_mib: int
    labels: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    """What the VMs take that are to run on a host."""

    vcpus: int = 0
    memory_mib: int = 0

    def __add__(self, flavour: Flavour) -> "Used":
        return Used(self.vcpus + flavour.vcpus, self.memory_mib + flavour.memory_mib)


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Why each host cannot take it."""

    reasons: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        if not self.reasons:
            return "there is no host of role compute"
        return "; ".join(f"{name or 'this machine'}: {why}" for name, why in self.reasons)


def place(
    flavour: Flavour,
    placement: Placement,
    offers: Iterable[Offer],
    used: Mapping[str, Used],
    *,
    near: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
) -> Offer | Nowhere:
    """`near` are the hosts of the VMs that it is to be near to: with several, none. `apart` those that it avoids."""
    there = sorted(offers, key=lambda one: one.name)
    reasons = tuple(
        (one.name, _why_not(flavour, placement, one, used.get(one.name, Used()), near, apart)) for one in there
    )
    fit = [one for one, (_, why) in zip(there, reasons, strict=True) if not why]
    if not fit:
        return Nowhere(reasons)
    return max(fit, key=lambda one: (_room_left(flavour, one, used.get(one.name, Used())), _last(one.name)))


def _why_not(
    flavour: Flavour, placement: Placement, offer: Offer, used: Used, near: frozenset[str], apart: frozenset[str]
) -> str:
    """Empty when it can."""
    if offer.why_not:
        return offer.why_not
    if placement.architecture not in ("", offer.architecture):
        return f"it is {offer.architecture}, not {placement.architecture}"
    for key, value in placement.labels:
        if offer.labels.get(key) != value:
            return f"it has no label {key}={value}"
    if near - {offer.name}:
        return "it is not where the VMs are that it is to be near to"
    if offer.name in apart:
        return "a VM is there that it is to be apart from"
    after = used + flavour
    if after.memory_mib > offer.memory_mib:
        return f"{max(0, offer.memory_mib - used.memory_mib)} MiB of memory are left of {offer.memory_mib}"
    if after.vcpus > offer.cores * VCPUS_FOR_CORE:
        return f"{max(0, offer.cores * VCPUS_FOR_CORE - used.vcpus)} vCPUs are left of {offer.cores * VCPUS_FOR_CORE}"
    return ""


def _room_left(flavour: Flavour, offer: Offer, used: Used) -> tuple[float, float]:
    """Of memory and of processors, as shares of the host: the emptier one is taken."""
    after = used + flavour
    memory = 1 - after.memory_mib / offer.memory_mib
    vcpus = 1 - after.vcpus / (offer.cores * VCPUS_FOR_CORE)
    return min(memory, vcpus), memory


def _last(name: str) -> tuple[int, ...]:
    """Of hosts that are alike, the first by name."""
    return tuple(-ord(letter) for letter in name)
