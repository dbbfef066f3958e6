"""A rule of a network policy as people write and read it: `deny tcp 22 from any`, `allow all to subnet data`.

The same text stands in tables and is taken by `--rule`. It reads like a security rule behind its action.
"""

import re
from dataclasses import dataclass
from typing import Literal

from weftwork.declare.rules import PortSpan, expand_rules, parse_peer

PeerKind = Literal["cidr", "security_group", "subnet"]
_ACTIONS = ("allow", "deny")
WORDS = {"ingress": "from", "egress": "to", "isolation": "with"}
_NOUNS: dict[PeerKind, str] = {"cidr": "", "security_group": "group ", "subnet": "subnet "}
_RULE = re.compile(
    r"(?P<action>\w+)\s+(?P<protocol>\w+)(?:\s+(?P<ports>[0-9,-]+))?"
    r"(?:\s+(?:from|to|with)\s+(?P<peer>(?:(?:group|subnet)\s+)?\S+))?"
)


@dataclass(frozen=True, slots=True)
class PolicyRuleText:
    action: str
    protocol: str
    ports: PortSpan | None
    peer: str
    peer_kind: PeerKind

    def told(self, word: str) -> str:
        """`word` stands before the peer: from, to or with."""
        ports = f" {self.ports}" if self.ports else ""
        return f"{self.action} {self.protocol}{ports} {word} {_NOUNS[self.peer_kind]}{self.peer}"


def parse_policy_rules(text: str) -> tuple[PolicyRuleText, ...]:
    """`ACTION PROTOCOL [PORTS] [from|to|with PEER]`, with one rule for each of the comma-separated ports.

    ValueError says what is wrong.
    """
    match = _RULE.fullmatch(text.strip())
    if match is None or match["action"].lower() not in _ACTIONS:
        raise ValueError(f"{text!r} is not a rule such as 'deny tcp 22 from any' or 'allow all to subnet data'")
    peer, kind = _peer(match["peer"] or "any")
    plain = expand_rules("ingress", match["protocol"], (match["ports"],) if match["ports"] else (), ("any",))
    return tuple(PolicyRuleText(match["action"].lower(), one.protocol, one.ports, peer, kind) for one in plain)


def _peer(text: str) -> tuple[str, PeerKind]:
    word, _, name = text.partition(" ")
    if word == "subnet" and name.strip():
        return name.strip(), "subnet"
    peer = parse_peer(text)
    return peer.text, "security_group" if peer.is_group else "cidr"
