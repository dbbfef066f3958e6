"""What the model says of policies, in the examples of docs/explain/who-wins.md."""

from ipaddress import IPv4Address

from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import NetworkPolicy, PolicyKind
from weftwork.model.security_group import Protocol
from weftwork.testing import strategies as make
from weftwork.verifier.model import verdict
from weftwork.verifier.packet import Inside, Outside, Probe, Verdict
from weftwork.verifier.reasons import Reason, ReasonCode

RED = make.TENANTS[0]
A, B = (make.port(RED, number, groups=("open",)) for number in (1, 2))
FAR = make.port(RED, 3, subnet="data", vlan=2, groups=("open",))
NO_SSH = make.policy_rule("deny", "0.0.0.0/0", Protocol.TCP, 22)


def red(*policies: NetworkPolicy) -> ProjectIntent:
    anybody = (make.allow("0.0.0.0/0"),)
    return make.project(
        make.vpc(RED),
        make.subnet(RED),
        make.subnet(RED, "data", vlan=2),
        make.group(RED, "open", ingress=anybody, egress=anybody),
        *(A, B, FAR),
        make.snat(RED, "198.51.100.10"),
        make.dnat(RED, "198.51.100.10:80", f"{FAR.addresses[0]}:80"),
        *policies,
    )


def sent(own: ProjectIntent, source: object, target: object, port: int) -> Verdict:
    start = Outside(source) if isinstance(source, IPv4Address) else Inside(RED, source.id)  # type: ignore[attr-defined]
    there = target if isinstance(target, IPv4Address) else target.addresses[0]  # type: ignore[attr-defined]
    return verdict({RED: own}, Probe(start, there, 6, 40000, port))


def test_a_denial_names_the_policy_and_the_rule_and_stands_beside_what_else_stops_it() -> None:
    own = red(make.policy(RED, "no-ssh", NO_SSH))
    assert sent(own, A, B, 22).reasons == (Reason(ReasonCode.POLICY_DENIED, RED, "no-ssh", NO_SSH),)
    assert sent(own, A, B, 23).delivered

    own.groups["open"] = make.group(RED, "open")
    codes = [reason.code for reason in sent(own, A, B, 22).reasons]
    assert codes == [ReasonCode.NO_EGRESS_RULE, ReasonCode.POLICY_DENIED, ReasonCode.NO_INGRESS_RULE]


def test_the_lowest_priority_decides_and_then_the_name() -> None:
    allow = make.policy_rule("allow", "open", Protocol.TCP, 22)
    deny = make.policy(RED, "m-deny", NO_SSH, priority=10)
    assert sent(red(deny, make.policy(RED, "z-allow", allow, priority=9)), A, B, 22).delivered
    assert not sent(red(deny, make.policy(RED, "a-allow", allow, priority=11)), A, B, 22).delivered
    assert sent(red(deny, make.policy(RED, "a-allow", allow, priority=10)), A, B, 22).delivered
    assert not sent(red(deny, make.policy(RED, "z-allow", allow, priority=10)), A, B, 22).delivered


def test_an_allow_of_a_policy_overrides_no_group() -> None:
    own = red(make.policy(RED, "all", make.policy_rule("allow", "0.0.0.0/0")))
    own.groups["open"] = make.group(RED, "open", egress=(make.allow("0.0.0.0/0"),))
    assert [reason.code for reason in sent(own, A, B, 80).reasons] == [ReasonCode.NO_INGRESS_RULE]


def test_an_isolated_subnet_speaks_with_itself_and_with_its_exceptions() -> None:
    exception = make.policy_rule("allow", "subnet default", Protocol.TCP, 5432)
    own = red(make.policy(RED, "apart", exception, kind=PolicyKind.ISOLATION, subnet="data"))
    near = make.port(RED, 5, subnet="data", vlan=2, groups=("open",))
    make.put(own, near)
    assert sent(own, near, FAR, 80).delivered
    assert sent(own, A, FAR, 5432).delivered and sent(own, FAR, A, 5432).delivered
    assert sent(own, A, B, 80).delivered
    isolated = (Reason(ReasonCode.ISOLATED, RED, "apart"),)
    for start, end in ((A, FAR), (FAR, A), (FAR, IPv4Address("8.8.8.8"))):
        assert sent(own, start, end, 80).reasons == isolated
    assert sent(own, IPv4Address("8.8.8.8"), IPv4Address("198.51.100.10"), 80).reasons == isolated


def test_policies_see_the_addresses_that_groups_see() -> None:
    """A DNAT's target, not its external address."""
    outside = make.policy(
        RED, "not-out", make.policy_rule("deny", "198.51.100.10/32"), kind=PolicyKind.EGRESS, subnet="default"
    )
    assert sent(red(outside), A, IPv4Address("198.51.100.10"), 80).delivered
    inside = make.policy(
        RED, "not-there", make.policy_rule("deny", "subnet data"), kind=PolicyKind.EGRESS, subnet="default"
    )
    assert not sent(red(inside), A, IPv4Address("198.51.100.10"), 80).delivered
