"""Hosts of the fleet: added by the operator, joined by their agents with a token that is good once, removed."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.access.token import hashed, matches
from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.host_row import encoded, shown
from weftwork.actions.network import ATTEMPTS, CATCH_UP_S, Network
from weftwork.base import codes
from weftwork.model import keys
from weftwork.model.host import Host, HostFacts, Role
from weftwork.model.port import Port
from weftwork.seams.store import Conflict, Empty, Put, Remove, Transaction, Unchanged

TOKEN_LIFETIME_S = 3600
TOKEN_LIFETIME_S_MAX = 7 * 86_400
HOSTS_MAX = 10_000
LABELS_MAX = 32
_MARK = "weftjoin_"
_SECRET_BYTES = 32
_SHOWN_MAX = 5


async def add_host(
    network: Network,
    *,
    name: str,
    underlay: IPv4Address | None,
    roles: frozenset[Role] = frozenset(),
    labels: Mapping[str, str] | None = None,
    token_lifetime_s: int = 0,
    again: bool = False,
) -> tuple[Host, str]:
    """The host and the token that one agent may join with, which is told this once.

    With `again` for a host that is there: until somebody joins with it, the old agent goes on.
    Refusals NO_FLEET, INVALID_ARGUMENT, MISSING_FIELD, HOST_ALREADY_EXISTS, HOST_NOT_FOUND, QUOTA_EXCEEDED.
    """
    _check_fleet(network)
    if not 0 <= token_lifetime_s <= TOKEN_LIFETIME_S_MAX:
        message = f"a token to join lives at most {TOKEN_LIFETIME_S_MAX // 86_400} days"
        raise codes.INVALID_ARGUMENT.refusal(message, field="token_lifetime_s")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    expires_at = network.clock.now_s() + (token_lifetime_s or TOKEN_LIFETIME_S)

    def decide(old: Host | None) -> Host:
        if again:
            there = _known(name, old)
            return replace(there, token_hash=hashed(secret), token_expires_at=expires_at)
        if old is not None:
            raise codes.HOST_ALREADY_EXISTS.refusal(f"there is a host {name!r}", field="name")
        if underlay is None:
            raise codes.MISSING_FIELD.refusal("a host needs its underlay address", field="underlay_ip")
        _check_new(network, underlay)
        return Host(
            name=name,
            roles=roles or frozenset({Role.COMPUTE}),
            labels=tuple(sorted((labels or {}).items())),
            underlay=underlay,
            created_at=network.clock.now_s(),
            token_hash=hashed(secret),
            token_expires_at=expires_at,
        )

    return await _change(network, name, decide), f"{_MARK}{name}_{secret}"


async def drain_host(network: Network, *, name: str, undo: bool = False) -> Host:
    """Refusals NO_FLEET, HOST_NOT_FOUND."""
    _check_fleet(network)
    return await _change(network, name, lambda old: replace(_known(name, old), is_draining=not undo))


async def remove_host(network: Network, *, name: str) -> None:
    """Its certificate is good for nothing from then on. Refusals NO_FLEET, HOST_NOT_FOUND, HOST_IN_USE."""
    _check_fleet(network)
    for _ in range(ATTEMPTS):
        since = network.view.revision
        host, revision = network.view.hosts.get(name, (None, 0))
        if host is None:
            raise codes.HOST_NOT_FOUND.refusal(f"there is no host {name!r}")
        ports = ports_on(network, name)
        if ports:
            some = ", ".join(f"{one.owner}/{one.name or one.id}" for one in ports[:_SHOWN_MAX])
            more = f" and {len(ports) - _SHOWN_MAX} more" if len(ports) > _SHOWN_MAX else ""
            raise codes.HOST_IN_USE.refusal(f"{len(ports)} ports are plugged on {name}: {some}{more}")
        compares = (Unchanged(keys.host(name), revision), Empty(keys.host_plug(name), since))
        change = AccessChange(f"host {name}", shown(host), None)
        writes = (Remove(keys.host(name)), record_of(network, "", "", change))
        try:
            removed_at = await network.store.commit(Transaction(compares, writes))
        except Conflict as conflict:
            await network.view.wait_for(conflict.revision, timeout_s=CATCH_UP_S)
            continue
        await network.view.wait_for(removed_at, timeout_s=CATCH_UP_S)
        return
    raise codes.TOO_MANY_CONFLICTS.refusal("others change this host again and again")


async def join_host(network: Network, *, token: str) -> Host:
    """The host whose agent has come with its token, under a new identity; whoever had the old one is nobody now.

    Refusal JOIN_REFUSED.
    """
    name, _, secret = token.strip().removeprefix(_MARK).partition("_")
    identity = secrets.token_hex(16)

    def decide(old: Host | None) -> Host:
        is_good = old is not None and old.token_hash and matches(secret, old.token_hash)
        if old is None or not is_good or old.token_expires_at <= network.clock.now_s():
            raise codes.JOIN_REFUSED.refusal("this token does not let anybody join")
        return replace(old, identity=identity, token_hash="", token_expires_at=0)

    return await _change(network, name, decide)


async def note_facts(network: Network, *, name: str, facts: HostFacts) -> Host:
    """What its agent found. Refusal HOST_NOT_FOUND."""
    known, _ = network.view.hosts.get(name, (None, 0))
    if known is not None and known.facts == facts:
        return known
    return await _change(network, name, lambda old: replace(_known(name, old), facts=facts))


def get_host(network: Network, name: str) -> Host:
    """Refusal HOST_NOT_FOUND."""
    return _known(name, network.view.hosts.get(name, (None, 0))[0])


def list_hosts(network: Network) -> list[Host]:
    """By name."""
    return [host for _, (host, _) in sorted(network.view.hosts.items())]


def ports_on(network: Network, name: str) -> list[Port]:
    """Those that are plugged on a host."""
    return [
        port
        for project in network.view.intent.values()
        for port in project.ports.values()
        if port.attachment is not None and port.attachment.host == name
    ]


async def _change(network: Network, name: str, decide: Callable[[Host | None], Host]) -> Host:
    """One host as `decide` makes it of what is there."""
    key = keys.host(name)
    for _ in range(ATTEMPTS):
        since = network.view.revision
        old, revision = network.view.hosts.get(name, (None, 0))
        new = decide(old)
        if new == old:
            return new
        compares = (Unchanged(key, revision), *(() if old else (Empty(keys.host(), since),)))
        change = AccessChange(f"host {name}", shown(old) if old else None, shown(new))
        writes = (Put(key, encoded(new)), record_of(network, "", "", change))
        try:
            changed_at = await network.store.commit(Transaction(compares, writes))
        except Conflict as conflict:
            await network.view.wait_for(conflict.revision, timeout_s=CATCH_UP_S)
            continue
        await network.view.wait_for(changed_at, timeout_s=CATCH_UP_S)
        return new
    raise codes.TOO_MANY_CONFLICTS.refusal("others change this host again and again")


def _check_fleet(network: Network) -> None:
    if not network.settings.has_fleet:
        raise codes.NO_FLEET.refusal("this server listens for no agents")


def _check_new(network: Network, underlay: IPv4Address) -> None:
    if len(network.view.hosts) >= HOSTS_MAX:
        raise codes.QUOTA_EXCEEDED.refusal(f"there are {HOSTS_MAX} hosts already", resource="host")
    for other, _ in network.view.hosts.values():
        if other.underlay == underlay:
            message = f"{underlay} is the underlay address of {other.name}"
            raise codes.HOST_ALREADY_EXISTS.refusal(message, field="underlay_ip")


def _known(name: str, host: Host | None) -> Host:
    if host is None:
        raise codes.HOST_NOT_FOUND.refusal(f"there is no host {name!r}")
    return host
