"""What each data plane carries of what may be asked for: what it does not is refused before it is accepted.

A table beside the compilers, which take for granted what it promises. Pure: it says what is too much and what to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from weftwork.compiler.ovn.network_policy import RULES_MAX as OVN_POLICY_RULES_MAX
from weftwork.model.intent import Intent, Thing, lodgers_of
from weftwork.model.network_policy import NetworkPolicy, PolicyKind, PolicyRule
from weftwork.model.port import Port
from weftwork.model.security_group import Rule, SecurityGroup
from weftwork.model.vpc import Vpc

BRIDGE_PORTS_MAX = 1023
"""Of one bridge in Linux (BR_MAX_PORTS in net/bridge/br_private.h is 1 << 10, and 0 is no port)."""


@dataclass(frozen=True, slots=True)
class Carries:
    """`None` is without a bound of its own.

    `policy_rules_max`: rules of all network policies of a project in one direction; an isolation counts one more.
    `link_ports_max`: attached ports of one link, which is a subnet, or with `link_is_vpc` the whole VPC.
    `port_zero`: rules may begin at transport port 0. `flow_logs`: packets can be logged.
    `lies_logged`: those, too, whose source is not the port's own.
    """

    name: str
    policy_rules_max: int | None = None
    link_ports_max: int | None = None
    link_is_vpc: bool = False
    port_zero: bool = True
    flow_logs: bool = True
    lies_logged: bool = True


EVERYTHING = Carries("any")
LINUX = Carries("Linux", link_ports_max=BRIDGE_PORTS_MAX)
LINUX_VLAN = Carries("Linux, layout `vlan`", link_ports_max=BRIDGE_PORTS_MAX, link_is_vpc=True)
OVN = Carries("OVN", policy_rules_max=OVN_POLICY_RULES_MAX, port_zero=False, lies_logged=False)
OVN_ELSEWHERE = replace(OVN, name="OVN of others, without `controller_log`", flow_logs=False)

TABLE = (LINUX, LINUX_VLAN, OVN, OVN_ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a data plane cannot carry, and what to ask for instead."""

    what: str
    instead: str


def has_room(thing: Thing, intent: Intent, more: int, carries: Carries) -> bool:
    """Whether nothing is too much, whatever the thing is like and with `more` things beside it; without counting."""
    match thing:
        case Vpc():
            return carries.flow_logs
        case SecurityGroup():
            return carries.port_zero
        case NetworkPolicy():
            return carries.port_zero and carries.policy_rules_max is None
        case Port() if thing.attachment and carries.link_ports_max is not None:
            home = intent.get(thing.home)
            return home is not None and not home.shares and len(home.ports) + more <= carries.link_ports_max
        case _:
            return True


def shortfalls(thing: Thing, intent: Intent, carries: Carries) -> Iterator[Shortfall]:
    """Of a thing that is new or changed, in the intent that has it."""
    match thing:
        case Vpc() if thing.flow_log and not carries.flow_logs:
            yield Shortfall(
                "packets cannot be logged there",
                "Name the log of this host's ovn-controller in network.ovn_controller_log.",
            )
        case SecurityGroup():
            yield from _port_zero((*thing.ingress, *thing.egress), carries)
        case NetworkPolicy():
            yield from _port_zero(thing.rules, carries)
            yield from _policy_rules(thing, intent, carries)
        case Port() if thing.attachment:
            yield from _link(thing, intent, carries)


def _port_zero(rules: tuple[Rule | PolicyRule, ...], carries: Carries) -> Iterator[Shortfall]:
    """All ports is no word about port 0."""
    zero = any(rule.ports and rule.ports.min == 0 and rule.ports.max < 65535 for rule in rules)
    if zero and not carries.port_zero:
        yield Shortfall("a rule begins at port 0, which TCP and UDP do not have there", "Begin its ports at 1.")


def _policy_rules(policy: NetworkPolicy, intent: Intent, carries: Carries) -> Iterator[Shortfall]:
    if carries.policy_rules_max is None:
        return
    policies = intent[policy.owner].policies.values()
    for way, kinds in (("ingress", PolicyKind.INGRESS), ("egress", PolicyKind.EGRESS)):
        judging = [one for one in policies if one.kind in (kinds, PolicyKind.ISOLATION)]
        count = sum(len(one.rules) + (one.kind is PolicyKind.ISOLATION) for one in judging)
        if count > carries.policy_rules_max:
            what = f"the project's policies would have {count} {way} rules, and {carries.policy_rules_max} fit"
            yield Shortfall(what, "Say it with fewer rules: wider ranges of addresses or ports, or security groups.")
            return


def _link(port: Port, intent: Intent, carries: Carries) -> Iterator[Shortfall]:
    home = intent.get(port.home)
    if carries.link_ports_max is None or home is None:
        return
    if not home.shares and len(home.ports) <= carries.link_ports_max:
        return
    here = [one for one in home.ports.values() if not one.lender]
    here += lodgers_of(intent, port.home)
    count = sum(1 for one in here if one.attachment and (carries.link_is_vpc or one.subnet == port.subnet))
    if count > carries.link_ports_max:
        what = (
            f"{'the VPC' if carries.link_is_vpc else f'subnet {port.subnet}'} would have {count} attached ports on a "
        )
        where = "another VPC" if carries.link_is_vpc else "another subnet"
        yield Shortfall(f"{what}bridge, and {carries.link_ports_max} fit", f"Attach it in {where}, or detach others.")
