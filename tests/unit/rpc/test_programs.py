from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.base.addresses import Mac
from weftwork.controller.fleet_view import FleetView
from weftwork.program.guest import Guest, GuestNic
from weftwork.program.resource import Program
from weftwork.rpc import programs
from weftwork.testing.fleets import SpreadView, program_of, spread_views

LAWS = settings(max_examples=15, deadline=None)


def _program(view: SpreadView) -> Program:
    whole: Any = view
    cut = FleetView(whole)
    cut.start(whole)
    return program_of(cut.of("h1").intent, "h1")


@given(spread_views().map(_program))
@LAWS
def test_what_was_written_is_read_as_the_same_program(program: Program) -> None:
    assert programs.decode(programs.encode(program)) == program


@pytest.mark.parametrize("gateway", [None, IPv4Address("10.0.0.1")])
def test_a_guest_is_read_as_it_was_written_down_to_its_key(gateway: IPv4Address | None) -> None:
    nic = GuestNic(
        port="p",
        device="tap1",
        mac=Mac("02:57:00:00:00:01"),
        address=IPv4Interface("10.0.0.2/24"),
        gateway=gateway,
        dns_servers=(IPv4Address("9.9.9.9"),),
        domain="red.internal",
        mtu_bytes=1450,
    )
    guest = Guest(
        id="g",
        scope="vpc-red",
        hostname="web",
        vcpus=2,
        memory_mib=256,
        disk_mib=1024,
        image=f"sha256:{'0' * 64}",
        nics=(nic, nic),
        command=("sleep", "1"),
        environment=(("A", "1"), ("B", "")),
        authorized_keys=(),
        host_key_seed=bytes(range(32)),
        restart="always",
        running=True,
        run=3,
    )

    assert programs.decode(programs.encode([guest])) == {guest}
    assert repr(guest.host_key_seed) not in repr(guest)


@given(spread_views().map(_program), st.randoms(use_true_random=False))
@LAWS
def test_a_digest_follows_changes_and_not_their_order(program: Program, random: Any) -> None:
    resources = sorted(program, key=lambda one: one.key)
    random.shuffle(resources)
    half = len(resources) // 2

    summed = (programs.digest_of(resources[:half]) + programs.digest_of(resources[half:])) % programs.MODULUS

    assert summed == programs.digest_of(program)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x91\xa4Nope", b"\x91\x92\xa9Namespace\xa1a", b"\x91\x01"])
def test_what_is_no_program_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        programs.decode(data)
