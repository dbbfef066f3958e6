"""What of a project is not as somebody wrote it down, and what of that cannot be had without losing something."""

from collections.abc import Iterator
from dataclasses import dataclass

from weftwork.declare.project import Inner, Outer, PortSpec, ProjectSpec
from weftwork.declare.told import address_of, outer_of, port_spec
from weftwork.model.intent import ProjectIntent, Thing
from weftwork.model.nat import Dnat


@dataclass(frozen=True, slots=True)
class Replacement:
    """`thing` would have to go; `loses` says what nobody gets back."""

    thing: Thing
    what: str
    why: str
    loses: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; that loses {self.loses}"


def replacements(spec: ProjectSpec, intent: ProjectIntent) -> Iterator[Replacement]:
    """With the VPC goes everything, so then nothing else is named."""
    vpc = intent.vpc
    if vpc and spec.vpc and spec.vpc.cidr not in (None, vpc.cidr):
        count = len(intent.ports)
        loses = f"every object of the project, with the addresses and MACs of its {count} ports"
        yield Replacement(vpc, "vpc", f"its range is {vpc.cidr}, not {spec.vpc.cidr}", loses)
        return
    for name, subnet in (spec.subnets or {}).items():
        there = intent.subnets.get(name)
        if there and subnet.cidr not in (None, there.cidr):
            count = sum(one.subnet == name and not one.lender for one in intent.ports.values())
            loses = f"the {count} ports in it, with their addresses and MACs, and what names them"
            yield Replacement(there, f"subnet {name}", f"its range is {there.cidr}, not {subnet.cidr}", loses)
    yield from _ports(spec, intent)
    yield from _snat(spec, intent)
    yield from _peerings(spec, intent)


def _ports(spec: ProjectSpec, intent: ProjectIntent) -> Iterator[Replacement]:
    by_name = {one.name: one for one in intent.ports.values() if one.name}
    for name, wanted in (spec.ports or {}).items():
        port = by_name.get(name)
        why = _moved(port_spec(port), wanted) if port else ""
        if port and why:
            had = " ".join(map(str, port.addresses))
            yield Replacement(port, f"port {name}", why, f"its id, {had} and {port.mac} unless the file names them")


def _moved(have: PortSpec, wanted: PortSpec) -> str:
    if wanted.subnet != have.subnet:
        return f"it is in subnet {have.subnet}, not {wanted.subnet}"
    if wanted.address not in (None, have.address):
        return f"its address is {have.address}, not {wanted.address}"
    if wanted.mac not in (None, have.mac):
        return f"its MAC is {have.mac}, not {wanted.mac}"
    return ""


def _snat(spec: ProjectSpec, intent: ProjectIntent) -> Iterator[Replacement]:
    for wanted in (spec.snat or {}).values():
        snat = intent.snat
        if snat and wanted.external not in (None, snat.external_ip):
            why = f"its external address is {snat.external_ip}, not {wanted.external}"
            yield Replacement(snat, "snat", why, f"the flows that leave by {snat.external_ip}")


def _peerings(spec: ProjectSpec, intent: ProjectIntent) -> Iterator[Replacement]:
    """A half is one name for one peer."""
    by_name = {one.name: one for one in intent.peerings.values()}
    for name, peer in (spec.peerings or {}).items():
        there = intent.peerings.get(peer)
        if there and there.name != name:
            yield Replacement(there, f"peering {there.name}", f"it would be called {name}", f"the flows to {peer}")
        named = by_name.get(name)
        if named and named.peer != peer:
            why = f"it is with {named.peer}, not {peer}"
            yield Replacement(named, f"peering {name}", why, f"the flows to {named.peer}")


def unwanted(spec: ProjectSpec, intent: ProjectIntent) -> Iterator[Thing]:
    """What is there of the sections that the file has and that is not in them, dependents first. Neither the group
    `default`, which goes with its VPC only, nor ports without a name.
    """
    if spec.reach_tests is not None:
        yield from (one for name, one in intent.reach_tests.items() if name not in spec.reach_tests)
    if spec.dnats is not None:
        kept = set(matches(spec.dnats, intent).values())
        yield from (one for one in intent.dnats.values() if one not in kept)
    if spec.snat is not None and not spec.snat and intent.snat:
        yield intent.snat
    if spec.network_policies is not None:
        yield from (one for name, one in intent.policies.items() if name not in spec.network_policies)
    if spec.ports is not None:
        yield from (one for one in intent.ports.values() if one.name and one.name not in spec.ports)
    if spec.security_groups is not None:
        # The group of a VM goes with it.
        kept_groups = {*spec.security_groups, "default", *(one.group for one in intent.vms.values())}
        yield from (one for name, one in intent.groups.items() if name not in kept_groups)
    if spec.subnets is not None:
        yield from (one for name, one in intent.subnets.items() if name not in spec.subnets)
    if spec.peerings is not None:
        yield from (one for peer, one in intent.peerings.items() if spec.peerings.get(one.name) != peer)


def matches(wanted: dict[Outer, Inner], intent: ProjectIntent) -> dict[Outer, Dnat]:
    """The DNATs that are there for those of a file; one that names no address is the lowest that no other names."""
    there = {outer_of(one): one for one in intent.dnats.values()}
    found = {outer: there[outer] for outer in wanted if outer in there}
    free = sorted((one for outer, one in there.items() if outer not in wanted), key=lambda one: int(one.external_ip))
    for outer in wanted:
        if outer.address is None:
            like = (one for one in free if (one.external_port, one.protocol) == (outer.port, outer.protocol))
            if dnat := next(like, None):
                found[outer] = dnat
                free.remove(dnat)
    return found


def leads_as_said(spec: ProjectSpec, intent: ProjectIntent, outer: Outer, dnat: Dnat) -> bool:
    inner = (spec.dnats or {})[outer]
    return (address_of(intent, inner), inner.port) == (dnat.internal_ip, dnat.internal_port)
