"""What the DHCP responder serves: it keeps no lease database, so there is none to leak (RFC 2131)."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from weftwork.base.addresses import Mac
from weftwork.program.resource import Key


@dataclass(frozen=True, slots=True)
class DhcpServer:
    """A server on one interface, with the options every client of the subnet gets."""

    rank: ClassVar[int] = 20
    scope: str
    interface: str
    server: IPv4Address
    prefix_length: int
    dns_servers: tuple[IPv4Address, ...]
    domain_name: str
    ntp_servers: tuple[IPv4Address, ...]
    lease_time_s: int
    mtu_bytes: int

    @property
    def key(self) -> Key:
        return ("dhcp-server", self.scope, self.interface)


@dataclass(frozen=True, slots=True)
class DhcpBinding:
    """The one address this MAC gets on this interface."""

    rank: ClassVar[int] = 21
    scope: str
    interface: str
    mac: Mac
    address: IPv4Address
    hostname: str

    @property
    def key(self) -> Key:
        return ("dhcp-binding", self.scope, self.interface, self.mac)


DhcpResource = DhcpServer | DhcpBinding
