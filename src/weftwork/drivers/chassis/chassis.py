"""What the local Open vSwitch says that it is to OVN."""

from dataclasses import dataclass

from weftwork.base.errors import Failure
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Endpoint

_WATCHED = {"Open_vSwitch": ("external_ids",), "Bridge": ("name", "datapath_type")}


@dataclass(frozen=True, slots=True)
class Chassis:
    name: str
    datapath: str
    """`netdev` (user space), or `system` (the kernel's), which an empty text means too."""
    southbound: str = ""
    """Where its ovn-controller finds the southbound (ovn-controller(8), `ovn-remote`)."""

    @property
    def is_in_user_space(self) -> bool:
        return self.datapath == "netdev"


async def find_chassis(switch: Endpoint, bridge: str = "br-int") -> Chassis:
    """Raises Failure when this host is no chassis."""
    client = Client((switch,), "Open_vSwitch", _WATCHED, code="OVS_CONNECTION_FAILED")
    try:
        (row,) = (await client.rows("Open_vSwitch")).values()
        bridges = {one["name"]: one["datapath_type"] for one in (await client.rows("Bridge")).values()}
    finally:
        await client.close()
    name = row["external_ids"].get("system-id", "")
    if not name or bridge not in bridges:
        raise Failure("OVS_CONNECTION_FAILED", f"{switch}: this host is no chassis of an OVN (system-id, {bridge})")
    return Chassis(name, bridges[bridge], row["external_ids"].get("ovn-remote", ""))
