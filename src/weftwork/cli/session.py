"""A connection for one command, and the reads by noun. Every error of the client ends here as a Problem."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weftwork.base.tenancy import ProjectKey
from weftwork.cli.credentials import address, bearer_for, tls_for
from weftwork.cli.document import Document, document
from weftwork.cli.nouns import NETWORK_POLICY, PEERING, PORT, REACH_TEST, SECURITY_GROUP, SSH_KEY, SUBNET, VM, VPC, Noun
from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.settings import current

if TYPE_CHECKING:
    from weftwork.client import ApiError, Client

# gRPC's numbers of status, without importing gRPC (it takes longer than `weft --help`).
_EXIT_CODES = {
    "INVALID_ARGUMENT": ExitCode.USAGE,
    "OUT_OF_RANGE": ExitCode.USAGE,
    "DEADLINE_EXCEEDED": ExitCode.STILL_RUNNING,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "ALREADY_EXISTS": ExitCode.CONFLICT,
    "ABORTED": ExitCode.CONFLICT,
    "FAILED_PRECONDITION": ExitCode.CONFLICT,
    "PERMISSION_DENIED": ExitCode.DENIED,
    "UNAUTHENTICATED": ExitCode.DENIED,
}


@dataclass(frozen=True, slots=True)
class Session:
    """The client, in the project that was asked for."""

    client: "Client"
    project: ProjectKey

    async def get(self, noun: Noun, name: str) -> Document:
        """A thing by name or id."""
        if noun is VPC:
            return await self.get_vpc(name)
        if noun is SUBNET:
            return document(await self.client.get_subnet(self.project, name))
        if noun is PORT:
            return document(await self.client.get_port(self.project, name))
        if noun is SECURITY_GROUP:
            return document(await self.client.get_security_group(self.project, name))
        if noun is PEERING:
            return document(await self.client.get_peering(self.project, name))
        if noun is NETWORK_POLICY:
            return document(await self.client.get_network_policy(self.project, name))
        if noun is VM:
            return document(await self.client.get_vm(self.project, name))
        if noun is SSH_KEY:
            return document(await self.client.get_ssh_key(self.project, name))
        if noun is REACH_TEST:
            return document(await self.client.get_reach_test(self.project, name))
        return await self.find(noun, lambda one: name in (noun.name(one), noun.id(one)), name)

    async def get_vpc(self, name: str) -> Document:
        """`ORG/PROJECT`, the name of the project's VPC, or nothing for the project's VPC."""
        org, slash, project = name.partition("/")
        key = ProjectKey(org, project) if slash else self.project
        found = document(await self.client.get_vpc(key))
        if not slash and name not in ("", found["name"]):
            raise Problem(
                ExitCode.NOT_FOUND,
                "VPC_NOT_FOUND",
                f"the VPC of {self.project} is called {found['name']}, not {name}",
                hint="weft vpc list, and name it as ORG/PROJECT",
            )
        return found

    async def find(self, noun: Noun, matches: Callable[[Document], bool], what: str) -> Document:
        """The one of a list that matches, for nouns that the API cannot get by name."""
        for one in await self.list(noun):
            if matches(one):
                return one
        raise Problem(
            ExitCode.NOT_FOUND,
            f"{noun.kind.upper()}_NOT_FOUND",
            f"{self.project} has no {noun.kind} {what}",
            hint=f"weft {noun.kind} list",
        )

    async def list(self, noun: Noun, **filters: str) -> list[Document]:
        return [one async for one in self.each(noun, **filters)]

    async def each(self, noun: Noun, **filters: str) -> AsyncIterator[Document]:
        """Page by page."""
        async for one in self._listing(noun, **filters):
            yield document(one)

    def _listing(self, noun: Noun, **filters: str) -> AsyncIterator[Any]:
        match noun.kind:
            case "vpc":
                return self.client.list_vpcs(**filters)
            case "subnet":
                return self.client.list_subnets(self.project)
            case "port":
                return self.client.list_ports(self.project, **filters)
            case "security-group":
                return self.client.list_security_groups(self.project)
            case "network-policy":
                return self.client.list_network_policies(self.project)
            case "peering":
                return self.client.list_peerings(self.project)
            case "reach-test":
                return self.client.list_reach_tests(self.project)
            case "subnet-share":
                return self.client.list_subnet_shares(self.project)
            case "vm":
                return self.client.list_vms(self.project)
            case "ssh-key":
                return self.client.list_ssh_keys(self.project)
            case "snat":
                return self.client.list_snats(self.project)
            case _:
                return self.client.list_dnats(self.project)


@asynccontextmanager
async def connected(*, bearer: str | None = None) -> AsyncIterator[Session]:
    """With what this user has to show to the server, unless the caller says what."""
    from weftwork.client import ApiError, Client

    settings = current()
    shown = bearer_for(settings) if bearer is None else bearer
    try:
        async with await Client.connect(address(settings.server), bearer=shown, tls=tls_for(settings)) as client:
            yield Session(client, settings.project)
    except ApiError as error:
        raise problem_of(error, settings.server) from None


def problem_of(error: "ApiError", server: str) -> Problem:
    if error.reason == "SERVER_UNREACHABLE":
        return _unreachable(server)
    return Problem(
        _EXIT_CODES.get(error.code.name, ExitCode.ERROR),
        error.reason,
        error.message,
        hint=error.hint,
        dependents=error.dependents,
    )


def _unreachable(server: str) -> Problem:
    path = Path(address(server).removeprefix("unix:"))
    if path.is_absolute() and _is_denied(path):
        return Problem(
            ExitCode.DENIED,
            "SERVER_NOT_ALLOWED",
            f"you may not use the server's socket {path}",
            hint="run the command as root (sudo weft …)",
        )
    return Problem(
        ExitCode.ERROR,
        "SERVER_UNREACHABLE",
        f"no server answers at {server}",
        hint="start one with `weft up`, or name another with --server or WEFT_SERVER",
    )


def _is_denied(path: Path) -> bool:
    """Whether the socket, or the folder it is in, is not for this user."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK | os.W_OK)
