"""What ovn-controller writes down of a packet that an ACL logs, as a value (ovn-nb(5), ACL; ovs-fields(7))."""

import re
from datetime import datetime

from weftwork.program.flow_log import ALLOWED, called_in
from weftwork.seams.flows import Seen

_LINE = re.compile(
    r"(?P<at>\S+)\|\d+\|acl_log\([^|]*\|\w+\|"
    r'name="(?P<name>[^"]*)", verdict=(?P<verdict>\w+), severity=\w+, direction=\S+: (?P<packet>\S+)'
)
_FAMILIES = frozenset({"icmp", "tcp", "udp", "sctp", "arp", "ip"})
_VERDICTS = {True: "allow", False: "drop"}
_DHCP = frozenset({"67", "68"})


def seen_in(line: str) -> tuple[Seen, int] | None:
    """And of how many packets it is to be one. None for what is not ours, or not understood."""
    found = _LINE.match(line)
    called = called_in(found["name"]) if found else None
    if found is None or called is None or found["verdict"] != _VERDICTS[called.way.reason == ALLOWED]:
        return None
    family, _, rest = found["packet"].partition(",")
    told = dict(one.split("=", 1) for one in rest.split(",") if "=" in one)
    try:
        at_ns = round(datetime.fromisoformat(found["at"]).timestamp() * 1000) * 1_000_000
        ports = int(told.get("tp_src", "0")), int(told.get("tp_dst", "0"))
    except ValueError:
        return None
    seen = Seen(
        scope=called.scope,
        at_ns=at_ns,
        side=called.way.side,
        reason=_reason(called.way.reason, family, told),
        policy=called.way.policy,
        device="",
        protocol=_protocol(family, told),
        source=told.get("nw_src", told.get("arp_spa", "")),
        destination=told.get("nw_dst", told.get("arp_tpa", "")),
        source_port=ports[0],
        destination_port=ports[1],
    )
    return seen, called.sample


def _protocol(family: str, told: dict[str, str]) -> str:
    return told.get("nw_proto", family) if family == "ip" or family not in _FAMILIES else family


def _reason(reason: str, family: str, told: dict[str, str]) -> str:
    """One rule refuses all ports that nobody may use; those of DHCP have a name of their own."""
    if reason == "tunnel" and family == "udp" and _DHCP & {told.get("tp_src"), told.get("tp_dst")}:
        return "rogue_dhcp"
    return reason
