"""An API server made from Firecracker's own description of its API: it takes what that allows, in the order it allows.

The description is Firecracker's (Apache License 2.0, see LICENSE and NOTICE beside it), of release v1.16.1.
"""

import asyncio
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

DESCRIPTION = Path(__file__).parent / "description" / "firecracker-v1.16.1.yaml"
_DEVICE_ID = re.compile(r"\w+", re.UNICODE)


def _closed(schema: Any) -> Any:
    """Firecracker refuses fields that it does not know, which its description does not say."""
    if isinstance(schema, dict):
        made = {key: _closed(value) for key, value in schema.items()}
        if "properties" in made and isinstance(made["properties"], dict):
            made.setdefault("additionalProperties", False)
        return made
    return [_closed(one) for one in schema] if isinstance(schema, list) else schema


@cache
def _described() -> Any:
    return yaml.safe_load(DESCRIPTION.read_text())


class DescribedFirecracker:
    """`refused` is what it said to what it did not take; `taken` the paths of what it did."""

    def __init__(self) -> None:
        self._document = _described()
        self._definitions = _closed(self._document["definitions"])
        self.taken: list[str] = []
        self.started = False
        self._server: asyncio.Server | None = None

    def validator(self, schema: Any) -> jsonschema_rs.Validator:
        return jsonschema_rs.validator_for({**_closed(schema), "definitions": self._definitions})

    def whole(self) -> jsonschema_rs.Validator:
        """Of a configuration file."""
        return self.validator({"$ref": "#/definitions/FullVmConfiguration"})

    def fault(self, method: str, path: str, body: Any) -> str:
        """Empty for what it takes."""
        for template, operations in self._document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
                return self._fault_of(operations[method.lower()], template, path, body)
        return f"Invalid request method and/or path: {method} {path}."

    def _fault_of(self, operation: Any, template: str, path: str, body: Any) -> str:
        (schema,) = (one["schema"] for one in operation["parameters"] if one["in"] == "body")
        errors = [error.message for error in self.validator(schema).iter_errors(body)]
        if errors:
            return errors[0]
        if "{" in template:
            named = path.rpartition("/")[2]
            if not _DEVICE_ID.fullmatch(named):
                return "API Resource IDs can only contain alphanumeric characters and underscores."
            if named not in body.values():
                return "The id from the path does not match the id from the body!"
        before_start = not path.startswith(("/vm", "/snapshot/create"))
        if before_start and self.started:
            return "The requested operation is not supported after starting the microVM."
        if not before_start and not self.started:
            return "The requested operation is not supported before starting the microVM."
        if path == "/actions" and "/boot-source" not in self.taken:
            return "Cannot start microvm without kernel configuration."
        return ""

    async def serve(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._talk, path)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
        fault = self.fault(method, path, body)
        if not fault:
            self.taken.append(path)
            self.started = self.started or path in ("/actions", "/snapshot/load")
        text = json.dumps({"fault_message": fault}).encode() if fault else b""
        status = "400 Bad Request" if fault else "204 No Content"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()
        writer.close()
