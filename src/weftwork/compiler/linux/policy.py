"""The policy's fixed part: which stages a flow passes, and in which tables.

Two base chains, one per direction, and maps from an address to a number and from a number to a chain: so the kernel's
check of a ruleset for loops, which follows every map of chains, stays small, and does not run when a port is added.
"""

from collections.abc import Iterator

from weftwork.compiler.settings import HostProfile
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Resource

EPOCH_SET = "epoch"
STAMP_MAP = "stamp"
ALLOW_OUT = "accept"
"""What an egress rule says: the flow goes on to the ingress stage."""
ALLOW_IN = "goto stamp"
"""What an ingress rule says: the flow is marked with the epoch and passes."""

_IPV4 = "2"
"""NFPROTO_IPV4, as nft prints it numerically."""

_SETS = (
    ("egress", "ipv4_addr", "mark"),
    ("ingress", "ipv4_addr", "mark"),
    ("out_policy", "mark", "verdict"),
    ("in_policy", "mark", "verdict"),
    (EPOCH_SET, "mark", ""),
    (STAMP_MAP, "nf_proto", "mark"),
)

_JUDGED = "ct mark @epoch accept"
_INVALID = 'ct state invalid counter name "invalid" drop'
_OUT_STAGE = (
    "meta mark set 0",
    "meta mark set ct original ip saddr map @egress",
    "meta mark vmap @out_policy",
)
_IN_STAGE = (
    _JUDGED,
    "meta mark set 0",
    "meta mark set ct reply ip saddr map @ingress",
    "meta mark vmap @in_policy",
    "goto to_outside",
)
_STAMP = (f"ct mark set ct l3proto map @{STAMP_MAP}", "accept")
_DNAT_TUPLE = (
    "ct original ip daddr . meta l4proto . ct original proto-dst . ct reply ip saddr . ct reply proto-src @dnat_flows"
)


def _drop(counter: str) -> str:
    return f'counter name "{counter}" drop'


# Only routed packets come from outside, go there, or are translated; a bridged one that says so is refused.
_BRIDGED = {
    "leave": (_JUDGED, "meta protocol arp accept", _INVALID, *_OUT_STAGE, "goto from_outside"),
    "arrive": ("meta protocol arp accept", *_IN_STAGE),
    "from_outside": (_drop("denied_from_outside"),),
    "to_outside": (_drop("denied_to_outside"),),
    "stamp": _STAMP,
}

# A translated flow must be one of today's DNAT rules, whoever began it.
_ROUTED = {
    "leave": (_JUDGED, _INVALID, "ct status dnat goto translated", "goto origin"),
    "translated": (
        f"meta l4proto 6 {_DNAT_TUPLE} goto origin",
        f"meta l4proto 17 {_DNAT_TUPLE} goto origin",
        _drop("denied_from_outside"),
    ),
    "origin": (*_OUT_STAGE, "goto from_outside"),
    "from_outside": ("ct status dnat accept", _drop("denied_from_outside")),
    "arrive": _IN_STAGE,
    "stamp": _STAMP,
    # The router offers an answer to ping; DHCP is read from a packet socket, before this.
    "router": (
        'iifname != "ext0" ip daddr @gateways icmp type echo-request limit rate 200/second burst 200 packets accept',
        _drop("denied_router"),
    ),
}

_ROUTED_HOOKS = {
    "leave": "type filter hook forward priority filter; policy drop;",
    "arrive": "type filter hook forward priority 10; policy drop;",
    "router": "type filter hook input priority filter; policy drop;",
}
# Below 0: br_netfilter's own hook would bypass what comes later.
_BRIDGED_HOOKS = {
    "leave": "type filter hook forward priority filter; policy drop;",
    "arrive": "type filter hook forward priority -190; policy drop;",
}


def families(profile: HostProfile) -> tuple[Family, ...]:
    """The tables that evaluate the policy: the same sets and rules of groups stand in each."""
    return (Family.INET, Family.BRIDGE) if profile.filter_mode == "bridge" else (Family.INET,)


def policy_of_vpc(scope: str, profile: HostProfile) -> Iterator[Resource]:
    yield NftTable(scope, Family.INET)
    yield NftSet(scope, Family.INET, "gateways", "ipv4_addr")
    yield NftSet(scope, Family.INET, "dnat_flows", "ipv4_addr . inet_proto . inet_service . ipv4_addr . inet_service")
    for name, rules in _ROUTED.items():
        yield NftChain(scope, Family.INET, name, _ROUTED_HOOKS.get(name, ""), rules)
    if Family.BRIDGE in families(profile):
        for name, rules in _BRIDGED.items():
            yield NftChain(scope, Family.BRIDGE, name, _BRIDGED_HOOKS.get(name, ""), rules)
    for family in families(profile):
        for name, type_, data in _SETS:
            yield NftSet(scope, family, name, type_, data)


def epoch_elements(scope: str, family: Family, epoch: str) -> tuple[NftElement, NftElement]:
    """What makes `epoch` the present one in a table: compared with and stamped by."""
    return (
        NftElement(scope, family, EPOCH_SET, epoch),
        NftElement(scope, family, STAMP_MAP, _IPV4, epoch),
    )
