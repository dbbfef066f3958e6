"""Northbounds as text: two tenants with the same addresses, neighbours who share and peer, and the demo.

After a change that is meant: WEFTWORK_UPDATE_GOLDEN=1 pytest tests/golden, then read the difference.
"""

import os
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from program_text import program_text
from test_linux_programs import BLUE, RED, blue, other, red

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.ovn.slices import compile_slice
from weftwork.compiler.settings import OvnProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import PolicyKind
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.model.security_group import GroupRef, Protocol, Rule
from weftwork.program.ovn import AclAction, AclDirection, AclLog
from weftwork.program.resource import Program, Resource
from weftwork.program.texts import text_of
from weftwork.testing import strategies as make

HERE = Path(__file__).parent
PROFILE = OvnProfile(external=make.EXTERNAL, gateway_chassis=("local",), physical_network="external")
LENDER, PEER, LODGER = make.TENANTS[0], make.GREEN, make.AMBER


def two_tenants() -> Intent:
    """All kinds of rules, policies, SNAT that is on and off, DNATs, DHCP that is off, a port without a device."""
    return {RED: red(), BLUE: blue()}


def neighbours() -> Intent:
    """A peering, a half of one, and a guest in a subnet of another project, whose groups and policies meet."""
    of_peer, of_lodger = (Rule(Protocol.TCP, None, GroupRef("default", owner)) for owner in (PEER, LODGER))
    lender = make.project(
        make.vpc(LENDER, vni=101),
        make.subnet(LENDER),
        make.subnet(LENDER, "data", vlan=2),
        make.group(LENDER, "default", ingress=(of_peer, of_lodger), egress=(make.allow("0.0.0.0/0"),)),
        make.port(LENDER, 1),
        make.share(LENDER, "data", LODGER),
        make.peering(LENDER, PEER),
        make.policy(
            LENDER,
            "guarded",
            make.policy_rule("allow", "default", Protocol.TCP, 22),
            make.policy_rule("deny", "0.0.0.0/0", Protocol.TCP, 22),
            kind=PolicyKind.INGRESS,
        ),
    )
    return {LENDER: lender, PEER: peer(), LODGER: lodger()}


def peer() -> ProjectIntent:
    return make.project(
        make.vpc(PEER, vni=103),
        make.subnet(PEER),
        make.group(PEER, ingress=(make.allow("10.0.0.0/16", Protocol.ICMP),), egress=(make.allow("0.0.0.0/0"),)),
        make.port(PEER, 1),
        make.snat(PEER, "198.51.100.14"),
        make.peering(PEER, LENDER),
        make.peering(PEER, LODGER),
    )


def lodger() -> ProjectIntent:
    return make.project(
        make.vpc(LODGER, vni=104),
        make.subnet(LODGER),
        make.group(LODGER, ingress=(make.allow("default", Protocol.UDP, 53),), egress=(make.allow("0.0.0.0/0"),)),
        make.lodger(LODGER, LENDER, "data", vlan=2),
    )


def demo() -> Intent:
    """What `make demo` makes, with all of its NAT."""
    acme = shop(RED, 101)
    make.put(acme, make.snat(RED, "198.51.100.10"))
    make.put(acme, make.dnat(RED, "198.51.100.10:8080", "10.0.1.12:80"))
    return {RED: acme, BLUE: shop(BLUE, 102)}


def shop(owner: make.ProjectKey, vni: int) -> ProjectIntent:
    everything = (make.allow("0.0.0.0/0"),)
    ports = [(1, "web", "default"), (2, "web", "default"), (3, "db", "data")]
    plugged = Attachment(AttachmentKind.NETNS, "guest", "eth0")
    return make.project(
        make.vpc(owner, vni=vni),
        make.subnet(owner),
        make.subnet(owner, "data", vlan=2),
        make.group(
            owner,
            "web",
            ingress=(make.allow("0.0.0.0/0", Protocol.TCP, 80), make.allow("web", Protocol.ICMP)),
            egress=everything,
        ),
        make.group(owner, "db", ingress=(make.allow("web", Protocol.TCP, 5432),), egress=everything),
        *(
            make.port(owner, number, subnet=name, vlan=1 + (name == "data"), groups=(group,), attachment=plugged)
            for number, group, name in ports
        ),
    )


INTENTS = {"two_tenants": two_tenants, "neighbours": neighbours, "demo": demo}


def program_of(intent: Intent) -> Program:
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, PROFILE) for one in slices_of(intent)})
    return assembly.program()


@pytest.mark.parametrize("name", INTENTS)
def test_the_rows_of_a_northbound(name: str) -> None:
    text, path = program_text(program_of(INTENTS[name]())), HERE / f"{name}.ovn.txt"
    if os.environ.get("WEFTWORK_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", INTENTS)
def test_a_text_shows_every_field(name: str) -> None:
    program = program_of(INTENTS[name]())
    assert len({(one.scope, text_of(one)) for one in program}) == len(program)
    for resource in program:
        for field in fields(resource):  # type: ignore[arg-type]
            if field.name != "scope":
                assert text_of(replace(resource, **{field.name: otherwise(resource, field.name)})) != text_of(resource)  # type: ignore[type-var]


def otherwise(resource: Resource, field: str) -> object:
    match getattr(resource, field):
        case AclDirection() as direction:
            return AclDirection.TO_PORT if direction is AclDirection.FROM_PORT else AclDirection.FROM_PORT
        case AclAction() as action:
            return AclAction.DROP if action is not AclAction.DROP else AclAction.ALLOW
        case _ if field == "log":
            return AclLog("weft-1/1 out denied_out", "weft-1.log")
        case IPv4Network() | IPv4Address():
            return IPv4Network("192.0.2.0/29")
        case tuple() as values if values and isinstance(values[0], tuple):
            return (*values, ("another", "value"))
        case tuple() as values if field in ("options", "other_config", "vips"):
            return (*values, ("another", "value"))
        case _:
            return other(resource, field)
