"""Security group rules from what a person would say."""

from ipaddress import ip_network

from weftwork.client.messages import PortRange, Protocol, SecurityRule, SourceType


def rule(protocol: str, peer: str, ports: tuple[int, int] | int | None = None) -> SecurityRule:
    """`protocol` is tcp, udp, icmp or all; `peer` a CIDR, or a security group's name or id; `ports` one, or both ends.

    ValueError for an unknown protocol.
    """
    low, high = (ports, ports) if isinstance(ports, int) else ports or (0, 0)
    return SecurityRule(
        protocol=Protocol.Value(f"PROTOCOL_{protocol.upper()}"),
        port_range=None if ports is None else PortRange(min=low, max=high),
        source_type=SourceType.SOURCE_TYPE_CIDR if _is_cidr(peer) else SourceType.SOURCE_TYPE_SECURITY_GROUP,
        source=peer,
    )


def _is_cidr(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
