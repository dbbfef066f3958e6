"""Who may join and connect: over real TLS, with the agent's own code at the other end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from weftwork.actions.authority import authority_of
from weftwork.actions.hosts import add_host, join_host, remove_host
from weftwork.actions.network import Network
from weftwork.agent.joining import JoinFile, channel_of, join, renew
from weftwork.agent.state import Identity
from weftwork.api.agents.doors import serve_agents
from weftwork.base.errors import Failure, Refusal
from weftwork.controller.fleet import FleetController
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import agent_pb2_grpc
from weftwork.testing.network_kit import SETTINGS, network_at

UNDERLAY = IPv4Address("192.0.2.1")
LONGEST_NAME = "h" * 63


@dataclass(frozen=True, slots=True)
class Served:
    network: Network
    address: str
    authority: str

    async def token(self, name: str = "h1") -> JoinFile:
        _, token = await add_host(self.network, name=name, underlay=UNDERLAY)
        return JoinFile(token, self.authority)


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with network_at(tmp_path, replace(SETTINGS, has_fleet=True)) as network:
        authority = await authority_of(network.store)
        controller = FleetController(
            network.view,
            network.clock,
            lambda host, facts: None,
            lambda host: None,
            "",  # type: ignore[arg-type,return-value]
        )
        controller.start()
        server = await serve_agents(
            network=network, authority=authority, sessions=controller, deployment="d", address="127.0.0.1:0"
        )
        try:
            yield Served(network, f"127.0.0.1:{server.join_port}", authority.certificate.decode())
        finally:
            await server.stop()


async def hello(identity: Identity) -> pb.ServerMessage:
    """What a connected agent hears first."""

    async def say() -> AsyncIterator[pb.AgentMessage]:
        yield pb.AgentMessage(hello=pb.Hello(kernel="6.1"))
        await asyncio.Event().wait()

    async with channel_of(identity, ()) as channel:
        call = agent_pb2_grpc.AgentServiceStub(channel).Connect(say(), timeout=10)
        message = await call.read()
        call.cancel()
        assert isinstance(message, pb.ServerMessage)
        return message


async def refused(identity: Identity) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await hello(identity)
    return error.value.details() or ""


@pytest.mark.parametrize("name", ["h1", LONGEST_NAME], ids=["short", "longest"])
async def test_who_has_a_token_joins_and_connects_under_any_name_that_a_host_may_have(
    served: Served, name: str
) -> None:
    identity = await join(served.address, await served.token(name))

    assert identity.host == name
    assert (await hello(identity)).WhichOneof("message") == "beat"


async def test_a_request_that_is_none_uses_up_no_token(served: Served) -> None:
    token = await served.token()
    trusted = grpc.ssl_channel_credentials(served.authority.encode())
    options = (("grpc.ssl_target_name_override", "weft-server"),)
    async with grpc.aio.secure_channel(served.address, trusted, options=options) as channel:
        for request in (b"", b"no request", served.authority.encode()):
            with pytest.raises(grpc.aio.AioRpcError, match="this is no signing request"):
                await agent_pb2_grpc.JoinServiceStub(channel).Join(
                    pb.JoinRequest(token=token.token, signing_request=request)
                )

    assert (await join(served.address, token)).host == "h1"


async def test_a_token_lets_one_join_and_what_is_no_token_nobody(served: Served) -> None:
    token = await served.token()
    await join(served.address, token)

    for wrong in (token, replace(token, token=""), replace(token, token="weftjoin_h1_guessed")):
        with pytest.raises(Refusal) as refusal:
            await join(served.address, wrong)
        assert refusal.value.code == "JOIN_REFUSED"


async def test_an_agent_believes_its_own_fleet_only(served: Served, tmp_path: Path) -> None:
    async with network_at(tmp_path / "other", replace(SETTINGS, has_fleet=True)) as other:
        foreign = (await authority_of(other.store)).certificate.decode()

    token = await served.token()
    with pytest.raises(Failure) as failure:
        await join(served.address, replace(token, authority=foreign))

    assert failure.value.code == "SERVER_UNREACHABLE"


async def test_a_certificate_of_another_fleet_opens_nothing(served: Served, tmp_path: Path) -> None:
    identity = await join(served.address, await served.token())
    async with network_at(tmp_path / "other", replace(SETTINGS, has_fleet=True)) as other:
        authority = await authority_of(other.store)
        controller = FleetController(
            other.view,
            other.clock,
            lambda host, facts: None,
            lambda host: None,
            "",  # type: ignore[arg-type,return-value]
        )
        controller.start()
        server = await serve_agents(
            network=other, authority=authority, sessions=controller, deployment="o", address="127.0.0.1:0"
        )
        _, token = await add_host(other, name="h1", underlay=UNDERLAY)
        theirs = await join(f"127.0.0.1:{server.join_port}", JoinFile(token, authority.certificate.decode()))
        await server.stop()

    disguised = Identity("h1", identity.server, identity.deployment, identity.authority, theirs.certificate, theirs.key)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await hello(disguised)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_of_the_same_host_and_the_old_one_is_good_until_it_ends(served: Served) -> None:
    identity = await join(served.address, await served.token())
    async with channel_of(identity, ()) as channel:
        renewed = await renew(channel, identity)

    assert renewed.key != identity.key and renewed.certificate != identity.certificate
    assert (await hello(renewed)).WhichOneof("message") == "beat"


async def test_whoever_joined_before_is_nobody_after_another_has_joined_or_the_host_was_removed(served: Served) -> None:
    first = await join(served.address, await served.token())
    _, again = await add_host(served.network, name="h1", underlay=None, again=True)
    assert (await hello(first)).WhichOneof("message") == "beat"

    second = await join(served.address, JoinFile(again, served.authority))

    assert "not good for host 'h1' any more" in await refused(first)
    async with channel_of(first, ()) as channel:
        with pytest.raises(Refusal):
            await renew(channel, first)
    assert (await hello(second)).WhichOneof("message") == "beat"
    await remove_host(served.network, name="h1")
    assert "not good for host 'h1' any more" in await refused(second)


async def test_a_stream_ends_when_its_host_is_anothers(served: Served) -> None:
    identity = await join(served.address, await served.token())

    async def say() -> AsyncIterator[pb.AgentMessage]:
        yield pb.AgentMessage(hello=pb.Hello(kernel="6.1"))
        await asyncio.Event().wait()

    async with channel_of(identity, ()) as channel:
        call = agent_pb2_grpc.AgentServiceStub(channel).Connect(say(), timeout=20)
        assert (await call.read()).WhichOneof("message") == "beat"
        _, again = await add_host(served.network, name="h1", underlay=None, again=True)
        await join_host(served.network, token=again)

        while (message := await call.read()) is not grpc.aio.EOF:
            assert message.WhichOneof("message") == "beat"

        assert await call.code() is grpc.StatusCode.OK
