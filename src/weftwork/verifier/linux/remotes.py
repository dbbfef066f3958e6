"""Ports on other hosts, as a program has them: MACs behind VTEPs.

To the judge each of them is a device by itself, called by its VTEP and its MAC: `vx7 02:57:…`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from weftwork.program.linux import RemoteEntry

_VTEPS = "vx"
"""Names of VTEPs begin so, and no others."""


@dataclass(frozen=True, slots=True)
class RemotePort:
    """`interface` is the VTEP, `host` where its port is."""

    name: str
    interface: str
    bridge: str
    mac: str
    host: IPv4Address
    vlan: int = 0


def device_behind(interface: str, mac: str) -> str:
    """What the judge calls whoever sends by an interface with a MAC."""
    return f"{interface} {mac}" if is_vtep(interface) else interface


def is_vtep(interface: str) -> bool:
    return interface.startswith(_VTEPS)


class Remotes:
    """The entries of one namespace."""

    def __init__(self) -> None:
        self._entries: dict[str, RemoteEntry] = {}
        self._by_mac: defaultdict[str, set[str]] = defaultdict(set)

    def put(self, entry: RemoteEntry) -> None:
        name = f"{entry.interface} {entry.mac}"
        self._entries[name] = entry
        self._by_mac[entry.mac].add(name)

    def drop(self, entry: RemoteEntry) -> None:
        name = f"{entry.interface} {entry.mac}"
        self._entries.pop(name, None)
        self._by_mac[entry.mac].discard(name)

    def entry(self, device: str) -> RemoteEntry | None:
        return self._entries.get(device)

    def with_mac(self, mac: str) -> Iterable[str]:
        return self._by_mac.get(mac, ())

    def names(self) -> Iterable[str]:
        """In no order that means anything."""
        return self._entries
