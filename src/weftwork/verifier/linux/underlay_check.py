"""The host's own namespace in a fleet: VXLAN comes in from hosts that there is something to do with, only."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.program.linux import Family
from weftwork.verifier.linux.frame import TCP, UDP, Packet
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.violation import Fault, Frame, Violation

_KNOWN = "vteps"
_VXLAN = 4789
_STRANGER = IPv4Address("192.0.2.99")


def check_underlay(view: ProgramView, scope: Scope) -> Iterator[Violation]:
    assert view.underlay is not None
    table = scope.tables[Family.INET]
    known = {int(key[0]) for key, _ in table.sets[_KNOWN]} if _KNOWN in table.sets else set()
    needed = {int(one) for one in view.hosts}
    for address in sorted(known ^ needed):
        where = "may send VXLAN, and no port is there" if address in known else "has ports, and may send no VXLAN"
        fault = Fault.GUARD if address in known else Fault.REACH
        yield _wrong(f"{IPv4Address(address)} {where}.", fault, f"VXLAN from {IPv4Address(address)}")
    if any(True for _ in scope.devices()) or any(scope.addresses.values()):
        yield _wrong("a guest or a router stands in the host's own namespace.", Fault.ISOLATION, "anything")
    stranger = next(one for one in range(int(_STRANGER), int(_STRANGER) + 3) if one not in known | {int(view.underlay)})
    asked = [(stranger, _VXLAN, UDP, False), (stranger, _VXLAN, TCP, True), (stranger, 22, UDP, True)]
    asked += [(one, _VXLAN, UDP, True) for one in sorted(known)[:1]]
    for source, port, protocol, passes in asked:
        packet = Packet(
            source=source,
            destination=int(view.underlay),
            source_port=40000,
            destination_port=port,
            protocol=protocol,
            iif="eth0",
        )
        if (table.run("input", packet) is None) != passes:
            words = f"protocol {protocol} from {IPv4Address(source)} to port {port}"
            yield _wrong(f"the host {'stops' if passes else 'takes'} {words}.", Fault.GUARD, words)


def _wrong(what: str, fault: Fault, words: str) -> Violation:
    return Violation(fault, "", what, Frame("", "underlay", words))
