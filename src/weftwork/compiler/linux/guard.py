"""The guard: is a frame the port's own, and does it reach the port it is for? Stateless, in the bridge family.

Every device under a bridge of a VPC is a port, so what the sets do not hold is dropped.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.base.addresses import Mac
from weftwork.compiler.linux import names
from weftwork.compiler.settings import HostProfile
from weftwork.model.port import Port
from weftwork.model.vpc import Vpc
from weftwork.program.linux import GUARD_REASONS, Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Resource

_PROTOCOLS_OF_TUNNELS = "{ 4, 41, 47, 97, 115, 137 }"
"""IPIP, 6in4, GRE, EtherIP, L2TPv3, MPLS (IANA protocol numbers)."""

_UDP_PORTS_OF_TUNNELS = "{ 4754, 4755, 4789, 4790, 6081, 6635, 8472 }"
"""GRE, VXLAN, VXLAN-GPE, Geneve, MPLS, and Linux' first VXLAN port (IANA service names)."""

_ARP = "ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { 1, 2 } meta length <= 64"
"""A question or an answer about IPv4 over Ethernet (RFC 826): 28 bytes, or up to 46 padded, and some to spare."""


def _refuse(reason: str) -> str:
    return f'counter name "{reason}" meta mark set {GUARD_REASONS.index(reason) + 1} goto dropped'


_CHAINS = {
    # By source first: a frame that is all right needs one look-up. `ether type` reads the frame, so a frame with a
    # VLAN tag is no IP frame here even where the kernel has taken the tag off.
    "prerouting": (
        "ether type ip iifname . ether saddr . ip saddr @guard goto payload",
        f"iifname . ether saddr != @guard_mac {_refuse('spoofed_mac')}",
        # Whoever reads another kind of ARP would see another sender; and a long one has room for messages.
        f"{_ARP} goto arp_sender",
        f"ether type arp {_refuse('spoofed_arp')}",
        "ether type ip goto without_address",
        "ether type ip6 goto ipv6",
        f"ether type {{ 8021q, 8021ad }} {_refuse('vlan_tag')}",
        _refuse("ethertype"),
    ),
    "payload": (
        "meta l4proto 6 accept",
        f"meta l4proto {_PROTOCOLS_OF_TUNNELS} {_refuse('tunnel')}",
        # To a router it is a request; to a guest, the policy refuses it.
        "udp sport 68 udp dport 67 accept",
        f"udp sport {{ 67, 68 }} {_refuse('rogue_dhcp')}",
        f"udp dport {{ 67, 68 }} {_refuse('rogue_dhcp')}",
        f"udp sport {_UDP_PORTS_OF_TUNNELS} {_refuse('tunnel')}",
        f"udp dport {_UDP_PORTS_OF_TUNNELS} {_refuse('tunnel')}",
        "accept",
    ),
    # A probe has no sender address yet (RFC 5227).
    "arp_sender": (
        "iifname . arp saddr ether . arp saddr ip @guard accept",
        "arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @guard_mac accept",
        _refuse("spoofed_arp"),
    ),
    "without_address": (
        "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept",
        _refuse("spoofed_ip"),
    ),
    # Router advertisement and redirect.
    "ipv6": (f"icmpv6 type {{ 134, 137 }} {_refuse('rogue_ra')}", _refuse("ipv6")),
    # What is addressed to the link itself and may not be bridged (LACP) comes to the port's own device, not through
    # prerouting.
    "requests": (
        f"ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 {_refuse('misdirected')}",
        "udp dport 67 update @dhcp_rate { iifname timeout 1m limit rate over 10/second burst 20 packets } "
        + _refuse("dhcp_rate"),
    ),
    # The policy goes by address, so a frame must reach the port that has the address: guests choose the MAC.
    "delivery": (
        "meta protocol ip oifname . ether daddr . ip daddr @guard accept",
        "meta protocol arp accept",
        # Flooded, as DHCP requests are, and for no port: not worth a count.
        "meta pkttype { broadcast, multicast } drop",
        _refuse("misdirected"),
    ),
    "dropped": ("update @dropped { iifname . meta mark timeout 1d counter }", "drop"),
}

_HOOKS = {
    "prerouting": "type filter hook prerouting priority -300; policy drop;",
    "requests": "type filter hook input priority filter; policy accept;",
    "delivery": "type filter hook forward priority -210; policy drop;",
}


# Where br_netfilter shows bridged packets to the policy, who unloads it or clears its sysctl would take them past the
# policy. So what it shows gets a priority, and what has none is not delivered. A guest's packet comes without any: it
# crossed namespaces, or a TAP. Forwarding sets the priority anew, so routed packets lose it.
_SHOWN = "bead:10"
"""The class of no queueing discipline; its last digit is that of the best effort."""
_SHOW = NftChain(
    "",
    Family.INET,
    "shown",
    "type filter hook prerouting priority raw; policy accept;",
    (f"meta priority set {_SHOWN}",),
)
_ONLY_SHOWN = (f"meta protocol ip meta priority none {_refuse('past_policy')}", "meta priority set none")


def _with_remote(name: str, rules: tuple[str, ...], gateway: Mac) -> tuple[str, ...]:
    """What comes from other hosts: routed there, it has the gateway's MAC; and they use their own router, not this."""
    from_elsewhere = f'iifname "{names.VTEPS}"'
    match name:
        case "prerouting":
            routed = f"ether type ip {from_elsewhere} ether saddr {gateway} ip saddr @remote goto payload"
            return (rules[0], routed, *rules[1:])
        case "requests":
            return (f"{from_elsewhere} {_refuse('misdirected')}", *rules)
    return rules


def guard_of_vpc(vpc: Vpc, profile: HostProfile) -> Iterator[Resource]:
    scope = names.scope_of(vpc)
    yield NftTable(scope, Family.BRIDGE)
    yield NftSet(scope, Family.BRIDGE, "guard", "ifname . ether_addr . ipv4_addr")
    yield NftSet(scope, Family.BRIDGE, "guard_mac", "ifname . ether_addr")
    yield NftSet(scope, Family.BRIDGE, "dropped", "ifname . mark", flags=("dynamic", "timeout"))
    yield NftSet(scope, Family.BRIDGE, "dhcp_rate", "ifname", flags=("dynamic", "timeout"))
    chains = dict(_CHAINS)
    if profile.filter_mode == "br_netfilter":
        yield replace(_SHOW, scope=scope)
        chains["delivery"] = _ONLY_SHOWN + chains["delivery"]
    for name, rules in chains.items():
        if profile.underlay:
            rules = _with_remote(name, rules, names.gateway_mac(vpc))
        yield NftChain(scope, Family.BRIDGE, name, _HOOKS.get(name, ""), rules)


def guard_of_port(scope: str, port: Port, address: IPv4Address) -> Iterator[Resource]:
    yield NftElement(scope, Family.BRIDGE, "guard_mac", f'"{port.device}" . {port.mac}')
    yield NftElement(scope, Family.BRIDGE, "guard", f'"{port.device}" . {port.mac} . {address}')
