"""What stands before a real registry and misbehaves: cuts answers, swaps bytes, asks for tokens, sends away."""

import base64
import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import httpx

from weftwork.testing.registry_server import RegistryServer


class RegistryFront(AbstractContextManager["RegistryFront"]):
    """`requests` has each request's path and its Range. Set what it is to do before pulling."""

    def __init__(self, behind: RegistryServer) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None
        self.takes_ranges = True
        self.changed: Callable[[str, bytes], bytes] = lambda path, body: body
        self.login: tuple[str, str] | None = None
        self.sends_to: str | None = None
        self.answers: dict[str, int] = {}
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                front._answer(self, behind)

            def log_message(self, *_: object) -> None:
                """Nothing: pytest shows what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def name(self, name: str) -> str:
        """The name of an image behind, through this front."""
        return f"{self.host}/{name.partition('/')[2]}"

    def _answer(self, to: BaseHTTPRequestHandler, behind: RegistryServer) -> None:
        self.requests.append((to.path, to.headers.get("Range")))
        if to.path.startswith("/token"):
            self._give_token(to)
        elif self.login and to.headers.get("Authorization") != "Bearer a-token":
            realm = f'Bearer realm="http://{self.host}/token",service="front"'
            _send(to, 401, b"{}", {"WWW-Authenticate": realm})
        elif status := next((code for part, code in self.answers.items() if part in to.path), None):
            _send(to, status, b'{"errors": []}')
        elif self.sends_to and "/blobs/" in to.path:
            _send(to, 307, b"", {"Location": f"{self.sends_to}{to.path}"})
        else:
            self._forward(to, behind)

    def _forward(self, to: BaseHTTPRequestHandler, behind: RegistryServer) -> None:
        wanted = {name: to.headers[name] for name in ("Accept", "Range") if name in to.headers}
        if not self.takes_ranges:
            wanted.pop("Range", None)
        got = httpx.get(f"http://{behind.host}{to.path}", headers=wanted)
        body = self.changed(to.path, got.content)
        sent = body
        if "/blobs/" in to.path and self.cut_after is not None:
            sent = body[: self.cut_after]
        kept = {name: got.headers[name] for name in ("Content-Type", "Content-Range") if name in got.headers}
        _send(to, got.status_code, sent, kept, announced=len(body))

    def _give_token(self, to: BaseHTTPRequestHandler) -> None:
        assert self.login, "nobody was sent here"
        basic = base64.b64encode(":".join(self.login).encode()).decode()
        if to.headers.get("Authorization") != f"Basic {basic}":
            _send(to, 401, b"{}")
            return
        assert "scope=repository%3A" in urlsplit(to.path).query
        _send(to, 200, json.dumps({"token": "a-token"}).encode())


def _send(
    to: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None, announced: int = -1
) -> None:
    to.send_response(status)
    for name, value in (headers or {}).items():
        to.send_header(name, value)
    to.send_header("Content-Length", str(len(body) if announced < 0 else announced))
    to.end_headers()
    to.wfile.write(body)
    to.close_connection = True
