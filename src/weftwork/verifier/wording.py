"""Values in the words that people type and read."""

from weftwork.model.port import Port
from weftwork.model.security_group import GroupRef, PortRange, Rule
from weftwork.verifier.edits import Direction
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.packet import ICMP

_NAMES = {number: protocol.value for protocol, number in NUMBERS.items()}


def service_text(protocol: int, port: int) -> str:
    """`tcp/443`, `icmp`."""
    name = _NAMES.get(protocol, str(protocol))
    return name if protocol == ICMP else f"{name}/{port}"


def rule_text(rule: Rule, direction: Direction) -> str:
    """`tcp 80-90 from group web`, as `weft security-group create --ingress` takes it."""
    ports = f" {range_text(rule.ports)}" if rule.ports else ""
    peer = f"group {rule.peer}" if isinstance(rule.peer, GroupRef) else str(rule.peer)
    return f"{rule.protocol.value}{ports} {'from' if direction is Direction.INGRESS else 'to'} {peer}"


def range_text(ports: PortRange) -> str:
    return str(ports.min) if ports.min == ports.max else f"{ports.min}-{ports.max}"


def port_text(port: Port) -> str:
    """What a person types for it."""
    return port.name or port.id
