"""A packet on its way through a program, and the flow that connection tracking knows it by.

Addresses are numbers here: they are compared, never shown.
"""

from dataclasses import dataclass, field

ETHER_IP, ETHER_ARP, ETHER_IP6, ETHER_8021Q, ETHER_8021AD = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8
BROADCAST = "ff:ff:ff:ff:ff:ff"
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
ECHO_REPLY, UNREACHABLE, ECHO_REQUEST = 0, 3, 8

NEW, ESTABLISHED, RELATED, INVALID = "new", "established", "related", "invalid"


@dataclass(slots=True)
class Tuple:
    """One direction of a flow."""

    source: int
    source_port: int
    destination: int
    destination_port: int

    @property
    def reversed(self) -> "Tuple":
        return Tuple(self.destination, self.destination_port, self.source, self.source_port)


@dataclass(slots=True)
class Flow:
    """`reply` is what the answers look like: the inverse of `original`, but for what NAT changed."""

    protocol: int
    original: Tuple
    reply: Tuple
    mark: int = 0
    confirmed: bool = False
    dnat: bool = False
    snat: bool = False


@dataclass(slots=True)
class Arp:
    operation: int
    sender_mac: str
    sender: int
    htype: int = 1
    ptype: int = ETHER_IP
    hlen: int = 6
    plen: int = 4


@dataclass(slots=True)
class Packet:
    """What rules may ask about. `ether_type` is what stands in the frame; a VLAN tag hides the rest from the guard.

    `flow` is None as long as nobody tracks it, or when it is of no flow; `is_reply` is its direction in the flow.
    """

    ether_source: str = ""
    ether_destination: str = ""
    ether_type: int = ETHER_IP
    source: int = 0
    destination: int = 0
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = ECHO_REQUEST
    arp: Arp | None = None
    length: int = 64
    too_fast: bool = False
    """It comes when its sender has used up every rate there is."""
    about: Tuple | None = None
    """An ICMP error: the ends of the answer that it stands for, which name its flow."""
    state: str = NEW
    flow: Flow | None = None
    is_reply: bool = False
    iif: str = ""
    oif: str = ""
    mark: int = 0
    priority: str = "none"
    counted: list[str] = field(default_factory=list)
    """The named counters it met."""
    translation: tuple[int | str, ...] = ()
    """What a rule of NAT says of its flow: the kind and the address, and the port where there is one."""

    @property
    def is_ip(self) -> bool:
        return self.ether_type == ETHER_IP

    @property
    def ends(self) -> Tuple:
        return Tuple(self.source, self.source_port, self.destination, self.destination_port)
