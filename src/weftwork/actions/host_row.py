"""A host of the fleet as it stands in the store."""

from ipaddress import IPv4Address
from typing import Any

import msgspec

from weftwork.model.host import Host, HostFacts, Role


class _FactsRow(msgspec.Struct, gc=False):
    kernel: str
    filter_modes: list[str]
    has_bridge_netfilter: bool
    has_ipv6: bool
    layouts: tuple[str, ...] = ("bridges",)


class _Row(msgspec.Struct, gc=False):
    name: str
    roles: list[str]
    labels: dict[str, str]
    underlay: str
    created_at: int
    draining: bool = False
    identity: str = ""
    token_hash: str = ""
    token_expires_at: int = 0
    facts: _FactsRow | None = None


_read = msgspec.json.Decoder(_Row).decode


def host_of(value: bytes) -> Host:
    """ValueError when it cannot be read."""
    row = _read(value)
    return Host(
        name=row.name,
        roles=frozenset(map(Role, row.roles)),
        labels=tuple(sorted(row.labels.items())),
        underlay=IPv4Address(row.underlay),
        created_at=row.created_at,
        is_draining=row.draining,
        identity=row.identity,
        token_hash=row.token_hash,
        token_expires_at=row.token_expires_at,
        facts=_facts_of(row.facts) if row.facts else None,
    )


def encoded(host: Host) -> bytes:
    row = _Row(
        name=host.name,
        roles=sorted(one.value for one in host.roles),
        labels=dict(host.labels),
        underlay=str(host.underlay),
        created_at=host.created_at,
        draining=host.is_draining,
        identity=host.identity,
        token_hash=host.token_hash,
        token_expires_at=host.token_expires_at,
        facts=_row_of(host.facts) if host.facts else None,
    )
    return msgspec.json.encode(row)


def _facts_of(row: _FactsRow) -> HostFacts:
    return HostFacts(row.kernel, tuple(row.filter_modes), row.has_bridge_netfilter, row.has_ipv6, row.layouts)


def _row_of(facts: HostFacts) -> _FactsRow:
    return _FactsRow(facts.kernel, list(facts.filter_modes), facts.has_bridge_netfilter, facts.has_ipv6, facts.layouts)


def shown(host: Host) -> dict[str, Any]:
    """What may be told of it, and be in the audit log."""
    return {
        "name": host.name,
        "roles": sorted(one.value for one in host.roles),
        "labels": dict(host.labels),
        "underlay_ip": str(host.underlay),
        "draining": host.is_draining,
        "joined": bool(host.identity),
    }
