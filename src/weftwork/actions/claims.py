"""Which claims each thing holds, and the writes that make, change or remove a thing together with them.

The law that `integrity` checks: the claims in the store are those of its things, and no others. Two claims
are shared by several things or by choice: see `external` addresses in nat.py and pool ranges in vpcs.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from weftwork.actions import fresh, rows
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.intent import Thing
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef, SecurityGroup
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Compare, Put, Remove, Unchanged, Write


class Claim(NamedTuple):
    """`exclusive` ones are what two things could both want: they must not exist when they are made."""

    key: str
    value: bytes
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """Part of a transaction."""

    compares: tuple[Compare, ...] = ()
    writes: tuple[Write, ...] = ()

    def __add__(self, other: "Draft") -> "Draft":
        return Draft(self.compares + other.compares, self.writes + other.writes)


def claims_of(thing: Thing) -> tuple[Claim, ...]:
    match thing:
        case Port():
            return _port_claims(thing)
        case SecurityGroup():
            return _group_claims(thing)
        case Vpc():
            return _vpc_claims(thing)
        case Subnet(vni=vni) if vni:
            return (Claim(keys.vni_claim(vni), _owner(thing.owner), True),)
        case Snat():
            return (Claim(keys.external_use(thing.external_ip, "snat"), _owner(thing.owner), False),)
        case Dnat():
            return _dnat_claims(thing)
        case Peering():
            return _peering_claims(thing)
        case NetworkPolicy():
            return _policy_claims(thing)
        case _:
            return ()


def creation(thing: Thing) -> Draft:
    key = str(rows.key_of(thing))
    claims = claims_of(thing)
    return Draft(
        (Unchanged(key, 0), *(Unchanged(claim.key, 0) for claim in claims if claim.exclusive)),
        (Put(key, fresh.encoded(thing)), *(Put(claim.key, claim.value) for claim in claims)),
    )


def change(old: Thing, new: Thing, revision: int) -> Draft:
    """From `old`, last written at `revision`, to `new`."""
    key = str(rows.key_of(old))
    before = claims_of(old)
    after = claims_of(new)
    made = [claim for claim in after if claim not in before]
    kept_keys = {claim.key for claim in after}
    return Draft(
        (Unchanged(key, revision), *(Unchanged(claim.key, 0) for claim in made if claim.exclusive)),
        (
            Put(key, fresh.encoded(new)),
            *(Put(claim.key, claim.value) for claim in made),
            *(Remove(claim.key) for claim in before if claim.key not in kept_keys),
        ),
    )


def removal(thing: Thing, revision: int) -> Draft:
    key = str(rows.key_of(thing))
    return Draft((Unchanged(key, revision),), (Remove(key), *(Remove(claim.key) for claim in claims_of(thing))))


def net(changes: Iterable[tuple[Thing | None, Thing | None, int]]) -> Draft:
    """Many things at once, each as (old, new, revision of the old): a claim may go from one of them to another."""
    pairs = tuple(changes)
    before = {claim.key: claim for old, _, _ in pairs if old for claim in claims_of(old)}
    after = {claim.key: claim for _, new, _ in pairs if new for claim in claims_of(new)}
    compares: list[Compare] = [Unchanged(_key(old, new), revision) for old, new, revision in pairs]
    compares += [Unchanged(key, 0) for key, claim in after.items() if claim.exclusive and key not in before]
    writes: list[Write] = [
        Put(_key(old, new), fresh.encoded(new)) if new else Remove(_key(old, new)) for old, new, _ in pairs
    ]
    writes += [Put(key, claim.value) for key, claim in after.items() if before.get(key) != claim]
    writes += [Remove(key) for key in before if key not in after]
    return Draft(tuple(compares), tuple(writes))


def _key(old: Thing | None, new: Thing | None) -> str:
    thing = old or new
    assert thing is not None
    return str(rows.key_of(thing))


def joined(drafts: Iterable[Draft]) -> Draft:
    """All drafts in one; linear, where adding them one by one is not."""
    compares: list[Compare] = []
    writes: list[Write] = []
    for draft in drafts:
        compares += draft.compares
        writes += draft.writes
    return Draft(tuple(compares), tuple(writes))


def _port_claims(port: Port) -> tuple[Claim, ...]:
    owner, home = port.owner, port.home
    me = port.id.encode()
    claims = [Claim(keys.allocated(home, port.subnet, address), me, True) for address in port.addresses]
    claims.append(Claim(keys.mac_claim(home, port.mac), me, True))
    if port.lender:
        claims.append(Claim(keys.lodger(home, port.subnet, owner, port.id), b"", False))
    if port.name:
        claims.append(Claim(keys.port_name(owner, port.name), me, True))
    claims.extend(Claim(keys.member(owner, group, port.id), b"", False) for group in port.groups)
    if port.attachment and port.attachment.kind is AttachmentKind.NETNS:
        claims.append(Claim(plug_of(port.attachment), me, True))
    elif port.attachment and port.attachment.host:
        claims.append(Claim(keys.host_tap(port.attachment.host, port.id), me, True))
    return tuple(claims)


def plug_of(at: Attachment) -> str:
    """The claim on the place of the far end of a NETNS attachment."""
    return keys.host_plug(at.host, at.netns, at.interface) if at.host else keys.plug(at.netns, at.interface)


def _group_claims(group: SecurityGroup) -> tuple[Claim, ...]:
    """References to other groups only: a group that names itself can still be deleted."""
    named = {rule.peer for rule in (*group.ingress, *group.egress) if isinstance(rule.peer, GroupRef)}
    own = {one.name for one in named if one.owner is None} - {group.name}
    peers = {one.owner for one in named if one.owner is not None}
    return (
        *(Claim(keys.group_reference(group.owner, name, group.name), b"", False) for name in sorted(own)),
        *(Claim(keys.peer_group_reference(group.owner, peer, group.name), b"", False) for peer in sorted(peers)),
    )


def _policy_claims(policy: NetworkPolicy) -> tuple[Claim, ...]:
    named = (
        *(keys.ThingKey("security-group", policy.owner, name) for name in sorted(policy.groups_named)),
        *(keys.ThingKey("subnet", policy.owner, name) for name in sorted(policy.subnets_named)),
    )
    return tuple(Claim(keys.policy_reference(policy.owner, key, policy.name), b"", False) for key in named)


def _peering_claims(half: Peering) -> tuple[Claim, ...]:
    return (
        Claim(keys.peering_name(half.owner, half.name), str(half.peer).encode(), True),
        Claim(keys.peering_offer(half.peer, half.owner), b"", False),
    )


def _vpc_claims(vpc: Vpc) -> tuple[Claim, ...]:
    return (
        Claim(keys.vni_claim(vpc.vni), _owner(vpc.owner), True),
        Claim(keys.cidr_allocation(vpc.owner), str(vpc.cidr).encode(), False),
    )


def _dnat_claims(dnat: Dnat) -> tuple[Claim, ...]:
    return (
        Claim(keys.external_use(dnat.external_ip, dnat.name), _owner(dnat.owner), False),
        Claim(keys.dnat_target(dnat.owner, dnat.internal_ip, dnat.name), b"", False),
    )


def _owner(owner: ProjectKey) -> bytes:
    return str(owner).encode()
