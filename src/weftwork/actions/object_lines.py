"""What becomes of objects, in words: a line each, as plans and histories show them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from weftwork.actions import rows
from weftwork.model.intent import Thing
from weftwork.model.keys import ThingKey
from weftwork.model.nat import Dnat, Snat
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import SecurityGroup
from weftwork.model.share import SubnetShare
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc


def object_line(key: ThingKey, before: Thing | None, after: Thing | None) -> str:
    """`+ port acme/web/web1 10.0.0.5 02:…`; empty where nothing changes but when it was last changed."""
    if before is not None and after is not None and is_same(before, after):
        return ""
    sign = "-" if after is None else "~" if before else "+"
    return f"{sign} {key.kind} {key.owner}{_told(after or before)}"


def field_lines(before: Thing, after: Thing) -> Iterator[str]:
    """What changes inside an object: `domain_name: a.example → b.example`, `ingress_rules: + {…}`."""
    old, new = (json.loads(rows.encode(one)) for one in (before, after))
    for field in dict.fromkeys((*old, *new)):
        was, will = old.get(field), new.get(field)
        if was == will or field == "updated_at":
            continue
        if isinstance(was, list) and isinstance(will, list):
            yield from (f"{field}: - {_shown(one)}" for one in was if one not in will)
            yield from (f"{field}: + {_shown(one)}" for one in will if one not in was)
            if sorted(map(_shown, was)) == sorted(map(_shown, will)):
                yield f"{field}: in another order"
        else:
            yield f"{field}: {_shown(was)} → {_shown(will)}"


def is_same(before: Thing, after: Thing) -> bool:
    if isinstance(before, Vpc) and isinstance(after, Vpc):
        return replace(before, updated_at=after.updated_at) == after
    return before == after


def told_key(key: ThingKey, thing: Thing | None) -> str:
    """`port web1`, `subnet data`; a port that is not at hand by its id."""
    name = thing.name if isinstance(thing, Port) and thing.name else key.name
    return f"{key.kind} {name}".rstrip()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told(thing: Thing | None) -> str:
    """What follows the project: the name, and what a person would ask about first."""
    match thing:
        case Vpc():
            return f" {thing.cidr}"
        case Subnet():
            return f"/{thing.name} {thing.cidr}"
        case Port():
            return f"/{thing.name or thing.id} {' '.join(map(str, thing.addresses))} {thing.mac}"
        case SecurityGroup():
            return f"/{thing.name}"
        case Snat():
            return f" {thing.external_ip}"
        case Dnat():
            return f" {thing.external} to {thing.internal_ip}:{thing.internal_port}"
        case NetworkPolicy():
            return f"/{thing.name}"
        case Peering():
            return f"/{thing.name} with {thing.peer}"
        case ReachTest():
            return f"/{thing.name}"
        case SubnetShare():
            return f"/{thing.subnet} with {thing.to}"
        case Vm():
            size = thing.flavour
            return f"/{thing.name} {thing.image} {size.vcpus} vCPU {size.memory_mib} MiB"
        case SshKey():
            return f"/{thing.name} {thing.fingerprint}"
        case None:
            return ""
