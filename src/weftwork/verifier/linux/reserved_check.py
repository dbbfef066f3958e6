"""UDP ports that no flow may use, whoever begins it: those of DHCP and of tunnels.

The guard stops guests; only the judging stage stops those outside, whose packets a DNAT may bring to any port.
"""

from collections.abc import Iterator

from weftwork.verifier.linux.frame import UDP, Packet
from weftwork.verifier.linux.look import Look
from weftwork.verifier.linux.tables import Stop
from weftwork.verifier.model import DHCP_PORTS, TUNNEL_PORTS
from weftwork.verifier.violation import Fault, Violation

_STAGE = "leave"
_TO_BE_JUDGED = 2
"""Any mark but 0, with which a packet belongs to a flow that was judged."""
_ORDINARY = 40000


def check_reserved_ports(look: Look) -> Iterator[Violation]:
    for table in look.judging:
        for port in sorted(DHCP_PORTS | TUNNEL_PORTS):
            for ends in ((port, _ORDINARY), (_ORDINARY, port)):
                packet = Packet(protocol=UDP, source_port=ends[0], destination_port=ends[1], mark=_TO_BE_JUDGED)
                decided = table.decides(_STAGE, packet) if _STAGE in table.chains else None
                if not isinstance(decided, Stop) or packet.counted != ["reserved_port"]:
                    what = f"{table.family.value}: a flow from UDP port {ends[0]} to {ends[1]} can be judged."
                    yield Violation(Fault.DEFENCE, look.scope.name, what)
