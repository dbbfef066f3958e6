"""Where a packet has to be sent and caught for a question to be tried on the data plane of this host."""

import asyncio

from weftwork.compiler.linux import names
from weftwork.compiler.ovn import names as ovn_names
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.vpc import Vpc
from weftwork.seams.tracer import Flow, Injection, Injector, NotTraced, Traced
from weftwork.verifier.model import address_of

PAUSE_S = 0.2
"""Between two packets, whoever asks: a probe is a question and not a load."""


class ControllerTracer:
    """Implements `seams.tracer.Tracer`; one packet at a time."""

    def __init__(self, intent: Intent, injector: Injector) -> None:
        self._intent = intent
        self._injector = injector
        self._turn = asyncio.Lock()

    async def trace(self, project: ProjectIntent, flow: Flow) -> Traced | NotTraced:
        injection = self._injection(project, flow)
        if isinstance(injection, NotTraced):
            return injection
        async with self._turn:
            found = await self._injector.inject(injection)
            await asyncio.sleep(PAUSE_S)
        return found

    def _injection(self, project: ProjectIntent, flow: Flow) -> Injection | NotTraced:
        sender = project.ports.get(flow.sender)
        if sender is None or project.vpc is None:
            return NotTraced("a packet is sent from the end of a port of the project, and this one would not be")
        if sender.attachment is None:
            return NotTraced("the sender is not attached, so there is no end to send from")
        source = address_of(sender)
        assert source is not None, "the question was asked of it"
        receiver = project.ports.get(flow.receiver)
        if receiver is not None and receiver.attachment is None:
            return NotTraced("the receiver is not attached, so there is no end to arrive at")
        is_near = receiver is not None and flow.destination in receiver.addresses and receiver.subnet == sender.subnet
        out, leg = (receiver.device, "") if receiver else self._way_out(project.vpc, flow)
        return Injection(
            scope=project.vpc.netns,
            device=sender.device,
            attachment=sender.attachment,
            source_mac=sender.mac,
            next_mac=receiver.mac if receiver and is_near else names.gateway_mac(project.vpc),
            source=source,
            destination=flow.destination,
            protocol=flow.protocol,
            destination_port=flow.destination_port,
            out=out,
            leaves=receiver is None,
            ways_out=(names.EXTERNAL_LEG, "peer*"),
            leg=leg,
        )

    def _way_out(self, vpc: Vpc, flow: Flow) -> tuple[str, str]:
        """The device and what OVN calls it."""
        for _, peer in peers_of(self._intent, vpc.owner):
            if peer.vpc is not None and flow.destination in peer.vpc.cidr:
                return names.peer_leg(peer.vpc), ovn_names.peer_leg(vpc, peer.vpc)
        return names.EXTERNAL_LEG, ovn_names.external_leg_of(vpc)
