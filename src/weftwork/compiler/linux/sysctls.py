"""The settings of a namespace. A new namespace inherits many of the host's, so we set what matters and trust none.

`nf_conntrack_tcp_loose` stays at 1, the kernel's value in every new namespace: a connection that the kernel lost is
taken up at its next packet and judged like a new one, so it passes only what a new connection would.
"""

from collections.abc import Iterator, Mapping

from weftwork.compiler.settings import HostProfile
from weftwork.program.linux import Sysctl

_ROUTER = {
    "net/ipv4/ip_forward": "1",
    # A router has no sockets worth looking for before it looks for the route.
    "net/ipv4/ip_early_demux": "0",
    # Strict: nothing from outside may wear an address of a subnet. `all` and `default`, as the larger value counts.
    "net/ipv4/conf/all/rp_filter": "1",
    "net/ipv4/conf/default/rp_filter": "1",
    # A gateway answers ARP in its own subnet only, and asks by an address of the interface it asks on.
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv4/conf/all/proxy_arp": "0",
    "net/ipv4/conf/default/proxy_arp": "0",
    "net/ipv4/conf/all/accept_source_route": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}

_NO_IPV6 = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}


def router(scope: str, profile: HostProfile, *, bridged: bool = True) -> Iterator[Sysctl]:
    """Routes IPv4 and has no IPv6; bridged packets are given to the inet table only if the policy waits there."""
    yield from _each(scope, _ROUTER)
    yield from _shared(scope, profile, call_iptables=bridged and profile.filter_mode == "br_netfilter")


def l2_only(scope: str, profile: HostProfile) -> Iterator[Sysctl]:
    """Forwards frames and nothing else."""
    yield from _each(scope, {"net/ipv4/ip_forward": "0"})
    yield from _shared(scope, profile, call_iptables=False)


def _shared(scope: str, profile: HostProfile, *, call_iptables: bool) -> Iterator[Sysctl]:
    if profile.has_ipv6:
        yield from _each(scope, _NO_IPV6)
    if profile.has_bridge_netfilter:
        yield Sysctl(scope, "net/bridge/bridge-nf-call-iptables", "1" if call_iptables else "0")
        yield Sysctl(scope, "net/bridge/bridge-nf-call-ip6tables", "0")
        yield Sysctl(scope, "net/bridge/bridge-nf-call-arptables", "0")


def _each(scope: str, values: Mapping[str, str]) -> Iterator[Sysctl]:
    return (Sysctl(scope, name, value) for name, value in values.items())
