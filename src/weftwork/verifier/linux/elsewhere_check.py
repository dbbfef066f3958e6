"""Ports on other hosts: what leads there is their subnet's, and what comes from there is theirs."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.model.port import Port
from weftwork.program.linux import GUARD_REASONS, Bridge, Family, Vtep
from weftwork.verifier.linux.frame import BROADCAST, ETHER_ARP, ETHER_IP, TCP, UDP, Arp, Packet
from weftwork.verifier.linux.look import Look, device_by
from weftwork.verifier.violation import Fault, Violation

_REMOTE = "remote"
_STRANGE_MAC = "02:57:ff:ff:ff:fe"
_NOBODY = IPv4Address("192.0.2.99")


def check_vteps(look: Look) -> Iterator[Violation]:
    """A VTEP carries the subnet whose bridge it is under, by that subnet's number, from this host's address."""
    if look.view.underlay is None:
        return
    subnets = {int(one.gateway): one for one in look.project.subnets.values()}
    led: set[str] = set()
    for link in look.scope.links.values():
        if not isinstance(link, Vtep) or not link.bridge:
            continue
        leg = look.scope.leg(link.bridge, link.vlan)
        here = look.scope.addresses.get(leg.name, {}) if leg else {}
        subnet = next((subnets[one] for one in here if one in subnets), None)
        words = f"what is in VNI {link.vni} comes out of {link.name}"
        if subnet is None or not isinstance(look.scope.links.get(link.bridge), Bridge):
            yield look.by_frame(Fault.ISOLATION, f"{link.name} is under {link.bridge}, no subnet's.", link.name, words)
            continue
        if link.vni != subnet.vni or subnet.name in led:
            what = f"{link.name} carries VNI {link.vni}; subnet {subnet.name} has {subnet.vni}."
            yield look.by_frame(Fault.ISOLATION, what, link.name, words)
        if link.local != look.view.underlay:
            what = f"{link.name} sends from {link.local}, and the host has {look.view.underlay}."
            yield look.by_frame(Fault.REACH, what, link.name, words)
        led.add(subnet.name)
    for subnet in look.project.subnets.values():
        if subnet.vni and subnet.name not in led:
            what = f"nothing leads to subnet {subnet.name} on other hosts."
            yield look.by_frame(Fault.REACH, what, f"VNI {subnet.vni}", "no VTEP carries it")


def link_of(look: Look, port: Port, device: str) -> Iterator[tuple[Fault, str]]:
    """The way to the port: to its host, and by the VTEP of its subnet."""
    assert port.attachment is not None
    there = look.scope.remote(device)
    if there is None:
        yield Fault.REACH, "nothing leads to its host."
        return
    if there.host != port.attachment.underlay:
        yield Fault.ISOLATION, f"what is for it goes to {there.host} instead of {port.attachment.underlay}."
    gateway = look.project.subnets[port.subnet].gateway
    leg = look.scope.leg(there.bridge, there.vlan)
    if leg is None or int(gateway) not in look.scope.addresses.get(leg.name, {}):
        yield Fault.ISOLATION, f"its VTEP is under {there.bridge}, which is not subnet {port.subnet}'s."
    behind = [one for one in look.scope.with_mac(port.mac) if one != device]
    if behind:
        yield Fault.REACH, f"its MAC is behind {', '.join(behind)}, too."
    known = look.scope.tables[Family.BRIDGE].sets.get(_REMOTE)
    (address,) = (one for one in port.addresses if isinstance(one, IPv4Address))
    if known is None or known.get((int(address),)) is None:
        yield Fault.REACH, "what its own router routes is not let in."


def check_guard_of(look: Look, port: Port, address: IPv4Address) -> Iterator[Violation]:
    """What may come out of its VTEP: its own frames, and what was routed there for it."""
    device = device_by(port)
    there = look.scope.remote(device)
    leg = None if there is None else look.scope.leg(there.bridge, there.vlan)
    if there is None or leg is None:
        return
    own = Packet(
        ether_source=port.mac,
        ether_destination=_STRANGE_MAC,
        ether_type=ETHER_IP,
        source=int(address),
        destination=int(_NOBODY),
        protocol=TCP,
        source_port=40000,
        destination_port=80,
        iif=there.interface,
    )
    routed = replace(own, ether_source=leg.mac)
    arp = replace(own, ether_type=ETHER_ARP, ether_destination=BROADCAST, arp=Arp(1, port.mac, int(address)))
    up = replace(own, ether_destination=leg.mac)
    cases = (
        ("prerouting", "an honest frame of it", own, ""),
        ("prerouting", "an honest frame of it that its own router routed", routed, ""),
        ("prerouting", "a frame of it from another address", replace(own, source=own.source ^ 1), "spoofed_ip"),
        ("prerouting", "a frame of it from another MAC", replace(own, ether_source=_STRANGE_MAC), "spoofed_mac"),
        ("prerouting", "a routed frame from nobody", replace(routed, source=int(_NOBODY)), "spoofed_mac"),
        ("prerouting", "a tunnel of it", replace(own, protocol=UDP, destination_port=4789), "tunnel"),
        ("prerouting", "a tunnel that was routed", replace(routed, protocol=UDP, destination_port=4789), "tunnel"),
        ("prerouting", "an ARP answer of it as another", _as_another(arp), "spoofed_arp"),
        ("input", "a frame of it to the router here", up, "misdirected"),
        ("input", "a question of it to DHCP here", replace(up, protocol=UDP, destination_port=67), "misdirected"),
    )
    for hook, words, frame, counter in cases:
        frame.counted = []
        passes = look.scope.tables[Family.BRIDGE].run(hook, frame) is None
        counts = ([counter], 1 + GUARD_REASONS.index(counter)) if counter else ([], 0)
        if passes == bool(counter) or (frame.counted, frame.mark) != counts:
            what = f"the guard lets port {port.id} send here, or stops or counts as it should not, {words}."
            yield look.by_frame(Fault.GUARD, what, device, words)


def _as_another(arp: Packet) -> Packet:
    assert arp.arp is not None
    return replace(arp, arp=replace(arp.arp, sender=arp.arp.sender ^ 1))
