"""Pages for people: the API to try in a browser, and what the error codes mean. Everything comes from this server."""

from functools import cache
from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from weftwork.api.errors import told
from weftwork.api.rest.door import ALWAYS, JSON
from weftwork.api.rest.messages import to_text
from weftwork.api.rest.openapi import PATH, document
from weftwork.api.rest.problems import PAGE
from weftwork.base.codes import ALL, Code
from weftwork.declare.schema import schema_text
from weftwork.declare.told import SCHEMA

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a browser lets the pages do: nothing of anybody else's, and no script or style that stands in them."""
HEADERS = {
    **ALWAYS,
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_FILES = {"/docs": ("index.html", "text/html"), "/docs/app.js": ("app.js", "text/javascript")} | {
    "/docs/style.css": ("style.css", "text/css")
}

ERRORS = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Weftwork error codes</title><link rel="stylesheet" href="/docs/style.css"></head>
<body>
<h1>Error codes</h1>
<p><a href="/docs">The API</a></p>
<table>
<tr><th>code</th><th>status</th><th>meaning</th><th>what to do</th></tr>
%s
</table>
</body>
</html>
"""


def routes() -> list[Route]:
    return [
        Route("/", _home),
        Route(PATH, _openapi),
        Route(SCHEMA, _project_schema),
        Route(PAGE, _errors),
        *(Route(path, _file) for path in _FILES),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse("/docs")


async def _openapi(request: Request) -> Response:
    return Response(_document(), headers=ALWAYS, media_type=JSON)


@cache
def _document() -> bytes:
    return to_text(document())


async def _project_schema(request: Request) -> Response:
    """The form of project files: no secret, so editors get it without a login."""
    return Response(schema_text().encode(), headers=ALWAYS, media_type="application/schema+json")


async def _file(request: Request) -> Response:
    name, kind = _FILES[request.url.path]
    return Response(_content(name), headers=HEADERS, media_type=kind)


@cache
def _content(name: str) -> bytes:
    return (files(__package__) / "static" / name).read_bytes()


async def _errors(request: Request) -> Response:
    rows = "\n".join(_row(ALL[name]) for name in sorted(ALL))
    return Response(ERRORS % rows, headers=HEADERS, media_type="text/html")


def _row(code: Code) -> str:
    cells = (f"<code>{code.name}</code>", str(told(code.refusal("")).http.value), code.meaning, code.what_to_do)
    shown = "".join(f"<td>{cell if cell.startswith('<code>') else escape(cell)}</td>" for cell in cells)
    return f'<tr id="{code.name}">{shown}</tr>'
