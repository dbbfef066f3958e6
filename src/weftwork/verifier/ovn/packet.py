"""A packet on its way through logical switches and routers. Addresses are numbers: they are compared, never shown."""

from dataclasses import dataclass, field

ICMP, TCP, UDP = 1, 6, 17
ECHO_REPLY, UNREACHABLE, ECHO_REQUEST = 0, 3, 8


@dataclass(slots=True)
class Flow:
    """How its first packet was translated: by router or switch, the ends before and after."""

    forwarded: tuple[str, tuple[int, int], tuple[int, int]] | None = None
    hidden: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By router: the source, and what it was hidden behind."""


@dataclass(slots=True)
class Packet:
    """`is_new` is False for what answers a flow, which passes the rules that the flow has passed."""

    source: int
    destination: int
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = ECHO_REQUEST
    is_new: bool = True
    is_stray: bool = False
    to_many: bool = False
    inport: str = ""
    outport: str = ""
    family: str = "ip4"
    """Or `ip6`, or `arp`, of which nothing else here is asked."""
    is_fragment: bool = False
    tcp_flags: int = 0
    """FIN is 1, RST is 4; of probes that are no strays neither."""
    flow: Flow = field(default_factory=Flow)
