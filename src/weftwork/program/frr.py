"""What a host's private routing daemons hold: BGP with EVPN, its neighbours, and the networks that it announces.

All of it is in the scope of the host's own namespace. What the daemons learn is telemetry, never a resource.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar

from weftwork.program.resource import Key


@dataclass(frozen=True, slots=True)
class BgpRouter:
    """The host's speaker; it says nothing but EVPN, by VXLAN, of every VNI that is here. One a host."""

    rank: ClassVar[int] = 13
    asn: int
    router_id: IPv4Address
    scope: str = ""

    @property
    def key(self) -> Key:
        return ("bgp-router", self.scope)


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """A neighbour of the same autonomous system. `is_client`: we reflect to it what others say."""

    rank: ClassVar[int] = 14
    address: IPv4Address
    asn: int
    is_client: bool = False
    scope: str = ""

    @property
    def key(self) -> Key:
        return ("bgp-peer", self.scope, str(self.address))


@dataclass(frozen=True, slots=True)
class EvpnVrf:
    """A VPC's namespace, which the daemons see as a VRF and where they write what they learned."""

    rank: ClassVar[int] = 15
    netns: str
    scope: str = ""

    @property
    def key(self) -> Key:
        return ("evpn-vrf", self.scope, self.netns)


@dataclass(frozen=True, slots=True)
class EvpnVni:
    """A VNI with the route targets it is announced with. Those of `imports` come in, and no others."""

    rank: ClassVar[int] = 16
    vni: int
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    scope: str = ""

    @property
    def key(self) -> Key:
        return ("evpn-vni", self.scope, str(self.vni))


FrrResource = BgpRouter | BgpPeer | EvpnVrf | EvpnVni
