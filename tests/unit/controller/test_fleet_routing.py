"""Who speaks BGP with whom."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from weftwork.compiler.fleet_routing import reflectors_of, routing_of
from weftwork.model.host import Host, Role

ASN = 65000
_roles = st.sets(st.sampled_from(Role), min_size=1).map(frozenset)
_fleets = st.lists(st.tuples(_roles, st.booleans()), min_size=1, max_size=8).map(
    lambda drawn: [
        Host(f"h{number}", roles, (), IPv4Address(f"192.0.2.{number}"), 0, identity="x" if joined else "")
        for number, (roles, joined) in enumerate(drawn, 1)
    ]
)


@given(_fleets)
def test_two_reflect_or_nobody_speaks_bgp(hosts: list[Host]) -> None:
    reflectors = reflectors_of(hosts)

    assert len(reflectors) in (0, 2)
    assert all(Role.MANAGEMENT in one.roles and one.identity for one in reflectors)
    assert all((routing_of(one, hosts, ASN) is None) == (not reflectors) for one in hosts)


@given(_fleets)
def test_every_session_is_known_at_both_ends_and_nobody_speaks_with_himself(hosts: list[Host]) -> None:
    peers = {one.underlay: found.peers for one in hosts if (found := routing_of(one, hosts, ASN))}

    assert all(one not in there for one, there in peers.items())
    assert all(one in peers[other] for one, there in peers.items() for other in there)


@given(_fleets)
def test_everybody_but_the_reflectors_is_reflected_to_by_both(hosts: list[Host]) -> None:
    reflectors = reflectors_of(hosts)
    others = {one.underlay for one in hosts} - {one.underlay for one in reflectors}

    for one in reflectors:
        routing = routing_of(one, hosts, ASN)
        assert routing is not None and routing.clients == others
