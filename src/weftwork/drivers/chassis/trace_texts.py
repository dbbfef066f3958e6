"""What ovn-trace(8) and `ofproto/trace` (ovs-vswitchd(8)) say of a packet, in the few lines that decide. Pure."""

import re
from collections.abc import Iterator

_PIPELINE = re.compile(r'(?:ingress|egress)\(dp="([^"]+)"')
_STAGE = re.compile(r"\s*\d+\. (\w+)(?: \([^)]*\))?: (.*), priority (\d+), uuid \w+")
_NO_MATCH = re.compile(r"\s*\d+\. (\w+): no match \(implicit drop\)")
_TABLE = re.compile(r"\s*(\d+)\. (.*?)(?:, priority \d+)?(?:, cookie 0x\w+)?$")
_DECIDING = re.compile(r"_(acl|acl_after_lb|acl_eval|lb|ip_routing|policy|l2_lkup|apply_port_sec|snat|unsnat|dnat)$")
"""The stages of northd (ovn-northd(8)) in which it is decided what becomes of a packet; others prepare."""
_SAYING = re.compile(r"(drop;|output;|reject|ct_lb\w*\(backends|ct_s?d?nat\w*\(|outport = )")
_HINTS = re.compile(r"reg0\[\d+\] == 1 && ")


def stages(told: str) -> Iterator[str]:
    """Of a detailed trace: where, what matched, and what was done."""
    where, stage, says = "", "", ""
    for line in told.splitlines():
        if pipeline := _PIPELINE.match(line.strip()):
            where = pipeline[1]
        if (found := _STAGE.match(line)) or _NO_MATCH.match(line):
            yield from _worth(stage, says)
            nothing = _NO_MATCH.match(line)
            name, match = (found[1], found[2]) if found else (nothing[1] if nothing else "", "nothing")
            stage, says = f"{where} {name}: {_HINTS.sub('', match)}", "next" if found else "drop"
        elif _SAYING.match(line.strip()) and not says.startswith("drop"):
            says = line.strip().rstrip(";")
    yield from _worth(stage, says)


def comes_out_at(told: str, row: str) -> bool:
    return f'/* output to "{row}"' in told


def dropped_by(told: str) -> str:
    """Of `ofproto/trace`: the flow that drops the packet, or "" when none does."""
    flow = ""
    for line in told.splitlines():
        if found := _TABLE.fullmatch(line):
            flow = f"br-int table {found[1]}: {found[2]}"
        elif line.strip() == "drop" and flow:
            return f"{flow} -> drop"
    return f"{flow} -> drop" if "No match" in flow else ""


def _worth(stage: str, says: str) -> Iterator[str]:
    name = stage.partition(":")[0]
    if stage and (says == "drop" or (_DECIDING.search(name) and not stage.endswith(": 1"))):
        yield f"{stage} -> {says}"
