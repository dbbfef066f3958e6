"""A real packet sent from a port's end and followed through the data plane, to see whether it does what is said."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from weftwork.base.addresses import Mac
from weftwork.model.intent import ProjectIntent
from weftwork.model.port import Attachment


@dataclass(frozen=True, slots=True)
class Flow:
    """From a port's guest to a port of the project (`receiver`, an id), or out of it: to the outside or to a peer."""

    sender: str
    receiver: str
    destination: IPv4Address
    protocol: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class Traced:
    """`delivered`: it came to the receiver's device, or to the way out. `lines`: what decided on it, in order."""

    delivered: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotTraced:
    why: str


class Tracer(Protocol):
    """What the API asks."""

    async def trace(self, project: ProjectIntent, flow: Flow) -> Traced | NotTraced: ...


@dataclass(frozen=True, slots=True)
class Injection:
    """One packet as the guest behind `attachment` would send it through `device`, to be caught at the device `out`.

    `leaves`: the device leads out of the scope, and not to a guest. `ways_out` are all that do, as patterns. `leg` is
    what OVN calls the router's port that leads out; empty for one that does not.
    """

    scope: str
    device: str
    attachment: Attachment
    source_mac: Mac
    next_mac: Mac
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    destination_port: int
    out: str
    leaves: bool
    ways_out: tuple[str, ...]
    leg: str = ""


class Injector(Protocol):
    """What a data plane offers. The packet reaches nobody, and nothing stays behind."""

    async def inject(self, injection: Injection) -> Traced | NotTraced: ...
