"""The bare frameworks: `python -m bench.constant KIND SOCKET FILE` answers every call with what is in the file.

KIND is `http` (Starlette, uvicorn, httptools, uvloop) or `grpc` (grpc.aio, uvloop): what our server stands on.
"""

import asyncio
import sys
from pathlib import Path

import grpc
import grpc.aio
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

VERBS = ["GET", "POST"]


def serve_http(path: str, content: bytes) -> None:
    async def answer(request: Request) -> Response:
        if request.method == "POST":
            await request.body()
        return Response(content, media_type="application/json")

    application = Starlette(routes=[Route("/{rest:path}", answer, methods=VERBS)])
    uvicorn.run(application, uds=path, http="httptools", loop="uvloop", log_level="warning", access_log=False)


async def serve_grpc(path: str, content: bytes) -> None:
    async def answer(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return content

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Everything(),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    kind, where, file = sys.argv[1:]
    if kind == "http":
        serve_http(where, Path(file).read_bytes())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_grpc(where, Path(file).read_bytes()))
