"""What is in the store without an owner: the law that claims are those of their things, checked over everything."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weftwork.actions import rows
from weftwork.actions.claims import claims_of
from weftwork.actions.reach_guard import named_by
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey, parse_thing_key
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import GroupRef, SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Record


@dataclass(frozen=True, slots=True)
class Orphan:
    """A key that should not be there, or should be and is not."""

    key: str
    why: str


def orphans(records: Iterable[Record]) -> tuple[Orphan, ...]:
    """`records` are all that is under keys.ROOT, as of one revision; in key order of the findings."""
    things: dict[ThingKey, Thing] = {}
    claims: dict[str, bytes] = {}
    found: list[Orphan] = []
    for record in records:
        key = parse_thing_key(record.key)
        if record.key.startswith((keys.quota(), keys.host())):
            continue  # also of projects that have nothing; and the fleet's hosts are no project's
        if key is None:
            claims[record.key] = record.value
            continue
        try:
            things[key] = rows.decode(key, record.value)
        except ValueError as error:
            found.append(Orphan(record.key, f"cannot be read: {error}"))
    found += _without_parent(things)
    found += _mismatched(things, claims)
    return tuple(sorted(found, key=lambda one: (one.key, one.why)))


def _without_parent(things: dict[ThingKey, Thing]) -> Iterator[Orphan]:
    for key, thing in things.items():
        for parent in parents_of(thing):
            if parent not in things:
                yield Orphan(str(key), f"its {parent.kind} {parent.name or parent.owner} does not exist")


def parents_of(thing: Thing) -> Iterator[ThingKey]:
    """What has to be there for the thing to be."""
    owner = thing.owner
    if not isinstance(thing, Vpc):
        yield ThingKey("vpc", owner)
    if isinstance(thing, Port):
        yield ThingKey("subnet", thing.home, thing.subnet)
        if thing.lender:
            yield ThingKey("subnet-share", thing.lender, f"{thing.subnet}/{owner}")
        yield from (ThingKey("security-group", owner, group) for group in thing.groups)
    if isinstance(thing, SubnetShare):
        yield ThingKey("subnet", owner, thing.subnet)
    if isinstance(thing, SecurityGroup):
        named = {rule.peer for rule in (*thing.ingress, *thing.egress) if isinstance(rule.peer, GroupRef)}
        yield from (ThingKey("security-group", owner, one.name) for one in named if one.owner is None)
        # The group of a peer may be there or not; the half towards its project is.
        yield from (ThingKey("peering", owner, str(one.owner)) for one in named if one.owner is not None)
    if isinstance(thing, NetworkPolicy):
        yield from (ThingKey("security-group", owner, name) for name in sorted(thing.groups_named))
        yield from (ThingKey("subnet", owner, name) for name in sorted(thing.subnets_named))
    if isinstance(thing, Vm):
        yield from (ThingKey("port", owner, port_id) for port_id in thing.ports)
        if thing.group:
            yield ThingKey("security-group", owner, thing.group)
    if isinstance(thing, ReachTest):
        yield from named_by(thing)


def _mismatched(things: dict[ThingKey, Thing], claims: dict[str, bytes]) -> Iterator[Orphan]:
    wanted = {claim.key: claim.value for thing in things.values() for claim in claims_of(thing)}
    wanted |= {
        keys.external_claim(thing.external_ip): str(thing.owner).encode()
        for thing in things.values()
        if isinstance(thing, Snat | Dnat)
    }
    wanted |= {keys.reach_guard(thing.owner): b"" for thing in things.values() if isinstance(thing, ReachTest)}
    optional = _optional(things)
    for key in claims.keys() - wanted.keys():
        owners = optional.get(key, frozenset())
        if owners is not None and claims[key] not in owners:
            yield Orphan(key, "nothing owns it")
    for key, value in wanted.items():
        if key not in claims:
            yield Orphan(key, "a thing exists whose claim is missing")
        elif claims[key] != value:
            yield Orphan(key, f"it names {claims[key]!r} as its owner, not {value!r}")
    yield from _dangling_targets(things)


def _optional(things: dict[ThingKey, Thing]) -> dict[str, frozenset[bytes] | None]:
    """What a VPC may have, and the values it may then have; None: any."""
    vpcs = [thing for thing in things.values() if isinstance(thing, Vpc)]
    optional: dict[str, frozenset[bytes] | None] = {keys.mac_counter(vpc.owner): None for vpc in vpcs}
    optional |= {keys.reach_guard(vpc.owner): None for vpc in vpcs}
    for vpc in vpcs:
        key = keys.cidr_used(vpc.cidr)
        optional[key] = (optional.get(key) or frozenset()) | {str(vpc.owner).encode()}
    return optional


def _dangling_targets(things: dict[ThingKey, Thing]) -> Iterator[Orphan]:
    ports = (thing for thing in things.values() if isinstance(thing, Port))
    addresses = {(port.owner, address) for port in ports if not port.lender for address in port.addresses}
    for key, thing in things.items():
        if isinstance(thing, Dnat) and (thing.owner, thing.internal_ip) not in addresses:
            yield Orphan(str(key), f"no port has its internal address {thing.internal_ip}")
