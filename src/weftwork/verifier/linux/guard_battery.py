"""What every guest may send and what none may, frame by frame: the guard's law, whatever its rules are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from weftwork.program.linux import GUARD_REASONS, Family
from weftwork.verifier.linux.frame import (
    BROADCAST,
    ETHER_8021AD,
    ETHER_8021Q,
    ETHER_ARP,
    ETHER_IP,
    ETHER_IP6,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Arp,
    Packet,
)
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.model import DHCP_CLIENT, DHCP_SERVER, TUNNEL_PORTS, TUNNEL_PROTOCOLS

_STRANGE_MAC = "02:57:ff:ff:ff:fe"
_OTHER = "tapother"
_LINK_LOCAL = "01:80:c2:00:00:0e"
_LLDP, _EAPOL, _MPLS, _PPPOE = 0x88CC, 0x888E, 0x8847, 0x8863
_EXPERIMENT = 253
_UNCOUNTED = "not worth a count"


@dataclass(frozen=True, slots=True)
class Guest:
    """Who sends: what its port is allowed, and the gateway's address, which it is not."""

    device: str
    mac: str
    address: int
    gateway: int
    gateway_mac: str


@dataclass(frozen=True, slots=True)
class Sent:
    words: str
    hook: str
    frame: Packet
    counter: str
    """Why it is dropped; empty for what passes."""
    is_shown: bool = True
    """By br_netfilter, to the inet table, where it is to be."""

    @property
    def passes(self) -> bool:
        return not self.counter


def wrong(scope: Scope, guest: Guest) -> Iterator[Sent]:
    """The frames that pass and should not, or the other way round, or are dropped for another reason."""
    table = scope.tables[Family.BRIDGE]
    for sent in _battery(guest, by_netfilter=scope.bridges_call_inet()):
        if sent.hook == "forward" and sent.is_shown and scope.bridges_call_inet():
            scope.tables[Family.INET].run("prerouting", sent.frame)
        passes = table.run(sent.hook, sent.frame) is None
        said = (sent.frame.counted, sent.frame.mark)
        counts = ([sent.counter], 1 + GUARD_REASONS.index(sent.counter)) if sent.counter in GUARD_REASONS else ([], 0)
        if passes != sent.passes or said != counts:
            yield sent


def _battery(guest: Guest, *, by_netfilter: bool) -> Iterator[Sent]:
    for words, frame, counter in (*_arp(guest), *_addresses(guest), *_payloads(guest), *_other_types(guest)):
        frame.iif, frame.counted = guest.device, []
        yield Sent(words, "prerouting", frame, counter)
    yield Sent("an honest frame from a device that is no port", "prerouting", _ip(guest, iif=_OTHER), "spoofed_mac")
    yield Sent("a frame to the gateway", "input", _ip(guest, iif=guest.device), "")
    yield Sent("a frame to the link itself", "input", _ip(guest, iif=guest.device, to=_LINK_LOCAL), "misdirected")
    asked = replace(_ip(guest, protocol=UDP, source_port=68, port=67), iif=guest.device)
    yield Sent("a question to DHCP", "input", replace(asked, counted=[]), "")
    yield Sent("too many questions to DHCP", "input", replace(asked, too_fast=True, counted=[]), "dhcp_rate")
    broadcast = replace(_ip(guest, to=BROADCAST, iif=_OTHER), oif=guest.device)
    yield Sent("a broadcast to all ports", "forward", broadcast, _UNCOUNTED)
    strange = replace(_ip(guest, to=guest.mac, iif=_OTHER), oif=guest.device, destination=guest.gateway)
    yield Sent("a packet for another to this port", "forward", strange, "misdirected")
    if by_netfilter:
        delivered = replace(_ip(guest, to=guest.mac, iif=_OTHER), oif=guest.device, destination=guest.address)
        yield Sent(
            "a packet to this port that the policy never sees", "forward", delivered, "past_policy", is_shown=False
        )


def _arp(guest: Guest) -> Iterator[tuple[str, Packet, str]]:
    own = Arp(1, guest.mac, guest.address)

    def frame(arp: Arp, length: int = 46) -> Packet:
        return Packet(ether_source=guest.mac, ether_destination=BROADCAST, ether_type=ETHER_ARP, arp=arp, length=length)

    yield "an ARP question", frame(own), ""
    yield "an ARP question, padded", frame(own, 64), ""
    yield "an ARP answer", frame(replace(own, operation=2)), ""
    yield "an ARP probe", frame(replace(own, sender=0)), ""
    yield "an ARP answer from nowhere", frame(replace(own, operation=2, sender=0)), "spoofed_arp"
    yield "an ARP message as the gateway", frame(replace(own, sender=guest.gateway)), "spoofed_arp"
    yield "an ARP answer as the gateway", frame(replace(own, operation=2, sender=guest.gateway)), "spoofed_arp"
    yield "an ARP message with another's MAC in it", frame(replace(own, sender_mac=_STRANGE_MAC)), "spoofed_arp"
    yield "an ARP probe with another's MAC in it", frame(replace(own, sender=0, sender_mac=_STRANGE_MAC)), "spoofed_arp"
    yield "an ARP message about another kind of hardware", frame(replace(own, htype=6)), "spoofed_arp"
    yield "an ARP message about another protocol", frame(replace(own, ptype=ETHER_IP6)), "spoofed_arp"
    yield "an ARP message with long hardware addresses", frame(replace(own, hlen=8)), "spoofed_arp"
    yield "an ARP message with long addresses", frame(replace(own, plen=16)), "spoofed_arp"
    for operation in (0, 3, 4, 8, 9):
        yield f"an ARP message of kind {operation}", frame(replace(own, operation=operation)), "spoofed_arp"
    for length in (65, 1500):
        yield f"an ARP message of {length} bytes", frame(own, length), "spoofed_arp"


def _addresses(guest: Guest) -> Iterator[tuple[str, Packet, str]]:
    yield "an honest packet", _ip(guest), ""
    yield "a packet from another MAC", replace(_ip(guest), ether_source=_STRANGE_MAC), "spoofed_mac"
    yield "a packet from the gateway's address", replace(_ip(guest), source=guest.gateway), "spoofed_ip"
    yield "a packet from the next address", replace(_ip(guest), source=guest.address ^ 1), "spoofed_ip"
    first = replace(_ip(guest, protocol=UDP, source_port=68, port=67, to=BROADCAST), source=0, destination=0xFFFFFFFF)
    yield "the first question to DHCP", first, ""
    yield "a first question from another MAC", replace(first, ether_source=_STRANGE_MAC), "spoofed_mac"
    yield "a packet without address to the gateway", replace(first, destination=guest.gateway), "spoofed_ip"
    yield "a packet without address from another port", replace(first, source_port=69), "spoofed_ip"
    yield "a packet without address to another port", replace(first, destination_port=69), "spoofed_ip"
    yield "a packet without address of another protocol", replace(first, protocol=TCP), "spoofed_ip"
    yield "a packet to DHCP from the gateway's address", replace(first, source=guest.gateway), "spoofed_ip"


def _payloads(guest: Guest) -> Iterator[tuple[str, Packet, str]]:
    for protocol in (ICMP, TCP, UDP, _EXPERIMENT):
        yield f"protocol {protocol}", _ip(guest, protocol=protocol, port=80), ""
    for protocol in sorted(TUNNEL_PROTOCOLS):
        yield f"a tunnel of protocol {protocol}", _ip(guest, protocol=protocol), "tunnel"
    for port in sorted(TUNNEL_PORTS):
        yield f"a tunnel to UDP port {port}", _ip(guest, protocol=UDP, port=port), "tunnel"
        yield f"a tunnel from UDP port {port}", _ip(guest, protocol=UDP, source_port=port, port=80), "tunnel"
    beside = {one for port in TUNNEL_PORTS for one in (port - 1, port + 1)} - TUNNEL_PORTS
    for port in sorted(beside | {DHCP_SERVER - 1, DHCP_CLIENT + 1, 53}):
        yield f"to UDP port {port}", _ip(guest, protocol=UDP, port=port), ""
        yield f"from UDP port {port}", _ip(guest, protocol=UDP, source_port=port, port=80), ""
    yield "a question to DHCP of who has an address", _ip(guest, protocol=UDP, source_port=68, port=67), ""
    for port in (DHCP_SERVER, DHCP_CLIENT):
        yield f"from UDP port {port}", _ip(guest, protocol=UDP, source_port=port, port=80), "rogue_dhcp"
        yield f"to UDP port {port}", _ip(guest, protocol=UDP, source_port=80, port=port), "rogue_dhcp"
    yield "an answer of DHCP", _ip(guest, protocol=UDP, source_port=DHCP_SERVER, port=DHCP_CLIENT), "rogue_dhcp"


def _other_types(guest: Guest) -> Iterator[tuple[str, Packet, str]]:
    frame = Packet(ether_source=guest.mac, ether_destination=guest.gateway_mac)
    for kind, counter in ((134, "rogue_ra"), (137, "rogue_ra"), (135, "ipv6"), (138, "ipv6")):
        words = f"ICMPv6 of type {kind}"
        yield words, replace(frame, ether_type=ETHER_IP6, protocol=ICMPV6, icmp_type=kind, counted=[]), counter
    for type_ in (ETHER_8021Q, ETHER_8021AD):
        yield f"a frame with a VLAN tag {type_:#06x}", replace(frame, ether_type=type_, counted=[]), "vlan_tag"
    for type_ in (_LLDP, _EAPOL, _MPLS, _PPPOE):
        yield f"a frame of type {type_:#06x}", replace(frame, ether_type=type_, counted=[]), "ethertype"


def _ip(
    guest: Guest, *, protocol: int = TCP, source_port: int = 40000, port: int = 0, to: str = "", iif: str = ""
) -> Packet:
    return Packet(
        ether_source=guest.mac,
        ether_destination=to or guest.gateway_mac,
        ether_type=ETHER_IP,
        source=guest.address,
        destination=guest.gateway,
        protocol=protocol,
        source_port=source_port,
        destination_port=port,
        iif=iif,
    )
