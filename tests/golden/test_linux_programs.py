"""Two tenants with the same addresses, as text: whole programs to read, and nftables as it is loaded.

After a change that is meant: WEFTWORK_UPDATE_GOLDEN=1 pytest tests/golden, then read the difference.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from program_text import nft_text, program_text

from weftwork.base.tenancy import ProjectKey
from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.network_policy import PolicyKind
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.model.security_group import Protocol
from weftwork.program.linux import Family, LinkKind
from weftwork.program.resource import Program, Resource
from weftwork.program.texts import text_of
from weftwork.testing import strategies as make

HERE = Path(__file__).parent
RED, BLUE = ProjectKey("acme", "red"), ProjectKey("bolt", "blue")

BR_NETFILTER = HostProfile(external=make.EXTERNAL)
BRIDGE = replace(BR_NETFILTER, filter_mode="bridge")
VLAN = replace(BRIDGE, layout="vlan", has_bridge_netfilter=False)


def red() -> ProjectIntent:
    return make.project(
        make.vpc(RED, vni=101),
        make.subnet(RED, "default", vlan=1),
        make.subnet(RED, "data", vlan=2, dhcp=False),
        make.group(RED, "default", ingress=(make.allow("default"),), egress=(make.allow("0.0.0.0/0"),)),
        make.group(
            RED,
            "web",
            ingress=(
                make.allow("0.0.0.0/0", Protocol.TCP, 443),
                make.allow("10.0.1.0/25", Protocol.ALL, 8000, 8100),
                make.allow("10.0.1.128/25", Protocol.TCP, 8000, 8100),
                make.allow("192.0.2.7/32", Protocol.TCP, 8000, 8100),
                make.allow("fd00::/8", Protocol.TCP, 443),
                make.allow("admins", Protocol.ICMP),
            ),
            egress=(make.allow("default", Protocol.UDP, 53),),
        ),
        make.port(RED, 1),
        make.port(RED, 2, groups=("default", "web"), attachment=Attachment(AttachmentKind.NETNS, "web", "eth0")),
        make.port(RED, 3, subnet="data", vlan=2, groups=("web",)),
        make.port(RED, 4, attachment=None),
        make.snat(RED, "198.51.100.10"),
        make.dnat(RED, "198.51.100.10:443", "10.0.1.12:443"),
        make.dnat(RED, "198.51.100.11:53", "10.0.2.13:5353", Protocol.UDP),
        make.policy(
            RED,
            "guarded",
            make.policy_rule("allow", "default", Protocol.TCP, 22),
            make.policy_rule("deny", "0.0.0.0/0", Protocol.TCP, 22),
            make.policy_rule("deny", "192.0.2.0/24"),
            make.policy_rule("deny", "subnet data", Protocol.ALL, 8000, 8100),
            priority=10,
        ),
        make.policy(
            RED, "apart", make.policy_rule("allow", "web", Protocol.ICMP), kind=PolicyKind.ISOLATION, subnet="data"
        ),
    )


def blue() -> ProjectIntent:
    return make.project(
        make.vpc(BLUE, vni=102),
        make.subnet(BLUE),
        make.group(BLUE, ingress=(make.allow("default"),), egress=(make.allow("0.0.0.0/0"),)),
        make.port(BLUE, 1),
        make.snat(BLUE, "198.51.100.12", enabled=False),
    )


def program_of(profile: HostProfile) -> Program:
    intent: Intent = {RED: red(), BLUE: blue()}
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    return assembly.program()


def same_as_file(text: str, name: str) -> None:
    path = HERE / name
    if os.environ.get("WEFTWORK_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_the_program_with_a_bridge_per_subnet() -> None:
    same_as_file(program_text(program_of(BR_NETFILTER)), "two_tenants.bridges.txt")


def test_the_program_with_one_vlan_bridge_per_vpc() -> None:
    same_as_file(program_text(program_of(VLAN)), "two_tenants.vlan.txt")


@pytest.mark.parametrize("profile", [BR_NETFILTER, BRIDGE], ids=lambda profile: profile.filter_mode)
def test_the_rules_of_a_vpc(profile: HostProfile) -> None:
    same_as_file(nft_text(program_of(profile), "weft-101"), f"red.{profile.filter_mode}.nft")


@pytest.fixture
def empty_namespace() -> Iterator[str]:
    name = f"wcgolden{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.system
@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
@pytest.mark.parametrize("tenant", ["weft-101", "weft-102"])
def test_the_kernel_takes_the_rules(empty_namespace: str, tenant: str) -> None:
    """Of the mode that every kernel has; the others are loaded on a stock kernel, by the system tests."""
    text = nft_text(program_of(BR_NETFILTER), tenant)

    done = subprocess.run(
        ["ip", "netns", "exec", empty_namespace, "nft", "-f", "-"], input=text, text=True, capture_output=True
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("profile", [BR_NETFILTER, VLAN], ids=["bridges", "vlan"])
def test_a_text_shows_every_field(profile: HostProfile) -> None:
    program = program_of(profile)
    assert len({(one.scope, text_of(one)) for one in program}) == len(program)
    for resource in program:
        for field in fields(resource):  # type: ignore[arg-type]
            if field.name not in ("scope", "peer_scope"):
                assert text_of(replace(resource, **{field.name: other(resource, field.name)})) != text_of(resource)  # type: ignore[type-var]


def other(resource: Resource, field: str) -> object:
    """Another value of the field's kind."""
    match getattr(resource, field):
        case bool(value):
            return not value
        case int(value):
            return value + 1
        case LinkKind() as kind:
            return LinkKind.VETH if kind is LinkKind.TAP else LinkKind.TAP
        case Family() as family:
            return Family.INET if family is Family.BRIDGE else Family.BRIDGE
        case tuple() as values:
            return (*values, "another")
        case None:
            return "another"
        case value:
            return f"another {value}"
