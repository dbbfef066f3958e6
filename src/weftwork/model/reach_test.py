"""A reach test: who must reach whom, or must not. Kept with the project, and checked on every change of it."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network

from weftwork.base.addresses import Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model.network_policy import SubnetRef
from weftwork.model.security_group import GroupRef, PortRange, Protocol


class Must(Enum):
    REACH = "reach"
    """Everybody at the source reaches everybody at the destination, with every packet of the service."""
    NOT_REACH = "not-reach"
    """Nobody at the source reaches anybody at the destination, with any packet of the service."""


@dataclass(frozen=True, slots=True)
class PortRef:
    """One port, by its id."""

    id: str


@dataclass(frozen=True, slots=True)
class Internet:
    """Whatever is outside: at the source, who comes through a DNAT; at the destination, where SNAT leads."""


End = PortRef | GroupRef | SubnetRef | Cidr | Internet
"""A CIDR means the attached ports that have its addresses, and those of its addresses that are outside."""


@dataclass(frozen=True, slots=True)
class ReachTest:
    """`protocol` and `ports` (None: all) are what arrives: behind a DNAT, the guest's own port."""

    owner: ProjectKey
    name: str
    must: Must
    source: End
    destination: End
    protocol: Protocol
    ports: PortRange | None
    created_at: int

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def ends(self) -> tuple[End, End]:
        return self.source, self.destination


INTERNET = "internet"


def end_text(end: End) -> str:
    """As people write it and the store holds it: `port:web1`, `group:web`, `subnet:data`, `10.0.1.0/24`, `internet`."""
    match end:
        case PortRef(port_id):
            return f"port:{port_id}"
        case GroupRef(name):
            return f"group:{name}"
        case SubnetRef(name):
            return f"subnet:{name}"
        case Internet():
            return INTERNET
        case IPv4Network() | IPv6Network():
            return str(end.network_address) if end.prefixlen == end.max_prefixlen else str(end)


def parse_end(text: str) -> End:
    """The inverse; a word alone is a port, an address alone a CIDR of one. ValueError. Names are not checked here."""
    kind, colon, name = text.partition(":")
    if text == INTERNET:
        return Internet()
    if colon and kind in _REFS and name:
        return _REFS[kind](name)
    if text[:1].isdigit() and ("." in text or "/" in text) and "%" not in text:
        return ip_network(text)
    if text and not colon:
        return PortRef(text)
    raise ValueError(f"{text!r} is none of {FORMS}")


FORMS = "port:NAME, group:NAME, subnet:NAME, an address, a CIDR, internet"
_REFS: dict[str, type[PortRef] | type[GroupRef] | type[SubnetRef]] = {
    "port": PortRef,
    "group": GroupRef,
    "subnet": SubnetRef,
}


def service_text(protocol: Protocol, ports: PortRange | None) -> str:
    """`tcp/443`, `tcp/80-90`, `udp`, `all`."""
    if ports is None:
        return protocol.value
    return f"{protocol.value}/{ports.min}" + ("" if ports.min == ports.max else f"-{ports.max}")


def parse_service(text: str) -> tuple[Protocol, PortRange | None]:
    """The inverse. ValueError."""
    word, slash, numbers = text.partition("/")
    protocol = Protocol(word)
    if not slash:
        return protocol, None
    low, dash, high = numbers.partition("-")
    if not (low.isascii() and low.isdigit() and (not dash or (high.isascii() and high.isdigit()))) or len(numbers) > 11:
        raise ValueError(f"{numbers!r} is no port and no range of ports")
    return protocol, PortRange(int(low), int(high) if dash else int(low))
