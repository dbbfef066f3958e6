"""Values in the words that people type and read."""

from weftwork.base.addresses import Cidr
from weftwork.model.network_policy import PolicyRule, SubnetRef
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


def rule_text(rule: Rule | PolicyRule, direction: Direction) -> str:
    """`tcp 80-90 from group web`, as `weft security-group create --ingress` takes it; of a policy with its action."""
    action = f"{rule.action.value} " if isinstance(rule, PolicyRule) else ""
    ports = f" {range_text(rule.ports)}" if rule.ports else ""
    word = "from" if direction is Direction.INGRESS else "to"
    return f"{action}{rule.protocol.value}{ports} {word} {_peer_text(rule.peer)}"


def _peer_text(peer: Cidr | GroupRef | SubnetRef) -> str:
    match peer:
        case GroupRef() as group:
            return f"group {group}"
        case SubnetRef(name):
            return f"subnet {name}"
        case network:
            return str(network)


def range_text(ports: PortRange) -> str:
    return str(ports.min) if ports.min == ports.max else f"{ports.min}-{ports.max}"


def port_text(port: Port) -> str:
    """What a person types for it."""
    return port.name or port.id
