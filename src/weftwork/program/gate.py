"""What a gateway of the fleet holds beside its networks: its seat in the pair, and what it announces when active."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import ClassVar

from weftwork.base.addresses import Mac
from weftwork.program.resource import Key


@dataclass(frozen=True, slots=True)
class Gate:
    """Of all that have the same `address`, which they share in the underlay, one is active: the first by `seats`,
    unless another one is already. `bridge` leads to the external network, in `bridge_scope`. `secret` is known to the
    seats alone. Each says every `beat_ms` that it is there, and is gone for the others after `missed_max` beats.
    """

    rank: ClassVar[int] = 13
    scope: str
    address: IPv4Address
    underlay: IPv4Address
    seats: tuple[IPv4Address, ...]
    bridge_scope: str
    bridge: str
    secret: str = field(repr=False)
    beat_ms: int = 50
    missed_max: int = 3

    @property
    def key(self) -> Key:
        return ("gate", self.scope)


@dataclass(frozen=True, slots=True)
class Announced:
    """An external address and the MAC that has it, whichever gateway is active."""

    rank: ClassVar[int] = 14
    scope: str
    address: IPv4Address
    mac: Mac

    @property
    def key(self) -> Key:
        return ("announced", self.scope, str(self.address))


GateResource = Gate | Announced
