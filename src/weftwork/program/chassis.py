"""What a chassis of OVN holds for us: the devices of guests, plugged into the integration bridge."""

from dataclasses import dataclass
from typing import ClassVar

from weftwork.base.addresses import Mac
from weftwork.program.linux import LinkKind
from weftwork.program.resource import Key


@dataclass(frozen=True, slots=True)
class ChassisPort:
    """A guest's device under `br-int`, bound to the logical port `iface_id`.

    VETH: the far end is put into `peer_netns` as `peer_name`, with the guest's MAC and MTU, and without checksum
    offload where the datapath is in user space. TAP: a device in the chassis' namespace, for a VMM.
    """

    rank: ClassVar[int] = 30
    scope: str
    name: str
    kind: LinkKind
    iface_id: str
    mac: Mac
    mtu_bytes: int
    peer_netns: str = ""
    peer_name: str = ""

    @property
    def key(self) -> Key:
        return ("chassis-port", self.scope, self.name)


ChassisResource = ChassisPort
