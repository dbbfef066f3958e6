"""What the daemons have learned and how their neighbours are: telemetry, for people and for tests."""

import json
import re

from weftwork.drivers.frr.daemons import Daemons
from weftwork.drivers.frr.vty import ask
from weftwork.seams.channel import Session

_VRF = re.compile(r"vrf (\S+) (?:id \d+ )?netns")


async def neighbours(daemons: Daemons) -> tuple[Session, ...]:
    (said,) = await ask(daemons.path("bgpd.vty"), "show bgp l2vpn evpn summary json")
    peers = json.loads(said or "{}").get("peers", {})
    return tuple(Session(peer, one["state"], one.get("pfxRcd", 0)) for peer, one in sorted(peers.items()))


async def vrfs(daemons: Daemons) -> frozenset[str]:
    """The namespaces that zebra follows."""
    (said,) = await ask(daemons.path("zebra.vty"), "show vrf")
    return frozenset(_VRF.findall(said))


async def vnis(daemons: Daemons) -> int:
    """How many zebra knows to be here."""
    (said,) = await ask(daemons.path("zebra.vty"), "show evpn vni json")
    return len(json.loads(said or "{}"))
