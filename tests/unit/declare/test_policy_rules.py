"""Rules of policies as people write them."""

import pytest

from weftwork.declare.policy_rules import PolicyRuleText, parse_policy_rules
from weftwork.declare.rules import PortSpan


@pytest.mark.parametrize("word", ["from", "to", "with"])
@pytest.mark.parametrize("peer", ["10.0.0.0/8", "group web", "subnet data"])
@pytest.mark.parametrize("service", ["tcp 80", "udp 80-90", "icmp", "all"])
@pytest.mark.parametrize("action", ["allow", "deny"])
def test_what_is_told_is_what_is_read(action: str, service: str, peer: str, word: str) -> None:
    text = f"{action} {service} {word} {peer}"

    (rule,) = parse_policy_rules(text)

    assert rule.told(word) == text


def test_short_forms() -> None:
    assert parse_policy_rules("deny tcp 22") == (PolicyRuleText("deny", "tcp", PortSpan(22, 22), "0.0.0.0/0", "cidr"),)
    assert [rule.told("from") for rule in parse_policy_rules("ALLOW tcp 80,443 from web")] == [
        "allow tcp 80 from group web",
        "allow tcp 443 from group web",
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "is not a rule"),
        ("tcp 80 from any", "is not a rule"),
        ("forbid all from any", "is not a rule"),
        ("deny sctp from any", "protocol"),
        ("deny icmp 8 from any", "no ports"),
        ("deny tcp 90-80 from any", "high to low"),
        ("deny all from 10.0.0.1/8", "host bits"),
    ],
)
def test_what_is_no_rule_is_told_what_is_wrong(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_policy_rules(text)
