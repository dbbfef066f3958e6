"""Names and MACs on the host. All follow from the intent, so every host and every restart gives the same."""

from collections.abc import Iterable
from hashlib import blake2b
from ipaddress import IPv4Address

from weftwork.base.addresses import Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.settings import HostProfile
from weftwork.model.security_group import GroupRef
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc

NFT_NAME_BYTES_MAX = 255
"""NFT_NAME_MAXLEN less the final zero."""

VLAN_BRIDGE = "br0"
EXTERNAL_LEG = "ext0"
INNER_LEG = "in0"
"""Of a gateway of the fleet, towards the hosts of a VPC."""
PEER_LEGS = "peer*"
"""Matches the names of all legs towards peers, and no other interface."""
PEERINGS_SCOPE = "weft-peerings"
PEERINGS_MARK = "peerings"

NO_EPOCH = 1
"""A mark that is never an epoch."""


def scope_of(vpc: Vpc) -> str:
    """The VPC's network namespace."""
    return vpc.netns


def owner_mark(owner: ProjectKey) -> str:
    return f"vpc {owner}"


def bridge_of(subnet: Subnet, profile: HostProfile) -> str:
    """The bridge that the subnet's ports are under."""
    return VLAN_BRIDGE if profile.layout == "vlan" else f"br{subnet.vlan}"


def leg_of(subnet: Subnet, profile: HostProfile) -> str:
    """The router's interface in the subnet."""
    return f"{VLAN_BRIDGE}.{subnet.vlan}" if profile.layout == "vlan" else f"br{subnet.vlan}"


def vtep_of(subnet: Subnet) -> str:
    """The device that leads to the subnet's ports on other hosts: at most 6 bytes."""
    return f"vx{subnet.vlan}"


VTEPS = "vx*"
"""Matches the names of all VTEPs, and no other interface."""


def vtep_mac(subnet: Subnet) -> Mac:
    """Nobody sends from it: a VTEP drops what comes with its own MAC, so it is not the gateway's."""
    return _router_mac(_digest(f"vtep {subnet.vni}", 4))


def gateway_mac(vpc: Vpc) -> Mac:
    """The router's MAC in every subnet of the VPC: each subnet is a broadcast domain of its own.

    One for all, so that the VLAN bridge and its VLAN interfaces agree: otherwise the bridge turns promiscuous.
    """
    return _router_mac(_digest(f"gateway {vpc.vni}", 4))


def external_mac(vpc: Vpc) -> Mac:
    """Unique on the external network and among peers, where routers meet: it holds the VNI (24 bits)."""
    return _router_mac(vpc.vni.to_bytes(4, "big"))


def gateway_scope(vpc: Vpc) -> str:
    """The namespace of the VPC on a gateway of the fleet."""
    return f"weft-gw-{vpc.vni}"


def gateway_mark(owner: ProjectKey) -> str:
    return f"gateway {owner}"


def transit_mac(vpc: Vpc, underlay: IPv4Address) -> Mac:
    """Of a host's end of the VPC's transit."""
    return _router_mac(_digest(f"transit {vpc.vni} {underlay}", 4))


def transit_gateway_mac(vpc: Vpc) -> Mac:
    """Of the gateway's end, whichever of them it is."""
    return _router_mac(_digest(f"transit {vpc.vni} gateway", 4))


def external_bridge_mac() -> Mac:
    return _router_mac(_digest("external bridge", 4))


def uplink_peer(vpc: Vpc) -> str:
    return f"up{vpc.vni}"


def peer_leg(peer: Vpc) -> str:
    """The interface towards a peer: at most 12 bytes."""
    return f"peer{peer.vni}"


def peer_leg_end(vpc: Vpc, peer: Vpc) -> str:
    """The other end of the VPC's leg towards a peer: at most 13 bytes."""
    return f"{vpc.vni:x}-{peer.vni:x}"


def peering_bridge(one: Vpc, other: Vpc) -> str:
    """Where the legs of two VPCs meet: at most 15 bytes."""
    low, high = sorted((one.vni, other.vni))
    return f"br{low:x}-{high:x}"


def peering_bridge_mac(one: Vpc, other: Vpc) -> Mac:
    return _router_mac(_digest(peering_bridge(one, other), 4))


def out_chain(group: str) -> str:
    return f"out.{group}"


def in_chain(group: str) -> str:
    return f"in.{group}"


POLICIES_OUT, POLICIES_IN = "policies.out", "policies.in"
"""The chains that ask the network policies."""


def policy_chain(direction: str, policy: str) -> str:
    """`policy.in.NAME`."""
    return f"policy.{direction}.{policy}"


def members_set(group: GroupRef | str) -> str:
    return f"members.{group}"


def combination_chain(direction: str, groups: Iterable[str], lodger: ProjectKey | None = None) -> str:
    """`in/db/web`: groups cannot hold a slash, and nft's words may. A long one is `in_` and a hash.

    `in/acme.shop/db/web` are groups of another project, of which no group's name holds a dot.
    """
    whose = (f"{lodger.org}.{lodger.project}",) if lodger else ()
    name = "/".join((direction, *whose, *groups))
    return name if len(name) <= NFT_NAME_BYTES_MAX else f"{direction}_{_digest(name, 16).hex()}"


def combination_number(chain: str) -> str:
    """What the address maps hold for a combination, as nft reads a class. 0 is the number of no combination."""
    number = int.from_bytes(_digest(chain, 4), "big") or 1
    return f"{number >> 16:04x}:{number & 0xFFFF:04x}"


def epoch_mark(total: int) -> str:
    """As nft prints a mark. An epoch is neither 0, the mark of a flow that was never judged, nor NO_EPOCH."""
    return f"0x{max(total, 2):08x}"


def _router_mac(tail: bytes) -> Mac:
    return Mac("02:47:" + tail.hex(":"))


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode(), digest_size=size).digest()
