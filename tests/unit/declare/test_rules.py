"""A rule as text: what is printed can be typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.declare.rules import (
    Direction,
    Peer,
    PortSpan,
    RuleText,
    expand_rules,
    parse_peer,
    parse_rules,
    parse_span,
)

spans = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda pair: PortSpan(min(pair), max(pair)))
peers = st.one_of(
    st.ip_addresses(v=4).map(lambda address: Peer(f"{address}/32", is_group=False)),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).map(lambda name: Peer(name, is_group=True)),
    st.sampled_from(("any", "group", "10", "acme/shop/web")).map(lambda name: Peer(name, is_group=True)),
)
rules = st.one_of(
    st.builds(
        RuleText,
        direction=st.sampled_from(("ingress", "egress")),
        protocol=st.sampled_from(("tcp", "udp")),
        ports=st.none() | spans,
        peer=peers,
    ),
    st.builds(
        RuleText,
        direction=st.sampled_from(("ingress", "egress")),
        protocol=st.sampled_from(("icmp", "all")),
        ports=st.none(),
        peer=peers,
    ),
)


@given(rules)
def test_a_printed_rule_is_read_back_as_itself(rule: RuleText) -> None:
    assert parse_rules(str(rule), rule.direction) == (rule,)


def test_each_port_and_each_peer_makes_a_rule() -> None:
    made = expand_rules("ingress", "TCP", ("80,443", "8000-8010"), ("web", "10.0.0.0/8"))

    assert [str(rule) for rule in made] == [
        "tcp 80 from group web",
        "tcp 80 from 10.0.0.0/8",
        "tcp 443 from group web",
        "tcp 443 from 10.0.0.0/8",
        "tcp 8000-8010 from group web",
        "tcp 8000-8010 from 10.0.0.0/8",
    ]


def test_a_rule_without_a_peer_is_for_everybody() -> None:
    assert str(parse_rules("tcp 22", "ingress")[0]) == "tcp 22 from 0.0.0.0/0"
    assert str(parse_rules("all", "egress")[0]) == "all to 0.0.0.0/0"


@pytest.mark.parametrize(
    ("text", "direction", "says"),
    [
        ("", "ingress", "not a rule"),
        ("tcp 80 from", "ingress", "not a rule"),
        ("tcp 80 to web", "ingress", "says 'from'"),
        ("tcp 80 from web", "egress", "says 'to'"),
        ("sctp 80 from web", "ingress", "not a protocol"),
        ("icmp 8 from web", "ingress", "no ports"),
        ("tcp 90-80 from web", "ingress", "say 80-90"),
        ("tcp 65536 from web", "ingress", "not a port"),
        ("tcp 80- from web", "ingress", "not a port"),
        ("tcp -80 from web", "ingress", "not a port"),
        ("tcp 80 from 10.0.0.1/8", "ingress", "10.0.0.0/8"),
        ("tcp 80 from 10.0.0.300", "ingress", "say 'group 10"),
        ("tcp 80 from 10.0.0.0/33", "ingress", "say 'group 10"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_wrong(text: str, direction: Direction, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_rules(text, direction)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_span, parse_peer, lambda rule: parse_rules(rule, "ingress")):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("any", Peer("0.0.0.0/0", is_group=False)),
        ("10.0.0.5", Peer("10.0.0.5/32", is_group=False)),
        ("fd00::/8", Peer("fd00::/8", is_group=False)),
        ("web", Peer("web", is_group=True)),
        ("acme/shop/web", Peer("acme/shop/web", is_group=True)),
    ],
)
def test_a_peer_is_a_cidr_or_else_a_group(text: str, peer: Peer) -> None:
    assert parse_peer(text) == peer
