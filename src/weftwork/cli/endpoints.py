"""Where NAT ends: `203.0.113.10:80/tcp` outside, `web1:8080` or `10.0.0.5:8080` inside."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

_EXTERNAL = re.compile(
    r"(?:(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]*)):)?(?P<port>[0-9]{1,5})(?:[/:](?P<protocol>\w+))?"
)
_INTERNAL = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class External:
    """`address` is empty when the server is to choose it."""

    address: str
    port: int
    protocol: str

    def __str__(self) -> str:
        return external_name(self.address, self.port, self.protocol)

    @property
    def id(self) -> str:
        """As the API names a DNAT."""
        return f"{self.address}:{self.port}:{self.protocol}"


@dataclass(frozen=True, slots=True)
class Internal:
    """`host` is an address, or the name or id of a port. Port 0: the same as outside."""

    host: str
    port: int

    @property
    def is_address(self) -> bool:
        return _is_address(self.host)


def external_name(address: str, port: int, protocol: str) -> str:
    """What a person types to name a DNAT."""
    return f"{f'[{address}]' if ':' in address else address}:{port}/{protocol}"


def parse_external(text: str) -> External:
    """`ADDRESS:PORT/PROTOCOL`; without an address the server chooses it, without a protocol it is tcp."""
    match = _EXTERNAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not ADDRESS:PORT/PROTOCOL, such as 203.0.113.10:80/tcp")
    address = match["v6"] or match["v4"] or ""
    if address and not _is_address(address):
        raise ValueError(f"{text!r}: {address!r} is not an address")
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in ("tcp", "udp"):
        raise ValueError(f"{text!r}: only tcp and udp can be forwarded, not {protocol!r}")
    return External(str(ip_address(address)) if address else "", _port(match["port"], text), protocol)


def parse_internal(text: str) -> Internal:
    """`HOST` or `HOST:PORT`."""
    match = _INTERNAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a port or address with a port number, such as web1:8080")
    if match["v6"] and not _is_address(match["v6"]):
        raise ValueError(f"{text!r}: {match['v6']!r} is not an address")
    return Internal(match["v6"] or match["host"], _port(match["port"], text) if match["port"] else 0)


def _port(text: str, whole: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueError(f"{whole!r}: {text} is not a port from 1 to 65535")
    return int(text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
