"""The reference model of programs: what becomes of a packet, from the program alone. It never sees the intent.

It speaks of ports by what a program knows of them: `short(port id)`, the part of the id that names the device.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.program.resource import Resource
from weftwork.verifier.linux.frame import ECHO_REPLY, ECHO_REQUEST, ICMP, INVALID, UNREACHABLE, Packet
from weftwork.verifier.linux.journey import AtPort, AtRouter, Beyond, Journey, Lost, Outcome
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.packet import End, Inside, Outside, Phase, Probe, Router, Seen, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode

MARK = "vpc "
"""Before the owner in the mark of a VPC's namespace."""

_DEVICE = "tap"
Device = Callable[[Inside], str]
"""What programs call the device of a port of the intent's."""
_SHORT = 12

_COUNTERS = {
    "spoofed_mac": ReasonCode.SPOOFED_SOURCE,
    "spoofed_ip": ReasonCode.SPOOFED_SOURCE,
    "tunnel": ReasonCode.TUNNEL,
    "rogue_dhcp": ReasonCode.ROGUE_DHCP,
    "reserved_port": ReasonCode.ROGUE_DHCP,
    "denied_out": ReasonCode.NO_EGRESS_RULE,
    "denied_in": ReasonCode.NO_INGRESS_RULE,
    "denied_by_policy": ReasonCode.POLICY_DENIED,
    "isolated": ReasonCode.ISOLATED,
    "denied_from_outside": ReasonCode.NO_DNAT,
    "denied_to_outside": ReasonCode.NO_SNAT,
    "denied_router": ReasonCode.ROUTER_OFFERS_NOTHING,
    "spoofed_outside": ReasonCode.NOT_FROM_OUTSIDE,
    "denied_from_peer": ReasonCode.NOT_PEERED,
    "denied_to_peer": ReasonCode.NOT_PEERED,
    "spoofed_peer": ReasonCode.NOT_PEERED,
    "invalid": ReasonCode.NOT_OF_A_FLOW,
    "forged_error": ReasonCode.NOT_OF_A_FLOW,
}


def short(port_id: str) -> str:
    """As much of a port's id as the name of its device holds."""
    return port_id.replace("-", "")[:_SHORT]


def device_of(port_id: str) -> str:
    return _DEVICE + short(port_id)


def device_at(end: Inside) -> str:
    """The device of a port of this machine."""
    return device_of(end.port)


def shortened(verdict: Verdict, device: Device = device_at) -> Verdict:
    """A verdict of the intent's, in the words of programs."""
    if isinstance(verdict.receiver, Inside):
        called = device(verdict.receiver).removeprefix(_DEVICE)
        return replace(verdict, receiver=replace(verdict.receiver, port=called))
    return verdict


def agree(intended: Verdict, programmed: Verdict, device: Device = device_at) -> bool:
    """The same receiver sees the same packet. The reasons may be told differently."""
    return (shortened(intended, device).receiver, intended.seen) == (programmed.receiver, programmed.seen)


class LinuxModel:
    """A program to be asked about many packets. `gateway` is the external network's, where it is known."""

    def __init__(
        self,
        program: Iterable[Resource] | ProgramView,
        *,
        gateway: Address | None = None,
        device: Device = device_at,
    ) -> None:
        self._device = device
        self.view = program if isinstance(program, ProgramView) else ProgramView(program, gateway=gateway)

    def verdict(self, probe: Probe) -> Verdict:
        journey = Journey(self.view)
        stray = probe.phase is Phase.STRAY
        outcome = self._send(journey, probe, stray=stray)
        if probe.phase in (Phase.OPENING, Phase.MIDDLE) or stray:
            return _verdict(outcome)
        if isinstance(outcome, Lost):
            denied = _verdict(outcome)
            return replace(denied, reasons=(Reason(ReasonCode.NOT_OF_A_FLOW), *denied.reasons))
        return _verdict(self._answer(journey, outcome, error=probe.phase is Phase.ERROR))

    def _send(self, journey: Journey, probe: Probe, *, stray: bool) -> Outcome:
        packet = Packet(
            destination=int(probe.destination),
            protocol=probe.protocol,
            source_port=probe.source_port,
            destination_port=probe.destination_port,
            icmp_type=ECHO_REPLY if stray else ECHO_REQUEST,
            state=INVALID if stray else "new",
        )
        match probe.source:
            case Outside(address):
                packet.source = int(address)
                return journey.from_outside(packet)
            case Inside(owner, port_id):
                device = self._device(Inside(owner, port_id))
                scope = self.scope_of(owner, device)
                own = scope.address_of(device) if scope else None
                if scope is None or own is None:
                    return Lost("", "device", "the port has no device, or nobody says which address it has")
                packet.source = own if probe.source_address is None else int(probe.source_address)
                if packet.destination == own:
                    return Lost(scope.name, "guest", "it is the guest's own address")
                return journey.from_port(scope, device, packet)

    def scope_of(self, owner: ProjectKey, device: str) -> Scope | None:
        """The namespace of the owner's that has the device."""
        return next((one for one in self.view.owned(f"{MARK}{owner}") if one.member(device)), None)

    def _answer(self, journey: Journey, outcome: AtPort | AtRouter | Beyond, *, error: bool) -> Outcome:
        """The receiver sends back what it got, or complains of it."""
        got = outcome.packet
        packet = Packet(
            source=got.destination,
            source_port=got.destination_port,
            destination=got.source,
            destination_port=got.source_port,
            protocol=ICMP if error else got.protocol,
            icmp_type=UNREACHABLE if error else ECHO_REPLY,
            about=got.ends.reversed if error else None,
        )
        match outcome:
            case AtPort(scope, device, _):
                return journey.from_port(scope, device, packet)
            case AtRouter(scope, _):
                return journey.from_router(scope, packet)
            case Beyond():
                return journey.from_outside(packet)


def _verdict(outcome: Outcome) -> Verdict:
    match outcome:
        case Lost(scope, where, why, counter):
            code = _COUNTERS.get(counter, ReasonCode.NOBODY_THERE)
            return Verdict(None, None, (Reason(code, None, f"{scope} {where}: {why}".strip()),))
        case AtPort(scope, device, packet):
            return Verdict(Inside(owner_of(scope), device.removeprefix(_DEVICE)), _seen(packet), _passed(packet))
        case AtRouter(scope, packet):
            return Verdict(Router(owner_of(scope)), _seen(packet), (Reason(ReasonCode.GATEWAY_PING, owner_of(scope)),))
        case Beyond(packet):
            end: End = Outside(IPv4Address(packet.destination))
            return Verdict(end, _seen(packet), _passed(packet))


def owner_of(scope: Scope) -> ProjectKey:
    org, _, project = scope.mark.removeprefix(MARK).partition("/")
    return ProjectKey(org, project)


def _passed(packet: Packet) -> tuple[Reason, ...]:
    flow, reasons = packet.flow, []
    if flow and flow.dnat:
        reasons.append(Reason(ReasonCode.DNAT))
    if flow and flow.snat:
        reasons.append(Reason(ReasonCode.SNAT))
    return (*reasons, Reason(ReasonCode.PART_OF_FLOW))


def _seen(packet: Packet) -> Seen:
    return Seen(
        IPv4Address(packet.source), packet.source_port, IPv4Address(packet.destination), packet.destination_port
    )
