"""What a machine tells of itself for a debug bundle: the server's own, and each host of a fleet.

Each file has a bound in time and in length, and what cannot be had says why.
"""

import asyncio
import platform
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from weftwork.seams.bundle import BundleFile
from weftwork.telemetry.logs import last_lines
from weftwork.telemetry.redaction import without_secrets

COMMAND_S = 10.0
FILE_CHARACTERS_MAX = 4 << 20
SCOPES_MAX = 200
"""Network namespaces that are shown."""
Planned = tuple[str, str, Callable[[], Awaitable[str]]]
"""A file: its name, what it is, and how it is made."""

_VERSIONS = (
    ("uname", "-a"),
    ("nft", "--version"),
    ("ip", "-V"),
    ("tcpdump", "--version"),
    ("ovs-vswitchd", "--version"),
)
_STATE = (("addr", "-d", "address"), ("routes", "route", "show", "table", "all"), ("neighbours", "neighbour"))
_DOCTOR = ("weftwork.apps.weft", "doctor")
_RULES = ("nft", "list", "ruleset")


class HostBundler:
    """Implements `seams.bundle.Bundler` for a host: `scopes` are those of its program."""

    def __init__(self, scopes: Callable[[], Sequence[str]]) -> None:
        self._scopes = scopes

    async def files(self) -> AsyncIterator[BundleFile]:
        for name, _, make in (*of_machine(), ("log.jsonl", "", lines), *of_namespaces(("", *self._scopes()))):
            yield BundleFile(name, await made(make))


def of_machine() -> Iterator[Planned]:
    yield ("versions.txt", "what runs here", _versions)
    yield ("doctor.txt", "what this machine offers", lambda: run((sys.executable, "-m", *_DOCTOR)))


def of_namespaces(scopes: Sequence[str]) -> Iterator[Planned]:
    """An empty one is the host's own."""
    for scope in scopes[: SCOPES_MAX + 1]:
        for name, *command in _STATE:
            at = ("ip", "-n", scope, *command) if scope else ("ip", *command)
            yield (f"net/{scope or 'host'}/{name}.txt", "ip's view", lambda at=at: run(at))  # type: ignore[misc]
        inside = ("ip", "netns", "exec", scope, *_RULES) if scope else _RULES
        yield (f"net/{scope or 'host'}/nft.txt", "our rules", lambda at=inside: run(at))  # type: ignore[misc]


async def lines() -> str:
    return "\n".join(last_lines()) + "\n"


async def made(make: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(2 * COMMAND_S):
            text = await make()
    except Exception as error:
        text = f"could not be had: {type(error).__name__}: {error}\n"
    if len(text) > FILE_CHARACTERS_MAX:
        text = f"{text[:FILE_CHARACTERS_MAX]}\n(cut off here, of {len(text)} characters)\n"
    return await asyncio.to_thread(without_secrets, text)


async def _versions() -> str:
    packages = ("weftwork", "grpcio", "protobuf", "uvloop", "starlette", "uvicorn", "msgspec")
    lines = [f"python {platform.python_version()}"]
    for package in packages:
        with suppress(PackageNotFoundError):
            lines.append(f"{package} {version(package)}")
    lines += [(await run(command)).partition("\n")[0] for command in _VERSIONS]
    return "\n".join(lines) + "\n"


async def run(command: Sequence[str]) -> str:
    """What it says, or why it could not be asked."""
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    except OSError as error:
        return f"{command[0]}: {error.strerror}\n"
    try:
        async with asyncio.timeout(COMMAND_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{command[0]}: no answer in {COMMAND_S:g} s\n"
    return out.decode(errors="replace")
