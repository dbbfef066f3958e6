"""Where a packet has to be sent and caught for a question to be tried on the data plane of this host."""

import asyncio

from weftwork.compiler.linux import names
from weftwork.model.intent import Intent, ProjectIntent, peers_of
from weftwork.model.port import Port
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
        return Injection(
            scope=project.vpc.netns,
            attachment=sender.attachment,
            source_mac=sender.mac,
            next_mac=receiver.mac if receiver and is_near else names.gateway_mac(project.vpc),
            source=source,
            destination=flow.destination,
            protocol=flow.protocol,
            destination_port=flow.destination_port,
            out=self._out(project, flow, receiver),
            leaves=receiver is None,
            ways_out=(names.EXTERNAL_LEG, "peer*"),
        )

    def _out(self, project: ProjectIntent, flow: Flow, receiver: Port | None) -> str:
        if receiver is not None:
            return receiver.device
        assert project.vpc is not None, "it was looked at"
        for _, peer in peers_of(self._intent, project.vpc.owner):
            if peer.vpc is not None and flow.destination in peer.vpc.cidr:
                return names.peer_leg(peer.vpc)
        return names.EXTERNAL_LEG
