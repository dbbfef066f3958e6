"""The policy's fixed part: which stages a flow passes, and in which tables.

A base chain per direction, and maps from an address to a number and from a number to a chain: so the kernel's check of
a ruleset for loops, which follows every map of chains, stays small, and does not run when a port is added.

A base chain before them reads the epoch that a flow may be marked with, and what marks it asks if it is the epoch
still. For a chain runs with the rules of the moment it is entered, but sets are of the moment they are looked up in:
read once, the epoch could be of another policy than the rules that judged.
"""

from collections.abc import Iterator

from weftwork.compiler.linux import names
from weftwork.compiler.settings import HostProfile
from weftwork.model.security_group import Protocol
from weftwork.program.linux import Family, NftChain, NftElement, NftSet, NftTable
from weftwork.program.resource import Resource

EPOCH_SET = "epoch"
STAMP_MAP = "stamp"
SAME_SET = "same"
"""Each port's address beside itself: how a rule asks whether two addresses of a packet are one, and a port's."""
PEERS_SET = "peers"
"""The ranges of the peers, whose routers judge what their guests send and get."""
ALLOW_OUT = "accept"
"""What an egress rule says: the flow goes on to the ingress stage."""
ALLOW_IN = "goto stamp"
"""What an ingress rule says: the flow is marked with the epoch and passes."""

_IPV4 = "2"
"""NFPROTO_IPV4, as nft prints it numerically."""

_SETS = (
    ("egress", "ipv4_addr", "classid"),
    ("ingress", "ipv4_addr", "classid"),
    ("out_policy", "classid", "verdict"),
    ("in_policy", "classid", "verdict"),
    (STAMP_MAP, "nf_proto", "mark"),
    (SAME_SET, "ipv4_addr . ipv4_addr", ""),
)
_EPOCHS_MAX = 8
"""It is one; in a transaction, the old one and the new. Every packet looks here, so the kernel is told how few."""

_INVALID = 'ct state invalid counter name "invalid" drop'
# The packet's mark is 0 as long as nothing is to be judged, else the epoch that its flow will be marked with. Should
# the look-up meet a change and find nothing, it is a mark that is never an epoch: the flow is judged again next time.
_JUDGED = "ct mark @epoch accept"
_TO_JUDGE = (
    f"meta mark set {names.NO_EPOCH}",
    f"meta mark set ct l3proto map @{STAMP_MAP}",
    "accept",
)
# An ICMP error passes with the flow that it quotes, so guests could send anything to whoever has a flow: only an end of
# the flow may complain of it. Outside, routers may, too.
_ERRORS = "meta l4proto 1 ct state related jump errors"
_OF_AN_END = (
    "ip saddr . ct reply ip saddr @same return",
    "ip saddr . ct original ip saddr @same return",
)
_FROM_PEER = f'iifname "{names.PEER_LEGS}"'
_TO_PEER = f'oifname "{names.PEER_LEGS}"'
_NOTHING_TO_JUDGE = "meta mark 0 accept"
# Above the groups. Its chain is of a slice of its own, as `to_outside` is.
# The packet's priority holds the number of a combination of groups between two rules: the mark is in use.
_OUT_STAGE = (
    f"jump {names.POLICIES_OUT}",
    "meta priority set none",
    "meta priority set ct original ip saddr map @egress",
    "meta priority vmap @out_policy",
)
_IN_STAGE = (
    _NOTHING_TO_JUDGE,
    f"jump {names.POLICIES_IN}",
    "meta priority set none",
    "meta priority set ct reply ip saddr map @ingress",
    "meta priority vmap @in_policy",
)
# Only if it is the epoch still: judged by what came after it, a flow would pass when the policy comes back to it.
_STAMP = ("meta mark @epoch ct mark set meta mark", "meta priority set none", "accept")
PROTOCOL_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17}
DNAT_TUPLE = (
    "ct original ip daddr . meta l4proto . ct original proto-dst . ct reply ip saddr . ct reply proto-src @dnat_flows"
)


def _drop(counter: str) -> str:
    return f'counter name "{counter}" drop'


_RESERVED = "{ 67, 68, 4754, 4755, 4789, 4790, 6081, 6635, 8472 }"
"""UDP ports of DHCP and of tunnels, as the guard knows them."""
# As the receiver would see it: the guard has judged what the sender sent. No flow uses them, so no answer needs a look.
_NEVER = (f"udp sport {_RESERVED} {_drop('reserved_port')}", f"udp dport {_RESERVED} {_drop('reserved_port')}")

# Only routed packets come from outside, go there, or are translated; a bridged one that says so is refused.
_BRIDGED = {
    "judged": (_ERRORS, _JUDGED, "meta protocol arp accept", _INVALID, *_TO_JUDGE),
    "errors": (*_OF_AN_END, _drop("forged_error")),
    "leave": (_NOTHING_TO_JUDGE, *_NEVER, *_OUT_STAGE, "goto from_outside"),
    "arrive": (*_IN_STAGE, "goto to_outside"),
    "from_outside": (_drop("denied_from_outside"),),
    "to_outside": (_drop("denied_to_outside"),),
    "stamp": _STAMP,
}

# A translated flow must be one of today's DNAT rules, whoever began it.
_ROUTED = {
    "judged": (_ERRORS, _JUDGED, _INVALID, *_TO_JUDGE),
    # The router of a peer has asked the same about its own end.
    "errors": (*_OF_AN_END, f'iifname "{names.EXTERNAL_LEG}" return', f"{_FROM_PEER} return", _drop("forged_error")),
    "leave": (_NOTHING_TO_JUDGE, *_NEVER, "ct status dnat goto translated", "goto origin"),
    "translated": (
        f"meta l4proto 6 {DNAT_TUPLE} goto origin",
        f"meta l4proto 17 {DNAT_TUPLE} goto origin",
        _drop("denied_from_outside"),
    ),
    "origin": (*_OUT_STAGE, "goto from_outside"),
    "from_outside": (
        f"ct original ip saddr @{PEERS_SET} goto from_peer",
        "ct status dnat accept",
        _drop("denied_from_outside"),
    ),
    "arrive": (*_IN_STAGE, f"ct reply ip saddr @{PEERS_SET} goto to_peer", "goto to_outside"),
    # The peer's router judges its own guests. A flow with a peer goes by the leg in either direction, so that none
    # slips outside while the route is not there yet.
    "from_peer": (f"{_FROM_PEER} accept", f"{_TO_PEER} accept", _drop("denied_from_peer")),
    "to_peer": (f"{_FROM_PEER} goto stamp", f"{_TO_PEER} goto stamp", _drop("denied_to_peer")),
    "stamp": _STAMP,
    # The router offers an answer to ping; DHCP is read from a packet socket, before this.
    "router": (
        f"{_FROM_PEER} {_drop('denied_router')}",
        f'iifname != "{names.EXTERNAL_LEG}" ip daddr @gateways icmp type echo-request '
        "limit rate 200/second burst 200 packets accept",
        _drop("denied_router"),
    ),
}

# On a host of the fleet: the gateway has translated what comes by the transit, and says nothing of from what.
_OFFERED = "ct reply ip saddr . meta l4proto . ct reply proto-src @offered accept"
_CALLED = tuple(
    f'meta l4proto {protocol} {way} "{names.EXTERNAL_LEG}" {_OFFERED}'
    for protocol in (6, 17)
    for way in ("iifname", "oifname")
)

_ROUTED_HOOKS = {
    "judged": "type filter hook forward priority filter; policy drop;",
    "leave": "type filter hook forward priority 5; policy drop;",
    "arrive": "type filter hook forward priority 10; policy drop;",
    "router": "type filter hook input priority filter; policy drop;",
}
# Below 0: br_netfilter's own hook would bypass what comes later.
_BRIDGED_HOOKS = {
    "judged": "type filter hook forward priority filter; policy drop;",
    "leave": "type filter hook forward priority -195; policy drop;",
    "arrive": "type filter hook forward priority -190; policy drop;",
}


def families(profile: HostProfile) -> tuple[Family, ...]:
    """The tables that evaluate the policy: the same sets and rules of groups stand in each."""
    return (Family.INET, Family.BRIDGE) if profile.filter_mode == "bridge" else (Family.INET,)


def policy_of_vpc(scope: str, profile: HostProfile) -> Iterator[Resource]:
    yield NftTable(scope, Family.INET)
    yield NftSet(scope, Family.INET, "gateways", "ipv4_addr")
    yield NftSet(scope, Family.INET, PEERS_SET, "ipv4_addr", flags=("interval",))
    if profile.underlay:
        yield NftSet(scope, Family.INET, "offered", "ipv4_addr . inet_proto . inet_service")
    yield NftSet(scope, Family.INET, "dnat_flows", "ipv4_addr . inet_proto . inet_service . ipv4_addr . inet_service")
    for name, rules in _ROUTED.items():
        if profile.underlay and name == "from_outside":
            rules = (*_CALLED, *rules)
        yield NftChain(scope, Family.INET, name, _ROUTED_HOOKS.get(name, ""), rules)
    if Family.BRIDGE in families(profile):
        for name, rules in _BRIDGED.items():
            yield NftChain(scope, Family.BRIDGE, name, _BRIDGED_HOOKS.get(name, ""), rules)
    for family in families(profile):
        yield NftSet(scope, family, EPOCH_SET, "mark", size=_EPOCHS_MAX)
        for name, type_, data in _SETS:
            yield NftSet(scope, family, name, type_, data)


def epoch_elements(scope: str, family: Family, epoch: str) -> tuple[NftElement, NftElement]:
    """What makes `epoch` the present one in a table: compared with and stamped by."""
    return (
        NftElement(scope, family, EPOCH_SET, epoch),
        NftElement(scope, family, STAMP_MAP, _IPV4, epoch),
    )
