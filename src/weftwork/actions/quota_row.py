"""A project's quota as it stands in the store."""

from ipaddress import ip_network
from typing import Any

import msgspec

from weftwork.access.quotas import ProjectQuota
from weftwork.base.addresses import Cidr


class _Row(msgspec.Struct, gc=False):
    limits: dict[str, int] = {}
    external: list[str] | None = None
    ranges: list[str] | None = None


_read = msgspec.json.Decoder(_Row).decode


def quota_of(value: bytes) -> ProjectQuota:
    """ValueError when it cannot be read."""
    row = _read(value)
    return ProjectQuota(row.limits, _cidrs(row.external), _cidrs(row.ranges))


def shown(quota: ProjectQuota) -> dict[str, Any]:
    return {
        "limits": dict(sorted(quota.limits.items())),
        "external": None if quota.external is None else [str(one) for one in quota.external],
        "ranges": None if quota.ranges is None else [str(one) for one in quota.ranges],
    }


def encoded(quota: ProjectQuota) -> bytes:
    return msgspec.json.encode(shown(quota))


def _cidrs(texts: list[str] | None) -> tuple[Cidr, ...] | None:
    return None if texts is None else tuple(map(ip_network, texts))
