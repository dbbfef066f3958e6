"""The Open vSwitch daemon of this host, asked as ovs-appctl(8) asks: over its control socket, JSON-RPC, no process."""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.chassis import flows
from weftwork.drivers.chassis.flows import TrackedFlow
from weftwork.drivers.ovn.withdrawal import Withdrawal
from weftwork.verifier.ovn.expressions import NotUnderstood
from weftwork.verifier.ovn.tracked import Opening, dead, peers_of

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
ZONES_ASKED_ALONE_MAX = 8
_READ_BYTES = 1 << 20


Zones = Callable[[], Awaitable[Mapping[str, int]]]


async def no_zones() -> Mapping[str, int]:
    """For a datapath whose ports are nobody's."""
    return {}


@dataclass(frozen=True, slots=True)
class Datapath:
    """`folder` is where the daemon keeps its process id and its socket; `zones` are those of ports and routers."""

    folder: Path
    zones: Zones = no_zones

    async def obey(self, withdrawal: Withdrawal) -> None:
        """After this no packet is judged by rules that were in force before, nor passes as an answer to a flow that
        today's rules or translations do not let open. Raises Failure."""
        # `revalidator/wait` would keep what is still right, but takes half a second; this takes one millisecond.
        await self.call("revalidator/purge")
        if withdrawal.translations is not None:
            tracked = flows.read(await self.call("dpctl/dump-conntrack"))
            await self._end(flows.dead(tracked, flows.translations_of(withdrawal.translations())))
        if withdrawal.scopes:
            await self._end_refused(withdrawal)

    async def _end_refused(self, withdrawal: Withdrawal) -> None:
        program = withdrawal.program(withdrawal.scopes)
        program |= withdrawal.program(peers_of(program) - withdrawal.scopes)
        places = flows.places_of(await self.zones(), program)
        tracked: defaultdict[Opening, list[TrackedFlow]] = defaultdict(list)
        for dump in await self._dumps(places):
            for flow in flows.read(dump, places):
                tracked[flows.opening_of(flow, places[flow.zone])].append(flow)
        try:
            refused = tuple(dead(program, withdrawal.scopes, tracked))
        except NotUnderstood as error:
            log.warning("flows that a change may have ended go on until their own side speaks: %s", error)
            return
        await self._end(flow for one in refused for flow in tracked[one])

    async def _dumps(self, zones: Collection[int]) -> Sequence[str]:
        """The daemon looks at every flow for each zone it is asked for, so of many zones it tells all at once."""
        if len(zones) > ZONES_ASKED_ALONE_MAX:
            return [await self.call("dpctl/dump-conntrack")]
        return [await self.call("dpctl/dump-conntrack", f"zone={zone}") for zone in zones]

    async def _end(self, ended: Iterable[TrackedFlow]) -> None:
        for flow in ended:
            await self.call("dpctl/flush-conntrack", *flow.flush)

    async def call(self, method: str, *arguments: str) -> str:
        """Raises Failure."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._call(method, arguments)
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer within {CALL_TIMEOUT_S:.0f} s"
            raise Failure("OVS_CONNECTION_FAILED", f"ovs-vswitchd, {method}: {why}") from error

    async def _call(self, method: str, arguments: Sequence[str]) -> str:
        reader, writer = await asyncio.open_unix_connection(str(self._socket()))
        try:
            writer.write(json.dumps({"id": 0, "method": method, "params": list(arguments)}).encode())
            answer = b""
            while data := await reader.read(_READ_BYTES):
                answer += data
                try:
                    told = json.loads(answer)
                except ValueError:
                    continue
                if told["error"]:
                    raise Failure("OVS_CONNECTION_FAILED", f"ovs-vswitchd, {method}: {told['error']}")
                return str(told["result"])
            raise ConnectionResetError("the daemon closed the connection")
        finally:
            writer.close()

    def _socket(self) -> Path:
        """Ours has a name of its own, a distribution's has its process id in it. Raises OSError."""
        ours = self.folder / "ovs-vswitchd.ctl"
        if ours.exists():
            return ours
        pid = (self.folder / "ovs-vswitchd.pid").read_text().strip()
        return self.folder / f"ovs-vswitchd.{pid}.ctl"
