"""A packet sent as a guest would send it, followed through OVN: what the logical flows say of it, and where it came.

For that, a few OpenFlow flows stand in the bridge for a moment (`probe_flows.py`). They take the packet where it would
go out, so no guest and nobody outside ever sees it, and their counters say where that was.
"""

import asyncio
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weftwork.base.errors import Failure
from weftwork.drivers.chassis import flows, probe_flows, trace_texts
from weftwork.drivers.chassis.datapath import Datapath
from weftwork.drivers.chassis.driver import ChassisDriver
from weftwork.drivers.chassis.microflow import microflow
from weftwork.drivers.chassis.probe_flows import ARRIVED, ASTRAY, ELSEWHERE, ENTERED, Marked, Place
from weftwork.drivers.linux import probe_packet
from weftwork.drivers.ovsdb.client import Client
from weftwork.drivers.ovsdb.endpoint import Tls, parse_endpoints
from weftwork.model.port import AttachmentKind
from weftwork.seams.tracer import Injection, NotTraced, Traced

WAIT_S = 1.0
"""For the packet to come out, once it is in; and for it to come in."""

_LOOK_EVERY_S = 0.02
_LOOKS_AFTER_ENTRY = 5
_TRIES = 3
"""A router asks for a MAC outside before it sends, and what waited for the answer has lost its mark."""
_COMMAND_TIMEOUT_S = 20.0
_LOOKS_INTO_TRACKING = 32
"""As many as one packet can make; each is told that the flow is new."""
_GUESTS_TTL = 64
_PINGS_TTL = range(129, 250)
"""No guest's own, by which a ping that is a probe is known from another."""


@dataclass(frozen=True, slots=True)
class OvnInjector:
    """Implements `seams.tracer.Injector`. `southbound` is what ovn-controller is connected to (`ovn-remote`)."""

    datapath: Datapath
    chassis: ChassisDriver
    southbound: str
    tls: Tls | None = None
    bridge: str = "br-int"

    async def inject(self, injection: Injection) -> Traced | NotTraced:
        if injection.attachment.kind is not AttachmentKind.NETNS:
            return NotTraced(
                "the sender's guest is a VM, and only its own kernel can send from its end of a TAP device"
            )
        try:
            row = await self.chassis.logical_port(injection.device)
            arrival = injection.leg or await self.chassis.logical_port(injection.out)
            if not row or not arrival:
                return NotTraced("an end of it is on another chassis, and a probe is sent and caught on this one")
            return await self._trace(injection, row, arrival)
        except (OSError, subprocess.SubprocessError, Failure) as error:
            return NotTraced(f"the host cannot trace it: {error}")

    async def _trace(self, injection: Injection, row: str, arrival: str) -> Traced | NotTraced:
        place = await self._place(injection.leg) if injection.leg else None
        came: Counter[int] = Counter()
        for _ in range(_TRIES if injection.leaves else 1):
            marked = _marked(injection)
            came = await asyncio.to_thread(self._send, injection, marked, place)
            await self._forget(injection, marked)
            if came[ARRIVED] or came[ASTRAY]:
                break
        if came[ELSEWHERE]:
            return NotTraced("the packet went on to another chassis, and a probe is caught on this one")
        return await self._told(injection, row, arrival, came)

    async def _told(self, injection: Injection, row: str, arrival: str, came: Counter[int]) -> Traced | NotTraced:
        packet = probe_packet.frame(injection, 1, source_port=probe_packet.SOURCE_PORTS[0])
        told = await asyncio.to_thread(self._logical, microflow(row, packet))
        lines, delivered = list(trace_texts.stages(told)), bool(came[ARRIVED])
        if came[ASTRAY]:
            lines.append("the packet came out at a device where it should not")
        if trace_texts.comes_out_at(told, arrival) and not delivered:
            by = trace_texts.dropped_by(await self._physical(injection))
            if not by and not came[ENTERED]:
                return NotTraced("the packet did not come into the data plane")
            lines.append(by or "Open vSwitch lost it")
        return Traced(delivered, tuple(lines))

    async def _place(self, leg: str) -> Place | None:
        """Raises Failure."""
        client = Client(parse_endpoints(self.southbound), "OVN_Southbound", {}, tls=self.tls)
        try:
            binding = await _select(client, "Port_Binding", ["logical_port", "==", leg])
            if binding is None:
                return None
            datapath = await _select(client, "Datapath_Binding", ["_uuid", "==", binding["datapath"]])
        finally:
            await client.close()
        return Place(datapath["tunnel_key"], binding["tunnel_key"]) if datapath else None

    def _send(self, injection: Injection, marked: Marked, place: Place | None) -> Counter[int]:
        """Blocks. What came where."""
        packet = probe_packet.frame(injection, marked.number, source_port=marked.source_port, ttl=marked.ttl)
        self._end_flows()
        wanted = "\n".join(probe_flows.flows_for(injection, marked, place, self._dump()))
        try:
            self._ofctl("--bundle", "add-flows", self._switch, "-", given=wanted)
            probe_packet.send(injection, packet)
            return self._wait()
        finally:
            self._end_flows()

    def _wait(self) -> Counter[int]:
        deadline, looks = time.monotonic() + WAIT_S, 0
        while True:
            came = probe_flows.counted(self._dump(probe_flows.COOKIES, stats=True))
            looks += bool(came[ENTERED])
            is_out = came[ARRIVED] + came[ASTRAY] + came[ELSEWHERE]
            if is_out or looks > _LOOKS_AFTER_ENTRY or time.monotonic() > deadline:
                return came
            time.sleep(_LOOK_EVERY_S)

    async def _forget(self, injection: Injection, marked: Marked) -> None:
        """The flow that connection tracking remembers of it, wherever it does."""
        ident = marked.number >> 16 if injection.protocol == probe_packet.ICMP else marked.source_port
        for flow in flows.read(await self.datapath.call("dpctl/dump-conntrack")):
            is_probe = flow.protocol == injection.protocol and flow.original.source_port == ident
            if is_probe and injection.source in (flow.original.source, flow.reply.destination):
                await self.datapath.call("dpctl/flush-conntrack", *flow.flush)

    async def _physical(self, injection: Injection) -> str:
        names = {probe_packet.TCP: "tcp", probe_packet.UDP: "udp", probe_packet.ICMP: "icmp"}
        ports = f"tp_src={probe_packet.SOURCE_PORTS[0]},tp_dst={injection.destination_port}"
        words = [
            f"in_port={injection.device},{names[injection.protocol]}",
            f"dl_src={injection.source_mac},dl_dst={injection.next_mac}",
            f"nw_src={injection.source},nw_dst={injection.destination},nw_ttl={_GUESTS_TTL}",
            "icmp_type=8,icmp_code=0" if injection.protocol == probe_packet.ICMP else ports,
        ]
        tracked = ("--ct-next", "trk,new") * _LOOKS_INTO_TRACKING
        return await self.datapath.call("ofproto/trace", self.bridge, ",".join(words), *tracked)

    def _logical(self, question: str) -> str:
        states = ["--ct=new"] * _LOOKS_INTO_TRACKING
        tls = self.tls
        keys = (f"-p{tls.private_key}", f"-c{tls.certificate}", f"-C{tls.authority}") if tls else ()
        return _run("ovn-trace", f"--db={self.southbound}", *keys, "--no-friendly-names", *states, question)

    def _dump(self, which: str = "", *, stats: bool = False) -> str:
        shown = ("--names", "--stats" if stats else "--no-stats")
        return self._ofctl(*shown, "dump-flows", self._switch, *([which] if which else []))

    def _end_flows(self) -> None:
        self._ofctl("del-flows", self._switch, probe_flows.COOKIES)

    def _ofctl(self, *words: str, given: str = "") -> str:
        return _run("ovs-ofctl", "--protocols=OpenFlow15", *words, given=given)

    @property
    def _switch(self) -> str:
        return f"unix:{self.datapath.folder / self.bridge}.mgmt"


def _marked(injection: Injection) -> Marked:
    is_ping = injection.protocol == probe_packet.ICMP
    return Marked(
        number=secrets.randbits(32) | 1,
        source_port=secrets.choice(probe_packet.SOURCE_PORTS),
        ttl=secrets.choice(_PINGS_TTL) if is_ping else _GUESTS_TTL,
    )


async def _select(client: Client, table: str, where: Sequence[Any]) -> Mapping[str, Any] | None:
    (answer,) = await client.transact([{"op": "select", "table": table, "where": [where]}])
    return next(iter(answer["rows"]), None)


def _run(*command: str, given: str = "") -> str:
    """Its standard output. Raises SubprocessError, OSError."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(f"{command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
