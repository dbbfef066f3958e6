"""The call that says why. What the verifier answers, as messages; a proposed step becomes the call that takes it."""

from collections.abc import Iterator

from weftwork.actions.explain import INTERNET, Explained, explain_flow
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent
from weftwork.model.network_policy import PolicyKind
from weftwork.model.security_group import Protocol, Rule
from weftwork.rpc import decode, encode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import explain_pb2 as messages
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as policy_pb2
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft
from weftwork.seams.tracer import Flow, NotTraced
from weftwork.verifier.edits import (
    AddRule,
    AllowInPolicy,
    AttachPort,
    CreateDnat,
    CreateGroup,
    CreateSnat,
    Direction,
    Edit,
    JoinGroup,
    applied,
)
from weftwork.verifier.explain import Blocker, Change
from weftwork.verifier.hops import Hop
from weftwork.verifier.model import NUMBERS
from weftwork.verifier.opening import Opened
from weftwork.verifier.reasons import Reason, ReasonCode
from weftwork.verifier.route import Way
from weftwork.verifier.wording import port_text, rule_text, service_text


async def explain(doors: Doors, request: messages.ExplainRequest) -> messages.ExplainResponse:
    owner = decode.owner(request)
    source, destination = _end(request.source, "source"), _end(request.destination, "destination")
    protocol, port = _service(request)
    there = await explain_flow(
        doors.network, owner=owner, source=source, destination=destination, protocol=protocol, destination_port=port
    )
    response = messages.ExplainResponse(there=_told(there))
    if request.live:
        response.there.live.CopyFrom(await _live(doors, there))
    if request.both:
        back = await explain_flow(
            doors.network, owner=owner, source=destination, destination=source, protocol=protocol, destination_port=port
        )
        response.back.CopyFrom(_told(back))
        if request.live:
            response.back.live.CopyFrom(await _live(doors, back))
    return response


def _end(text: str, field: str) -> str:
    """A name, an id or an address, in its own words; which of them it is, the action finds out."""
    if text == INTERNET or (set(text) <= set("0123456789abcdef.:") and set(text) & set(".:")):
        return text if text == INTERNET else str(decode.address(text, field))
    return decode.reference(text, field)


def _service(request: messages.ExplainRequest) -> tuple[int, int]:
    protocol = decode.protocol(request.protocol, "protocol")
    if protocol is Protocol.ALL:
        raise decode.refusal(
            codes.INVALID_PROTOCOL, "protocol", "one packet has one protocol", hint="Use tcp, udp or icmp."
        )
    if protocol is not Protocol.ICMP:
        return NUMBERS[protocol], decode.transport_port(request.destination_port, "destination_port")
    if request.destination_port:
        raise decode.refusal(codes.INVALID_PORT_RANGE, "destination_port", "icmp has no ports", hint="Leave it out.")
    return NUMBERS[protocol], 0


def _told(explained: Explained) -> messages.Explanation:
    found, project = explained.explanation, explained.project
    probe = found.probe
    sent = service_text(probe.protocol, probe.destination_port)
    return messages.Explanation(
        source=explained.source,
        destination=explained.destination,
        service=service_text(found.question.protocol, found.question.destination_port),
        reachable=found.reachable,
        summary=_summary(explained),
        packet=f"{found.route.source} to {probe.destination} {sent}",
        hops=[_hop(one) for one in found.hops],
        decides=[_reason(one, project) for one in found.decides],
        blockers=[_blocker(one, project) for one in found.blockers],
        changes=[_change(one, project, found.question.project) for one in found.changes],
        replies=_replies(explained),
    )


async def _live(doors: Doors, explained: Explained) -> messages.LiveProbe:
    found = explained.explanation
    if doors.tracer is None:
        return _not_tried("no agent runs on this server, or its data plane cannot follow a probe")
    if found.route.way is Way.BEYOND:
        return _not_tried("another project judges half of the way, and its rules would be seen in the trace")
    if found.route.way is Way.TO_ROUTER:
        return _not_tried("a gateway answers by itself, and the probe is to be answered by nobody")
    if found.route.sender is None:
        return _not_tried("a packet is sent from the end of a port of the project, and this one comes from elsewhere")
    receiver = found.route.receiver.id if found.route.receiver and found.route.way is not Way.OUTWARDS else ""
    traced = await doors.tracer.trace(
        explained.project,
        Flow(
            sender=found.route.sender.id,
            receiver=receiver,
            destination=found.probe.destination,
            protocol=found.probe.protocol,
            destination_port=found.probe.destination_port,
        ),
    )
    if isinstance(traced, NotTraced):
        return _not_tried(traced.why)
    agrees = traced.delivered == found.reachable
    did = "let the packet pass" if traced.delivered else "stopped the packet"
    return messages.LiveProbe(
        outcome=messages.LiveProbe.OUTCOME_AGREES if agrees else messages.LiveProbe.OUTCOME_DISAGREES,
        delivered=traced.delivered,
        detail=f"It {did}",
        trace=traced.lines,
    )


def _not_tried(why: str) -> messages.LiveProbe:
    return messages.LiveProbe(outcome=messages.LiveProbe.OUTCOME_NOT_TRIED, detail=why)


def _summary(explained: Explained) -> str:
    found = explained.explanation
    service = service_text(found.question.protocol, found.question.destination_port)
    if not found.reachable:
        why = ", ".join(dict.fromkeys(one.reason.code.name for one in found.blockers))
        return f"{explained.source} cannot reach {explained.destination} by {service}: {why}"
    by = f" through {found.route.dnat.external}" if found.route.dnat else ""
    return f"{explained.source} reaches {explained.destination} by {service}{by}"


def _replies(explained: Explained) -> str:
    found = explained.explanation
    way = f"from {explained.destination} to {explained.source}"
    if found.reachable:
        return f"Answers {way} are part of the flow and need no rule of their own"
    return f"Answers {way} would be part of the flow and would need no rule of their own"


def _hop(hop: Hop) -> messages.Hop:
    return messages.Hop(
        station=hop.station.value,
        name=hop.name,
        detail=hop.detail,
        passage=hop.passage.value,
        codes=[one.code.name for one in hop.reasons],
    )


def _reason(reason: Reason, project: ProjectIntent) -> messages.PacketReason:
    meaning = reason.code.value
    policy = project.policies.get(reason.thing) if reason.code is ReasonCode.POLICY_DENIED else None
    outwards = policy.kind is PolicyKind.EGRESS if policy else reason.code is ReasonCode.EGRESS_RULE
    direction = Direction.EGRESS if outwards else Direction.INGRESS
    return messages.PacketReason(
        code=reason.code.name,
        meaning=meaning.text,
        what_to_do=meaning.what_to_do,
        thing=_thing(reason.thing, project),
        rule=rule_text(reason.rule, direction) if reason.rule else "",
    )


def _thing(name: str, project: ProjectIntent) -> str:
    """Ports by their names, DNATs as people write them."""
    if port := project.ports.get(name):
        return port_text(port)
    dnat = project.dnats.get(name)
    return dnat.external if dnat else name


def _blocker(blocker: Blocker, project: ProjectIntent) -> messages.Blocker:
    near = [
        messages.NearMiss(security_group=one.group, rule=rule_text(one.rule, one.direction), differs=one.differs)
        for one in blocker.near_misses
    ]
    return messages.Blocker(reason=_reason(blocker.reason, project), near_misses=near)


def _change(change: Change, project: ProjectIntent, owner: ProjectKey) -> messages.ProposedChange:
    return messages.ProposedChange(
        mutations=list(_mutations(change, project, owner)),
        opens=change.opening.pairs,
        opens_beside=change.opening.others,
        examples=[_opened(one, project) for one in change.opening.examples],
    )


def _opened(opened: Opened, project: ProjectIntent) -> messages.OpenedPair:
    return messages.OpenedPair(
        source=_thing(opened.source, project),
        destination=_thing(opened.destination, project),
        services=opened.services,
    )


def _mutations(change: Change, project: ProjectIntent, owner: ProjectKey) -> Iterator[weft.PlanRequest]:
    for step in change.steps:
        project, _ = applied(project, [step])
        yield from _calls(step, project, owner)


def _calls(step: Edit, after: ProjectIntent, owner: ProjectKey) -> Iterator[weft.PlanRequest]:
    """`after` is the project once the step is made."""
    where = {"org_id": owner.org, "project_id": owner.project}
    match step:
        case AddRule(group, direction, rule, old):
            yield weft.PlanRequest(add_rules=_rule_change(owner, group, direction, rule))
            if old is not None:
                yield weft.PlanRequest(remove_rules=_rule_change(owner, group, direction, old))
        case CreateGroup(group, direction, rule):
            rules = [encode.rule(rule, owner)]
            request = pb.CreateSecurityGroupRequest(
                org_id=owner.org,
                project_id=owner.project,
                name=group,
                ingress_rules=rules if direction is Direction.INGRESS else (),
                egress_rules=rules if direction is Direction.EGRESS else (),
            )
            yield weft.PlanRequest(create_security_group=request)
        case JoinGroup(port, _):
            groups = after.ports[port].groups
            name = port_text(after.ports[port])
            yield weft.PlanRequest(
                set_security_groups=weft.SetSecurityGroupsRequest(**where, port_id=name, security_group_ids=groups)
            )
        case AttachPort(port):
            name = port_text(after.ports[port])
            yield weft.PlanRequest(attach_port=pb.AttachPortRequest(**where, port_id=name))
        case CreateSnat(address, is_there):
            if is_there:
                yield weft.PlanRequest(delete_snat=pb.DeleteSnatRequest(**where, external_ip=str(address)))
            external = str(address) if is_there else ""
            yield weft.PlanRequest(create_snat=pb.CreateSnatRequest(**where, external_ip=external, enabled=True))
        case AllowInPolicy(policy, rule):
            exceptions = [encode.policy_rule(rule, after.policies[policy])]
            yield weft.PlanRequest(
                add_policy_rules=policy_pb2.AddPolicyRulesRequest(
                    **where, network_policy=policy, rules=exceptions, position=1
                )
            )
        case CreateDnat(dnat):
            yield weft.PlanRequest(
                create_dnat=pb.CreateDnatRequest(
                    **where,
                    external_ip=str(dnat.external_ip),
                    external_port=dnat.external_port,
                    internal_ip=str(dnat.internal_ip),
                    internal_port=dnat.internal_port,
                    protocol=encode.protocol(dnat.protocol),
                )
            )


def _rule_change(owner: ProjectKey, group: str, direction: Direction, rule: Rule) -> weft.ChangeRulesRequest:
    rules = [encode.rule(rule, owner)]
    return weft.ChangeRulesRequest(
        org_id=owner.org,
        project_id=owner.project,
        security_group_id=group,
        ingress_rules=rules if direction is Direction.INGRESS else (),
        egress_rules=rules if direction is Direction.EGRESS else (),
    )
