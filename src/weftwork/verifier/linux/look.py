"""Where the judge looks: one VPC's namespace beside the intent of its owner."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.port import AttachmentKind, Port
from weftwork.program.linux import Family, Uplink
from weftwork.verifier.linux.model import MARK, LinuxModel, agree, device_of, owner_of
from weftwork.verifier.linux.remotes import device_behind, is_vtep
from weftwork.verifier.linux.scope import Scope
from weftwork.verifier.linux.tables import Table
from weftwork.verifier.linux.view import ProgramView
from weftwork.verifier.model import Model, address_of, dnats_of, snat_of
from weftwork.verifier.packet import Inside, Outside, Probe
from weftwork.verifier.violation import Fault, Frame, Violation

PEERINGS = "peerings"
"""The mark of the namespace in which peers meet."""

JUDGING = "arrive"
"""The chain that a table has when it evaluates the policy."""


@dataclass(frozen=True, slots=True)
class Look:
    view: ProgramView
    scope: Scope
    owner: ProjectKey
    project: ProjectIntent
    intent: Intent

    @property
    def judging(self) -> list[Table]:
        """The tables that evaluate the policy."""
        return [table for family in Family if JUDGING in (table := self.scope.tables[family]).chains]

    def port(self, device: str) -> Port | None:
        """The intent's port of a device."""
        known = self.project.ports.get(self.view.ids.get(device, ""))
        if known is not None:
            return known
        if is_vtep(device):
            return self._remote(device)
        beginning = device.removeprefix("tap")[:8]
        for port_id in reversed(self.project.ports):
            if port_id.startswith(beginning) and device_of(port_id) == device:
                self.view.ids[device] = port_id
                return self.project.ports[port_id]
        return None

    def _remote(self, device: str) -> Port | None:
        """Whoever was made last is looked for first."""
        mac = device.rpartition(" ")[2]
        for port_id in reversed(self.project.ports):
            if self.project.ports[port_id].mac == mac:
                self.view.ids[device] = port_id
                return self.project.ports[port_id]
        return None

    def device(self, end: Inside) -> str:
        """What the program calls the device of an end of the intent's."""
        project = self.intent.get(end.owner) if end.owner != self.owner else self.project
        port = project.ports.get(end.port) if project else None
        return device_by(port) if port else device_of(end.port)

    def remember_ports(self) -> None:
        """All of them at once, so that none is searched for."""
        self.view.ids.update((device_by(one), one.id) for one in self.project.ports.values())

    def attached(self, device: str) -> Port | None:
        port = self.port(device)
        return port if port and port.attachment and device_by(port) == device else None

    def has(self, address: int) -> Port | None:
        """The attached port that has an address, by the program's word and the intent's."""
        for device in self.scope.who_has(address):
            port = self.attached(device)
            if port and address_of(port) == IPv4Address(address):
                return port
        return None

    def some_ports(self, count: int, *, but: str = "") -> list[Port]:
        found: list[Port] = []
        for device in self.scope.devices():
            port = self.attached(device) if device != but else None
            if port:
                found.append(port)
            if len(found) == count:
                break
        return found

    def disagreements(
        self, ports: Iterable[Port], probes: Iterable[Probe], what: str, fault: Fault = Fault.REACH
    ) -> Iterator[Violation]:
        """Packets about which the program and the intent say different things. Only `ports` take part."""
        probes = tuple(filter(self._is_asked_here, probes))
        model, programs = Model(self._around(ports, probes)), LinuxModel(self.view, device=self.device)
        for probe in probes:
            intended, programmed = model.verdict(probe), programs.verdict(probe)
            if not agree(intended, programmed, self.device) and self._is_promised(probe):
                yield self.violation(fault, what, probe, model, programs)

    def proof(self, ports: Iterable[Port], probes: Iterable[Probe], what: str, fault: Fault) -> Violation:
        """A packet that shows what is wrong, if there is one among these; else the first, for whoever looks."""
        probes = tuple(probes)
        for found in self.disagreements(ports, probes, what, fault):
            return found
        return Violation(fault, self.scope.name, what, probes[0] if probes else None)

    def violation(self, fault: Fault, what: str, probe: Probe, model: Model, programs: LinuxModel) -> Violation:
        return Violation(fault, self.scope.name, what, probe, model.verdict(probe), programs.verdict(probe))

    def by_frame(self, fault: Fault, what: str, device: str, words: str) -> Violation:
        return Violation(fault, self.scope.name, what, Frame(self.scope.name, device, words))

    def uplinks(self) -> list[Uplink]:
        """To the external network."""
        return [one for one in self._uplinks() if not self._is_leg(one)]

    def legs(self) -> list[Uplink]:
        """To peers."""
        return [one for one in self._uplinks() if self._is_leg(one)]

    def _uplinks(self) -> list[Uplink]:
        return [one for one in self.scope.links.values() if isinstance(one, Uplink)]

    def _is_leg(self, link: Uplink) -> bool:
        where = self.view.scopes.get(link.peer_scope)
        return where is not None and where.mark == PEERINGS and not self.scope.addresses.get(link.name)

    def external(self) -> list[IPv4Address]:
        """The external addresses that are in use by the owner here; in a fleet, they are on its gateways."""
        if self.view.underlay is not None:
            return []
        addresses = {one.external_ip for one in dnats_of(self.project) if isinstance(one.external_ip, IPv4Address)}
        snat = snat_of(self.project)
        return sorted(addresses | ({snat} if snat else set()))

    def _around(self, ports: Iterable[Port], probes: Iterable[Probe]) -> Intent:
        """The intent, cut down to whoever the probes can meet."""
        targets = (self.has(int(one.internal_ip)) for one in dnats_of(self.project))
        mine = {one.id: one for one in (*ports, *targets) if one}
        near = {self.owner: replace(self.project, ports=mine)}
        near |= {owner: self._with_ends(owner, probes) for owner, _ in peers_of(self.intent, self.owner)}
        for probe in probes:
            for other, _ in self.view.holders(int(probe.destination)):
                owner = owner_of(other)
                if owner not in near and owner in self.intent:
                    near[owner] = self._with_targets(owner)
        return near

    def _with_targets(self, owner: ProjectKey) -> ProjectIntent:
        """Another project, with those of its ports that a DNAT leads to."""
        project = self.intent[owner]
        looks = [Look(self.view, scope, owner, project, self.intent) for scope in self.view.owned(f"{MARK}{owner}")]
        found = (look.has(int(one.internal_ip)) for look in looks for one in dnats_of(project))
        return replace(project, ports={one.id: one for one in found if one})

    def _with_ends(self, owner: ProjectKey, probes: Iterable[Probe]) -> ProjectIntent:
        """A peer, with those of its ports that probes begin or end at."""
        ends: dict[str, Port] = {}
        project = self.intent[owner]
        for scope in self.view.owned(f"{MARK}{owner}"):
            there = Look(self.view, scope, owner, project, self.intent)
            for probe in probes:
                port = there.has(int(probe.destination))
                if port:
                    ends[port.id] = port
                if isinstance(probe.source, Inside) and probe.source.owner == owner:
                    ends[probe.source.port] = project.ports[probe.source.port]
        return replace(self._with_targets(owner), ports={**self._with_targets(owner).ports, **ends})

    def _is_asked_here(self, probe: Probe) -> bool:
        """What is translated elsewhere is another question (`transit_check`)."""
        if self.view.underlay is None or not (snat_of(self.project) or any(True for _ in dnats_of(self.project))):
            return True
        ranges = [one.vpc.cidr for one in self.intent.values() if one.vpc and one.vpc.owner in self._near()]
        return not isinstance(probe.source, Outside) and any(probe.destination in one for one in ranges)

    def _near(self) -> set[ProjectKey]:
        return {self.owner, *(owner for owner, _ in peers_of(self.intent, self.owner))}

    def _is_promised(self, probe: Probe) -> bool:
        """A claimed address that is not in use is nobody's promise; and who calls itself is no matter of isolation."""
        snat = self.project.snat
        return snat is None or snat.enabled or probe.destination != snat.external_ip or bool(self._dnat_at(probe))

    def _dnat_at(self, probe: Probe) -> bool:
        return any(one.external_ip == probe.destination for one in dnats_of(self.project))


def device_by(port: Port) -> str:
    """What the judge calls the port's device, by the intent's word."""
    return device_behind(port.device, port.mac)


def is_elsewhere(port: Port) -> bool:
    """Is it on another host?"""
    return port.attachment is not None and port.attachment.kind is AttachmentKind.REMOTE
