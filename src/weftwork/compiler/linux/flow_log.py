"""What a VPC has logged: rules that look and decide nothing, put in front of those that decide.

Each jumps into a chain of its reason, where sampling and a limit stand: a flood costs the kernel a comparison, and us a
constant. Without a flow log the program is without them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

from weftwork.model.vpc import FlowLog
from weftwork.program.flow_log import ALLOWED, CHAINS, GROUP, GUARD, PER_SECOND, SNAP_BYTES, Way, prefix_of
from weftwork.program.linux import Family, NftChain
from weftwork.program.resource import Resource

_DROPS = re.compile(r'(?P<match>.*?)counter name "(?P<reason>\w+)" drop')
_INWARDS = ("in/", "in.", "policy.in.", "from_outside", "from_peer", "outside_source", "peer_source")
_POLICY = re.compile(r"policy\.(?:in|out)\.(?P<name>.+)")


def logged(resources: Iterable[Resource], scope: str, flow_log: FlowLog) -> Iterator[Resource]:
    """The same, and what is to be logged of the packets in the scope."""
    for resource in resources:
        if isinstance(resource, NftChain) and resource.scope == scope:
            yield from _logged_chain(resource, flow_log)
        else:
            yield resource


def _logged_chain(chain: NftChain, flow_log: FlowLog) -> Iterator[NftChain]:
    logs: dict[str, NftChain] = {}
    rules: list[str] = []
    for rule in chain.rules:
        found = _asked_for(chain, rule, flow_log)
        if found is not None:
            match, way = found
            log = _log(chain.scope, chain.family, way, flow_log)
            logs[log.name] = log
            rules.append(f"{match}jump {log.name}")
        rules.append(rule)
    yield from logs.values()
    yield replace(chain, rules=tuple(rules))


def _asked_for(chain: NftChain, rule: str, flow_log: FlowLog) -> tuple[str, Way] | None:
    """What the rule looks for before it decides, and what it then does to the packet."""
    if (chain.family, chain.name, rule) == (Family.BRIDGE, "dropped", "drop"):
        return "", Way("out", GUARD)
    if flow_log.allowed and (chain.name, rule) == ("stamp", "accept"):
        return "", Way("in", ALLOWED)
    found = _DROPS.fullmatch(rule)
    if found is None:
        return None
    policy = _POLICY.fullmatch(chain.name)
    side: Literal["in", "out"] = "in" if chain.name.startswith(_INWARDS) else "out"
    return found["match"], Way(side, found["reason"], policy["name"] if policy else "")


def _log(scope: str, family: Family, way: Way, flow_log: FlowLog) -> NftChain:
    sampled = f"numgen random mod {flow_log.sample} 0 " if flow_log.sample > 1 else ""
    limited = f"limit rate {PER_SECOND}/second burst {PER_SECOND} packets "
    said = f'log prefix "{prefix_of(way)}" group {GROUP} snaplen {SNAP_BYTES}'
    name = ".".join(filter(None, (f"{CHAINS}{way.side}", way.reason, way.policy)))
    return NftChain(scope, family, name, "", (f"{sampled}{limited}{said}",))
