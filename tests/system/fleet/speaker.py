"""GoBGP on the lab's underlay, a speaker that is not ours: what the reflectors tell it."""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fleet_kit import Fleet

from weftwork.apps.lab.machine import Machine, end

ADDRESS = "192.168.77.50"
_NEIGHBOR = """
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{address}"
    peer-as = 65000
  [neighbors.timers.config]
    connect-retry = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
"""
_GLOBAL = f"""
[global.config]
  as = 65000
  router-id = "{ADDRESS}"
"""
_COUNTED = """
table inet speaker {
    counter vxlan { }
    chain input { type filter hook input priority 0; udp dport 4789 counter name vxlan; }
}
"""
_ROUTE_TARGET = 2
"""The sub-type of an extended community."""


@dataclass(frozen=True)
class Heard:
    """`originator` is of type 3, the rest of type 2; `address` is empty where a MAC is announced alone."""

    type: int
    mac: str
    address: str
    originator: str
    next_hop: str
    targets: frozenset[str]


class Speaker:
    """Runs while the block does, with a session to both reflectors."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def __enter__(self) -> Self:
        lab = self._fleet.lab
        self._machine = Machine.boot("foreign")
        lab.connect(self._machine, ADDRESS)
        self._machine.run("nft", _COUNTED)
        configuration = lab.folder / "gobgpd.toml"
        reflectors = (lab.state.hosts[name].underlay for name in ("h1", "h2"))
        configuration.write_text(_GLOBAL + "".join(_NEIGHBOR.format(address=one) for one in reflectors))
        self._pid = self._machine.start("gobgpd", "-f", str(configuration), log=lab.folder / "gobgpd.log")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end(self._pid)
        self._machine.power_off()

    def routes(self) -> set[Heard]:
        """From whoever told it best."""
        said = self._machine.run("gobgp", "-j", "global", "rib", "-a", "evpn", check=False)
        found = json.loads(said) if said.startswith(("{", "[")) else {}
        return {_heard(path) for paths in found.values() if isinstance(paths, list) for path in paths}

    def announce(self, mac: str, address: str, vni: int) -> None:
        """That a port is here."""
        where = ("rd", f"{ADDRESS}:9", "rt", f"65000:{vni}", "encap", "vxlan")
        self._machine.run(
            *("gobgp", "global", "rib", "add", "-a", "evpn", "macadv", mac, address, "etag", "0"),
            *("label", str(vni), *where),
        )

    def datagrams(self) -> int:
        """VXLAN that came here."""
        said = json.loads(self._machine.run("nft", "-j", "list", "counter", "inet", "speaker", "vxlan"))
        return int(said["nftables"][-1]["counter"]["packets"])


def _heard(path: dict[str, Any]) -> Heard:
    route = path["nlri"]["value"]
    attributes = path["attrs"]
    communities = [one for attribute in attributes if attribute["type"] == 16 for one in attribute["value"]]
    return Heard(
        path["nlri"]["type"],
        route.get("mac", ""),
        route.get("ip", "").replace("<nil>", "") if path["nlri"]["type"] == 2 else "",
        route.get("ip", "") if path["nlri"]["type"] == 3 else "",
        next((one["nexthop"] for one in attributes if one["type"] == 14), ""),
        frozenset(one["value"] for one in communities if one["subtype"] == _ROUTE_TARGET),
    )
