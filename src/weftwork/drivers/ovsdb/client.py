"""One connection to an OVSDB database: transactions, and a copy of the tables it watches, as fresh as the answers.

A server sends what a transaction changed before it answers it, so after `transact` the copy shows it. Of a clustered
database the leader is looked for: only there is a copy fresh.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from weftwork.base.errors import Failure
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.endpoint import Endpoint, Tls
from weftwork.drivers.ovsdb.wire import RowId

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
_READ_BYTES = 1 << 20
_LEADERSHIP = "leadership"
"""The name of the monitor that tells whether the server still leads."""

Tables = Mapping[str, Sequence[str]]
"""The columns to watch, by table."""


class Client:
    """Connects when it is used and again after a break; belongs to one event loop.

    `code` is that of the Failure raised when the database is out of reach.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        database: str,
        tables: Tables,
        *,
        tls: Tls | None = None,
        code: str = "OVN_CONNECTION_FAILED",
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._database = database
        self._tables = tables
        self._tls = tls
        self._code = code
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()
        self._listeners: list[Callable[[str, RowId], None]] = []

    async def rows(self, table: str) -> Mapping[RowId, wire.Row]:
        """The copy of one table; it goes on changing. Raises Failure when there is no connection."""
        return (await self._connected()).copy[table]

    async def catch_up(self) -> None:
        """After this the copy shows all that was committed before: servers tell of changes before they answer."""
        await (await self._connected()).call("echo", [])

    def listen(self, listener: Callable[[str, RowId], None]) -> None:
        """Told of every row that came, changed or went, by table and id; also of all after a reconnect."""
        self._listeners.append(listener)

    async def transact(self, operations: Iterable[Mapping[str, Any]]) -> list[Any]:
        """The results of the operations, all or none carried out.

        Raises Failure: `OVSDB_REFUSED` when the server says no, else the client's own code – then nobody knows
        whether it was carried out, so what is sent must do no harm when sent again.
        """
        link = await self._connected()
        wanted = list(operations)
        answer: list[Any] = await link.call("transact", [self._database, *wanted])
        refused = next((one for one in answer if isinstance(one, dict) and one.get("error")), None)
        if refused is not None:
            if refused["error"] == "not leader":
                await self.close()
                raise Failure(self._code, f"{self._database}: the leader changed")
            raise Failure("OVSDB_REFUSED", f"{refused['error']}: {refused.get('details', '')}".rstrip(": "))
        return answer

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _connected(self) -> "_Link":
        async with self._connecting:
            if self._link is not None and not self._link.is_closed:
                return self._link
            before, reasons = self._link, []
            for endpoint in self._endpoints:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        self._link = await self._open(endpoint)
                    self._tell_of_all(before)
                    return self._link
                except (OSError, TimeoutError, Failure) as error:
                    reasons.append(f"{endpoint}: {error or type(error).__name__}")
            raise Failure(self._code, f"{self._database}: {'; '.join(reasons)}")

    async def _open(self, endpoint: Endpoint) -> "_Link":
        reader, writer = await endpoint.open(self._tls)
        link = _Link(reader, writer, self._database, self._code, self._tell)
        try:
            await self._insist_on_leader(link)
            requests = {table: [{"columns": list(columns)}] for table, columns in self._tables.items()}
            link.copy = {table: {} for table in self._tables}
            link.learn(await link.call("get_schema", [self._database]), self._tables)
            await link.call("monitor_cond", [self._database, self._database, requests], receive=link.take)
        except BaseException:
            await link.close()
            raise
        return link

    async def _insist_on_leader(self, link: "_Link") -> None:
        columns = ["name", "model", "leader"]
        query = {"op": "select", "table": "Database", "where": [["name", "==", self._database]], "columns": columns}
        watched = {"Database": [{"columns": columns, "select": {"initial": False}}]}
        await link.call("monitor", ["_Server", _LEADERSHIP, watched])
        (answer,) = await link.call("transact", ["_Server", query])
        rows = answer.get("rows", ()) if isinstance(answer, dict) else ()
        if not rows:
            raise Failure(self._code, f"it has no database {self._database}")
        if rows[0]["model"] == "clustered" and not rows[0]["leader"]:
            raise Failure(self._code, "it is not the leader of its cluster")

    def _tell_of_all(self, before: "_Link | None") -> None:
        """Rows may have gone while there was no connection."""
        for table, rows in before.copy.items() if before is not None else ():
            for uuid in rows:
                self._tell(table, uuid)

    def _tell(self, table: str, uuid: RowId) -> None:
        for listener in self._listeners:
            listener(table, uuid)


class _Link:
    """JSON-RPC 1.0 over one stream."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        database: str,
        code: str,
        tell: Callable[[str, RowId], None],
    ) -> None:
        self._database = database
        self.copy: dict[str, dict[RowId, wire.Row]] = {}
        self._many: frozenset[tuple[str, str]] = frozenset()
        self._defaults: dict[str, dict[str, Any]] = {}
        self.is_closed = False
        self._reader, self._writer, self._code, self._tell = reader, writer, code, tell
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._receivers: dict[int, Callable[[Any], None]] = {}
        self._reading = asyncio.create_task(self._read(), name="ovsdb")

    async def call(self, method: str, parameters: list[Any], *, receive: Callable[[Any], None] = lambda _: None) -> Any:
        """The answer; `receive` is given it before the message behind it is read."""
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        if self.is_closed:
            raise Failure(self._code, "the connection broke")
        self._waiting[number] = answer
        self._receivers[number] = receive
        self._send({"method": method, "params": parameters, "id": number})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._writer.drain()
                return await answer
        except TimeoutError:
            await self.close()
            raise Failure(self._code, f"no answer within {ANSWER_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            await self.close()
            raise Failure(self._code, str(error)) from error
        finally:
            self._waiting.pop(number, None)
            self._receivers.pop(number, None)

    def learn(self, schema: Mapping[str, Any], tables: Tables) -> None:
        """Which columns hold many values, and what each holds when nothing is told."""
        types = {
            (table, column): schema["tables"][table]["columns"][column]["type"]
            for table, columns in tables.items()
            for column in columns
        }
        self._many = frozenset(place for place, kind in types.items() if wire.holds_many(kind))
        self._defaults = {
            table: {column: wire.default_of(types[table, column]) for column in columns}
            for table, columns in tables.items()
        }

    def take(self, updates: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """`<table-updates2>` (ovsdb-server(7), 4.1.14): of a row only what changed, however large its sets are."""
        for table, rows in updates.items():
            copy = self.copy[table]
            for text, change in rows.items():
                uuid = RowId(text)
                match change:
                    case {"initial": row} | {"insert": row}:
                        copy[uuid] = self._whole(table, row)
                    case {"modify": row}:
                        copy[uuid] = self._changed(table, copy[uuid], row)
                    case _:
                        copy.pop(uuid, None)
                self._tell(table, uuid)

    def _whole(self, table: str, row: Mapping[str, Any]) -> wire.Row:
        """What is not told has its column's default."""
        return self._defaults[table] | wire.decode_row(row)

    def _changed(self, table: str, before: wire.Row, row: Mapping[str, Any]) -> wire.Row:
        after = dict(before)
        for column, value in wire.decode_row(row).items():
            many = (table, column) in self._many
            after[column] = wire.amended(before[column], value) if many else value
        return after

    def _take_leadership(self, updates: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """A copy of who leads no longer may grow old: the next call looks for the new leader."""
        for change in updates.get("Database", {}).values():
            row = change.get("new", {})
            if row.get("name") == self._database and row.get("model") == "clustered" and not row.get("leader"):
                self._end("it is not the leader of its cluster any more")

    async def close(self) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        self._end("the connection was closed")

    def _send(self, message: Mapping[str, Any]) -> None:
        self._writer.write(msgspec.json.encode(message))

    async def _read(self) -> None:
        try:
            async for message in _messages(self._reader):
                self._handle(message)
            self._end("the server closed the connection")
        except (OSError, ValueError) as error:
            self._end(str(error))
        except KeyError as error:
            self._end(f"the server changed {error}, which it has not told of")

    def _handle(self, message: Mapping[str, Any]) -> None:
        match message.get("method"):
            case "echo":
                self._send({"id": message.get("id"), "result": message.get("params"), "error": None})
            case "update":
                self._take_leadership(message["params"][1])
            case "update2":
                self.take(message["params"][1])
            case None:
                waiting = self._waiting.get(message.get("id") or 0)
                if waiting is not None and not waiting.done():
                    if message.get("error"):
                        waiting.set_exception(Failure(self._code, str(message["error"])))
                    else:
                        self._receivers[message["id"]](message.get("result"))
                        waiting.set_result(message.get("result"))

    def _end(self, why: str) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Failure(self._code, why))


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Mapping[str, Any]]:
    """Objects one after the other, with nothing between."""
    decoder = json.JSONDecoder()
    text, whole = "", bytearray()
    while data := await reader.read(_READ_BYTES):
        whole += data
        try:
            text += whole.decode()
            whole.clear()
        except UnicodeDecodeError:
            continue
        text = text.lstrip()
        # A large message comes in many parts, and must not be read from its beginning at each of them.
        while text.rstrip().endswith("}"):
            try:
                message, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            yield message
            text = text[end:].lstrip()
