"""Generated intents spread over the hosts of a fleet."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any
from zlib import crc32

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from weftwork.actions import rows
from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import GatewayPair, HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.host import Host, Role
from weftwork.model.intent import Intent, ProjectIntent, Thing
from weftwork.model.keys import ThingKey
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.subnet import Subnet
from weftwork.program.resource import Program
from weftwork.testing.strategies import Edit, histories

HOSTS = {
    name: Host(name, frozenset({Role.COMPUTE}), (), IPv4Address(f"192.0.2.{number}"), 0, identity="x")
    for number, name in enumerate(("h1", "h2", "h3"), 1)
}

GATEWAYS = GatewayPair(IPv4Address("192.0.2.100"))


@dataclass
class SpreadView:
    """Stands for `IntentView` where a fleet is cut from it."""

    intent: Intent = field(default_factory=dict)
    revision: int = 1
    hosts: dict[str, tuple[Host, int]] = field(default_factory=lambda: {name: (one, 1) for name, one in HOSTS.items()})
    listeners: list[Any] = field(default_factory=list)

    def find(self, key: ThingKey) -> Thing | None:
        there = self.intent.get(key.owner)
        return there.get(key) if there else None

    def project(self, owner: ProjectKey) -> ProjectIntent | None:
        return self.intent.get(owner)

    def thing_keys(self) -> Iterator[ThingKey]:
        return (rows.key_of(thing) for project in self.intent.values() for thing in things_of(project))

    def tell(self, listener: Any) -> None:
        self.listeners.append(listener)

    def apply(self, edit: Edit) -> None:
        Edit(edit.key, spread(edit.thing) if edit.thing else None).apply(self.intent)
        self.revision += 1
        for one in self.listeners:
            one.add(self.revision, {edit.key})


def things_of(project: ProjectIntent) -> Iterator[Thing]:
    """What things depend on comes first."""
    return reversed(tuple(project.things()))


def spread(thing: Thing) -> Thing:
    """Ports on a host that follows from what they are, or on none; subnets with a name on the wire."""
    match thing:
        case Subnet():
            return replace(thing, vni=5000 + crc32(thing.id.encode()) % 10_000_000)
        case Port(attachment=Attachment()):
            host = ("h1", "h2", "h3", "")[crc32(f"{thing.id} {thing.groups}".encode()) % 4]
            return replace(thing, attachment=Attachment(AttachmentKind.NETNS, f"n{thing.id[-4:]}", "eth0", host))
    return thing


@st.composite
def spread_views(draw: DrawFn) -> SpreadView:
    view = SpreadView()
    for edit in draw(histories()):
        view.apply(edit)
    return view


def profile_of(host: str) -> HostProfile:
    return HostProfile(mtu_bytes=1450, underlay=HOSTS[host].underlay, gateways=GATEWAYS)


def program_of(intent: Intent, host: str) -> Program:
    """The whole program for a host, from the intent as it sees it."""
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile_of(host)) for one in slices_of(intent)})
    return assembly.program()
