"""Where the judge looks: the rows of one VPC beside the intent of its owner."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.port import Port
from weftwork.program.ovn import LogicalRouterPort, LogicalSwitchPort
from weftwork.verifier.model import OVN_IN_USER_SPACE, Model, address_of, dnats_of, snat_of
from weftwork.verifier.ovn import names
from weftwork.verifier.ovn.model import OvnModel
from weftwork.verifier.ovn.view import RowsView
from weftwork.verifier.packet import TCP, Inside, Outside, Probe, Router, Verdict
from weftwork.verifier.violation import Fault, Violation

SOURCE_PORT = 40000
FAR_AWAY = IPv4Address("192.0.2.99")


@dataclass(frozen=True, slots=True)
class Look:
    rows: RowsView
    scope: str
    owner: ProjectKey
    project: ProjectIntent
    intent: Intent

    @property
    def cidr(self) -> IPv4Network | None:
        vpc = self.project.vpc
        return vpc.cidr if vpc and isinstance(vpc.cidr, IPv4Network) else None

    @property
    def everywhere(self) -> str:
        return names.everywhere(self.scope)

    def row(self, port: str) -> LogicalSwitchPort | None:
        return self.rows.switch_ports.get(names.port_called(self.scope, port))

    def attached(self, port: str) -> Port | None:
        found = self.project.ports.get(port)
        return found if found and found.attachment and address_of(found) else None

    def some_ports(self, count: int, *, but: str = "") -> list[Port]:
        """That the rows and the intent both know, from whatever subnet."""
        known = (self.attached(names.port_in(row)) for row in self._guests() if names.port_in(row) != but)
        return list(islice((one for one in known if one), count))

    def _guests(self) -> Iterator[str]:
        for leg in self.legs():
            way = self.rows.switch_port(leg)
            if way is not None and way.switch.startswith(f"{self.scope}."):
                yield from (port.name for port in self.rows.ports_of[way.switch].values() if not port.type)

    def legs(self) -> list[LogicalRouterPort]:
        return [leg for router in self.rows.routers_of(self.scope) for leg in self.rows.legs_of(router.name)]

    def peers(self) -> dict[str, ProjectKey]:
        """The VPCs that both sides want to be peered with this one, by their scopes."""
        found = ((owner, one.vpc) for owner, one in peers_of(self.intent, self.owner))
        return {vpc.netns: owner for owner, vpc in found if vpc}

    def peer_cidrs(self) -> dict[str, IPv4Network]:
        vpcs = {scope: self.intent[owner].vpc for scope, owner in self.peers().items()}
        return {scope: vpc.cidr for scope, vpc in vpcs.items() if vpc and isinstance(vpc.cidr, IPv4Network)}

    def gateways(self) -> list[IPv4Address]:
        subnets = self.project.subnets.values()
        return sorted(one.gateway for one in subnets if isinstance(one.gateway, IPv4Address))

    def external(self) -> list[IPv4Address]:
        """The external addresses that are in use by the owner."""
        addresses = {one.external_ip for one in dnats_of(self.project) if isinstance(one.external_ip, IPv4Address)}
        snat = snat_of(self.project)
        return sorted(addresses | ({snat} if snat else set())) if self.rows.gateway else []

    def opening(self, fault: Fault) -> Fault:
        """Of what lets more pass than is meant: it opens the VPC to other tenants, where any can come or be reached."""
        return Fault.ISOLATION if self.external() or self.peers() else fault

    # --- what is wrong -----------------------------------------------------------------------------------------------

    def disagreements(self, ports: Iterable[Port], probes: Iterable[Probe], what: str) -> Iterator[Violation]:
        """Packets about which the rows and the intent say different things."""
        probes = tuple(probes)
        near = self._around(ports, probes)
        owners = {own.vpc.netns: owner for owner, own in near.items() if own.vpc}
        model, rows = Model(near, OVN_IN_USER_SPACE), OvnModel(self.rows, owners)
        for probe in probes:
            intended, programmed = model.verdict(probe), rows.verdict(probe)
            same = (intended.receiver, intended.seen) == (programmed.receiver, programmed.seen)
            if not same and self._is_promised(probe):
                fault = Fault.ISOLATION if _meets_another(probe, programmed) else Fault.REACH
                yield Violation(fault, self.scope, what, probe, intended, programmed)

    def proof(self, fault: Fault, what: str, probes: Iterable[Probe] = (), ports: Iterable[Port] = ()) -> Violation:
        """A packet that shows what is wrong, if there is one among these; else the first, for whoever looks."""
        probes = tuple(probes) or (self.some_probe(),)
        for found in self.disagreements(ports, probes, what):
            return replace(found, fault=fault if fault is Fault.ISOLATION else found.fault)
        return Violation(fault, self.scope, what, probes[0])

    def some_probe(self, destination: IPv4Address = FAR_AWAY) -> Probe:
        port = next(iter(self.some_ports(1)), None)
        source = Inside(self.owner, port.id) if port else Outside(FAR_AWAY)
        return Probe(source, destination, TCP, SOURCE_PORT, 80)

    def _around(self, ports: Iterable[Port], probes: tuple[Probe, ...]) -> Intent:
        """The intent, cut down to whoever the probes can meet."""
        near = {self.owner: self._cut(self.owner, probes, {one.id: one for one in ports})}
        others = set(self.peers().values())
        others |= {one.source.owner for one in probes if isinstance(one.source, Inside)}
        for probe in probes:
            for router in self.rows.answering(int(probe.destination)):
                owner = self.rows.owner_of(names.scope_of(router), self.intent)
                others |= {owner} if owner else set()
        near |= {one: self._cut(one, probes, {}) for one in others - {self.owner} if one in self.intent}
        return near

    def _cut(self, owner: ProjectKey, probes: tuple[Probe, ...], ports: dict[str, Port]) -> ProjectIntent:
        """With the ports that probes begin at, or may end at, and those that a DNAT leads to."""
        project = self.project if owner == self.owner else self.intent[owner]
        scope = project.vpc.netns if project.vpc else ""
        addresses = {int(one.destination) for one in probes} | {int(one.internal_ip) for one in dnats_of(project)}
        ends = [one.source.port for one in probes if isinstance(one.source, Inside) and one.source.owner == owner]
        rows = (row for address in addresses for row in self.rows.guests_with(address) if row.scope == scope)
        for port_id in (*ends, *(names.port_in(row.name) for row in rows)):
            if port_id in project.ports:
                ports[port_id] = project.ports[port_id]
        return replace(project, ports=ports)

    def _is_promised(self, probe: Probe) -> bool:
        """A claimed address that is not in use is nobody's promise."""
        snat = self.project.snat
        if snat is None or snat.enabled or probe.destination != snat.external_ip:
            return True
        return any(one.external_ip == probe.destination for one in dnats_of(self.project))


def _meets_another(probe: Probe, programmed: Verdict) -> bool:
    """Does a tenant's packet come to another tenant?"""
    if not isinstance(probe.source, Inside) or not isinstance(programmed.receiver, Inside | Router):
        return False
    return programmed.receiver.owner != probe.source.owner
