"""Deletes that something depends on: refused, with what it is; or done together, in one transaction."""

from collections.abc import Iterable, Sequence

from weftwork.actions import rows
from weftwork.actions.claims import Draft, joined, removal
from weftwork.actions.network import Network
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.model.intent import Thing
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

NAMED_MAX = 3
LISTED_MAX = 20


def in_use(what: str, dependents: Sequence[Thing], *, hint: str = "") -> Refusal:
    """IN_USE. The message names a few dependents or says how many there are; the details list them."""
    count = len(dependents)
    listed = [told_of(one) for one in dependents[:LISTED_MAX]]
    if count > LISTED_MAX:
        listed.append(f"and {count - LISTED_MAX} more")
    named = ", ".join(listed) if count <= NAMED_MAX else f"{count} objects"
    return codes.IN_USE.refusal(
        f"{what} is in use by {named}",
        hint=hint,
        dependents=", ".join(listed),
        dependents_count=str(count),
    )


def lodged_in(what: str, lodgers: int) -> Refusal:
    """IN_USE by ports of other projects, whose names are theirs. Nobody deletes them but their owners."""
    ports = "a port of another project" if lodgers == 1 else f"{lodgers} ports of other projects"
    return codes.IN_USE.refusal(
        f"{what} is in use by {ports}",
        hint="Their owners have to delete them first.",
        dependents=ports,
        dependents_count=str(lodgers),
    )


def told_of(thing: Thing) -> str:
    """A thing as a person would name it."""
    match thing:
        case Port():
            return f"port {thing.name or thing.id}"
        case Subnet():
            return f"subnet {thing.name}"
        case SecurityGroup():
            return f"security group {thing.name}"
        case Snat():
            return f"SNAT {thing.external_ip}"
        case Dnat():
            return f"DNAT {thing.external}"
        case Peering():
            return f"peering {thing.name}"
        case NetworkPolicy():
            return f"network policy {thing.name}"
        case ReachTest():
            return f"reach test {thing.name}"
        case SubnetShare():
            return f"share of {thing.subnet} with {thing.to}"
        case Vm():
            return f"VM {thing.name}"
        case SshKey():
            return f"SSH key {thing.name}"
        case Vpc():
            return f"VPC {thing.name}"


def removals(network: Network, things: Iterable[Thing]) -> Draft:
    """All of them, with their claims; external addresses are released beside (nat.py)."""
    view = network.view
    return joined(removal(thing, view.revision_of(rows.key_of(thing))) for thing in things)
