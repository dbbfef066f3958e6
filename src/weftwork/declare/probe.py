"""A question about packets that must come out as it says while a change waits to be confirmed."""

import re
from dataclasses import dataclass

from weftwork.model.reach_test import parse_service
from weftwork.model.security_group import Protocol

_PROBE = re.compile(
    r"(?P<no>not\s+)?from\s+(?P<source>\S{1,200})\s+to\s+(?P<destination>\S{1,200})\s+(?P<service>\S{1,40})"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Each end is a port's name or id, an address, or `internet`; without `passes`, the packet must not arrive."""

    source: str
    destination: str
    protocol: Protocol
    port: int
    passes: bool = True

    def __str__(self) -> str:
        service = self.protocol.value + (f"/{self.port}" if self.port else "")
        return f"{'' if self.passes else 'not '}from {self.source} to {self.destination} {service}"


def parse_probe(text: str) -> Probe:
    """`from web1 to 10.1.0.5 tcp/443`; with `not` in front it must not arrive. ValueError."""
    match = _PROBE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:80]!r} is no probe such as 'from web1 to 10.1.0.5 tcp/443'")
    protocol, ports = parse_service(match["service"])
    has_port = ports is not None and ports.min == ports.max and 1 <= ports.min <= 65535
    if protocol is Protocol.ALL or (protocol is not Protocol.ICMP) != has_port or (ports and not has_port):
        raise ValueError(f"{match['service']!r}: a probe is one packet: tcp/PORT, udp/PORT or icmp")
    return Probe(match["source"], match["destination"], protocol, ports.min if ports else 0, not match["no"])
