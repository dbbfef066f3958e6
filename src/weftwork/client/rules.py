"""Security group rules from what a person would say."""

from ipaddress import ip_network

from weftwork.client.messages import PolicyRule, PortRange, Protocol, SecurityRule, SourceType


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


def policy_rule(
    action: str, protocol: str, peer: str, ports: tuple[int, int] | int | None = None, *, peer_kind: str = ""
) -> PolicyRule:
    """`action` is allow or deny; `peer_kind` is cidr, security_group or subnet, and without it a CIDR or a group.

    ValueError for an unknown action or protocol.
    """
    plain = rule(protocol, "any", ports)
    kind = peer_kind or ("cidr" if _is_cidr(peer) else "security_group")
    message = PolicyRule(
        action=PolicyRule.Action.Value(f"ACTION_{action.upper()}"),
        protocol=plain.protocol,
        port_range=plain.port_range if plain.HasField("port_range") else None,
    )
    setattr(message, kind, peer)
    return message


def _is_cidr(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
