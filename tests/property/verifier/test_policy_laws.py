"""Where groups allow everything, policies decide: the model, the sets, the program and a plain oracle say the same."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_worlds import denied, sendable

from weftwork.compiler.assembly import Assembly
from weftwork.compiler.linux.slices import compile_slice
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.slices import slices_of
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.port import Port
from weftwork.testing import strategies as make
from weftwork.verifier.boxes import Point, contains
from weftwork.verifier.linux.model import LinuxModel, agree
from weftwork.verifier.model import Model
from weftwork.verifier.packet import Inside, Probe
from weftwork.verifier.reach_index import reach

RED = make.TENANTS[0]
SERVICES = ((6, 79), (6, 80), (6, 2000), (6, 2001), (17, 80), (1, 0), (253, 0))
OUTSIDE = IPv4Address("198.51.100.200")
PROFILES = (HostProfile(external=make.EXTERNAL), HostProfile(filter_mode="bridge", external=make.EXTERNAL))


@st.composite
def worlds(draw: st.DrawFn) -> ProjectIntent:
    """Everybody may talk to everybody, as far as groups go."""
    anybody = (make.allow("0.0.0.0/0"),)
    own = make.project(
        make.vpc(RED),
        make.subnet(RED),
        make.subnet(RED, "data", vlan=2),
        *(make.group(RED, name, ingress=anybody, egress=anybody) for name in make.GROUPS),
        make.snat(RED, "198.51.100.10"),
        make.port(RED, 1, groups=("web",)),
        make.port(RED, 2, groups=("db",)),
        make.port(RED, 3, subnet="data", vlan=2, groups=("web", "db")),
        make.port(RED, 4, subnet="data", vlan=2),
    )
    for _ in range(draw(st.integers(2, 5))):
        make.put(own, draw(make.policies(RED, own)))
    return own


def address(port: Port) -> IPv4Address:
    one = port.addresses[0]
    assert isinstance(one, IPv4Address)
    return one


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.filter_mode)
@settings(max_examples=60, deadline=None)
@given(own=worlds())
def test_policies_decide_alike_for_everybody_who_asks(profile: HostProfile, own: ProjectIntent) -> None:
    intent: Intent = {RED: own}
    assembly = Assembly()
    assembly.replace_slices({one: compile_slice(intent, one, profile) for one in slices_of(intent)})
    model, found = Model(intent), reach(own)
    program = LinuxModel(assembly.program(), gateway=make.EXTERNAL.gateway)
    for a in own.ports.values():
        for b in (*own.ports.values(), None):
            for protocol, number in SERVICES if b is not a else ():
                there, groups = (address(b), b.groups) if b else (OUTSIDE, ())
                probe = Probe(Inside(RED, a.id), there, protocol, 40000, number)
                out = denied(own, a, "out", protocol, number, there, groups)
                into = b is not None and denied(own, b, "in", protocol, number, address(a), a.groups)
                told = model.verdict(probe)
                assert told.delivered == (sendable(protocol, number) and not (out or into)), probe
                assert agree(told, program.verdict(probe)), probe
                packets = found.between(a.groups, b.groups) if b else found.outwards.get(a.groups, ())
                assert told.delivered == contains(packets, Point(int(address(a)), int(there), protocol, number)), probe
