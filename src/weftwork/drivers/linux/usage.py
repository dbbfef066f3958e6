"""Counters and connection tracking of VPCs' namespaces, for metrics."""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from weftwork.drivers.linux import namespaces, nft
from weftwork.drivers.linux.netlink import NETFILTER, Socket, attributes
from weftwork.program.linux import GUARD_REASONS
from weftwork.seams.usage import Usage

FLOWS_LOOKED_AT_MAX = 50_000
"""Of a VPC: reading one takes some 10 µs."""
_JSON = 1 << 4
_TABLE = "weftwork"
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_GET_FLOWS = 1 << 8 | 1
_REPLY, _STATUS = 2, 3
_IP, _V4_DESTINATION = 1, 2
_SOURCE_TRANSLATED = 1 << 4
"""IPS_SRC_NAT."""


class LinuxUsage:
    """Implements `seams.usage.UsageSource`."""

    async def usage(self, scopes: Collection[str]) -> Mapping[str, Usage]:
        return await asyncio.to_thread(_usage_of_all, tuple(scopes))

    async def conntrack_max(self) -> int:
        return await asyncio.to_thread(_number, _MAX)


def _usage_of_all(scopes: Collection[str]) -> Mapping[str, Usage]:
    found: dict[str, Usage] = {}
    for scope in scopes:
        with suppress(OSError), namespaces.opened(scope) as namespace, namespaces.inside(namespace):
            found[scope] = _usage()
    return found


def _usage() -> Usage:
    """Of the namespace the thread stands in."""
    tracked = _number(_COUNT)
    return Usage(
        dropped=_counted(),
        port_dropped=_dropped_by_port(),
        conntrack=tracked,
        nat_ports=dict(_translated()) if tracked <= FLOWS_LOOKED_AT_MAX else None,
    )


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _listed(command: str) -> list[dict[str, Any]]:
    """What nft lists; nothing where there is no such thing."""
    try:
        objects: list[dict[str, Any]] = json.loads(nft.run(command, _JSON) or "{}").get("nftables", [])
    except (nft.NftError, ValueError):
        return []
    return objects


def _counted() -> Mapping[str, int]:
    """The same reason may be counted for bridged and for routed packets."""
    counts: Counter[str] = Counter()
    for one in _listed("list counters"):
        counter = one.get("counter", {})
        if counter.get("table") == _TABLE and counter.get("packets"):
            counts[counter["name"]] += counter["packets"]
    return counts


def _dropped_by_port() -> Mapping[tuple[str, str], int]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in _listed(f"list set bridge {_TABLE} dropped"):
        for element in one.get("set", {}).get("elem", ()):
            found = element.get("elem", {}) if isinstance(element, dict) else {}
            device, mark = found.get("val", {}).get("concat", ("", 0))
            if device and 1 <= int(mark) <= len(GUARD_REASONS):
                counts[device, GUARD_REASONS[int(mark) - 1]] += found.get("counter", {}).get("packets", 0)
    return counts


def _translated() -> Iterator[tuple[str, int]]:
    counts: Counter[bytes] = Counter()
    with Socket(NETFILTER) as netlink:
        for flow in netlink.dump(_GET_FLOWS, struct.pack("=BBH", 2, 0, 0)):
            found = attributes(flow, 4)
            if int.from_bytes(found.get(_STATUS, b""), "big") & _SOURCE_TRANSLATED:
                ends = attributes(attributes(found.get(_REPLY, b"")).get(_IP, b""))
                counts[ends.get(_V4_DESTINATION, b"\0\0\0\0")] += 1
    yield from ((str(IPv4Address(packed)), count) for packed, count in counts.items())
