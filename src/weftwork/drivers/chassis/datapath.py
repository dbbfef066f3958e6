"""The Open vSwitch daemon of this host, asked as ovs-appctl(8) asks: over its control socket, JSON-RPC, no process."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weftwork.base.errors import Failure
from weftwork.drivers.chassis import flows
from weftwork.program.resource import Resource

CALL_TIMEOUT_S = 10.0
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Datapath:
    """`folder` is where the daemon keeps its process id and its socket."""

    folder: Path

    async def obey(self, translations: Callable[[], Iterable[Resource]] | None = None) -> None:
        """After this no packet is judged by rules that were in force before.

        `translations` is given when some may have gone: flows that live by none of today's are ended. Raises Failure.
        """
        # `revalidator/wait` would keep what is still right, but takes half a second; this takes one millisecond.
        await self.call("revalidator/purge")
        if translations is not None:
            tracked = flows.read(await self.call("dpctl/dump-conntrack"))
            for flow in flows.dead(tracked, flows.translations_of(translations())):
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
