"""What a stack's compiler says came and went adds up to what it would make of the last stack alone."""

from ipaddress import IPv4Address, IPv4Interface

from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.base.addresses import Mac
from weftwork.compiler.settings import HostProfile
from weftwork.compiler.stacks import StackCompiler
from weftwork.model.stack import Leg, Nic, Outside, Router, Stack
from weftwork.program.resource import Resource

PROFILE = HostProfile(underlay=IPv4Address("192.0.2.1"))
LEGS = (Leg(IPv4Interface("10.4.0.1/24"), 5), Leg(IPv4Interface("10.4.1.1/24"), 6))
NAT = Outside("virbr0", IPv4Interface("192.0.2.10/24"), IPv4Address("192.0.2.1"))


@st.composite
def nics(draw: st.DrawFn) -> tuple[Nic, ...]:
    some = draw(st.sets(st.integers(2, 6), max_size=4))
    return tuple(
        Nic(
            id=f"n{number}",
            vlan=draw(st.sampled_from([5, 6])),
            mac=Mac(f"02:56:00:00:00:{number:02x}"),
            addresses=tuple(
                IPv4Address(f"10.4.0.{number + extra}") for extra in draw(st.sampled_from([(), (0,), (0, 50)]))
            ),
            netns=draw(st.sampled_from(["", "guest"])),
            interface="eth0",
        )
        for number in sorted(some)
    )


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    inside = draw(nics())
    vnis = draw(st.sampled_from([{}, {5: 7}]))
    elsewhere = Nic("far", 5, Mac("02:56:00:00:00:aa"), (IPv4Address("10.4.0.200"),), underlay=IPv4Address("192.0.2.2"))
    legs = draw(st.sampled_from([(), LEGS[:1], LEGS]))
    router = Router(legs, draw(st.booleans()), outside=draw(st.sampled_from([None, NAT]))) if legs else None
    return Stack(7, (*inside, elsewhere) if vnis else inside, vnis, router)


@given(st.lists(stacks(), min_size=1, max_size=6))
@settings(max_examples=40)
def test_what_came_and_went_adds_up_to_what_the_last_one_is_alone(history: list[Stack]) -> None:
    compiler = StackCompiler(PROFILE)
    there: set[Resource] = set()
    for stack in history:
        delta = compiler.compile(stack)
        assert delta.removed <= there and not delta.added & there
        there = (there - delta.removed) | delta.added

        assert there == StackCompiler(PROFILE).compile(stack).added
        assert len({one.key for one in there}) == len(there), "two resources share a key"

    assert compiler.forget(7).removed == there
