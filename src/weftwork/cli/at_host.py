"""A connection to the agent of this host, for commands that ask it and no server."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.session import problem_of

if TYPE_CHECKING:
    from weftwork.client.host_networks import HostClient

SOCKET = "/var/lib/weftwork/agent/agent.sock"
VARIABLE = "WEFT_AGENT"


def at_host(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the agent listens."""
    told = f"Where the agent listens: a socket, or HOST:PORT.  [{VARIABLE}; default: {SOCKET}]"
    return click.option("--agent", "agent", default="", metavar="ADDRESS", help=told)(command)


@asynccontextmanager
async def asked(agent: str) -> AsyncIterator["HostClient"]:
    from weftwork.client import ApiError
    from weftwork.client.host_networks import HostClient

    target = agent or os.environ.get(VARIABLE, "") or SOCKET
    try:
        async with HostClient(f"unix:{target}" if target.startswith("/") else target) as client:
            yield client
    except ApiError as error:
        if error.reason in ("UNAVAILABLE", "SERVER_UNREACHABLE"):
            raise Problem(
                ExitCode.ERROR,
                "AGENT_UNREACHABLE",
                f"no agent answers at {target}, or it does not let you",
                hint="start `weft agent`, as a user that it allows, or name its socket with --agent",
            ) from None
        raise problem_of(error, target) from None
