"""What a host answers its server beside programs: about its own ports only, and within its own bounds."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from weftwork.agent.asked import GOING_ON_MAX, Asked
from weftwork.rpc.generated.weftwork.v1 import agent_pb2 as pb
from weftwork.seams.bundle import BundleFile
from weftwork.seams.capture import Captured, Capturing, Wanted
from weftwork.seams.flows import FlowSource, Seen, TakeSeen


class Port:
    """Captures two packets and then goes on for ever; counts who listens."""

    def __init__(self) -> None:
        self.listening: list[Wanted] = []

    async def capture(self, wanted: Wanted) -> AsyncIterator[Capturing]:
        self.listening.append(wanted)
        try:
            yield Capturing((Captured(1, 60, b"x"), Captured(2, 60, b"y")))
            await asyncio.Event().wait()
        finally:
            self.listening.remove(wanted)


class Files:
    async def files(self) -> AsyncIterator[BundleFile]:
        yield BundleFile("a.txt", "a" * 300_000)
        yield BundleFile("b.txt", "")


class Source:
    followed_kinds = frozenset({"vpc"})

    def __init__(self, take: TakeSeen) -> None:
        self.take = take
        self.scopes: frozenset[str] = frozenset()
        self.is_closed = False

    def follow(self, scopes: frozenset[str]) -> None:
        self.scopes = scopes

    def close(self) -> None:
        self.is_closed = True


class Offered:
    def __init__(self) -> None:
        self.capturer = Port()
        self.bundler = Files()
        self.source: Source | None = None

    def flows(self, take: TakeSeen) -> FlowSource:
        self.source = Source(take)
        return self.source


class Held:
    def has_device(self, scope: str, name: str) -> bool:
        return (scope, name) == ("weft-1001", "tap1")

    def has_scope(self, scope: str) -> bool:
        return scope == "weft-1001"


def session(room: int = 64) -> tuple[Asked, Offered, "asyncio.Queue[pb.AgentMessage]"]:
    offered: Offered = Offered()
    out: asyncio.Queue[pb.AgentMessage] = asyncio.Queue(room)
    return Asked(offered, Held(), out), offered, out


def capture(question: int, device: str = "tap1", scope: str = "weft-1001") -> pb.ServerMessage:
    return pb.ServerMessage(capture=pb.Capture(question=question, scope=scope, device=device, seconds=60))


async def test_a_capture_is_of_a_port_of_the_hosts_program_or_refused() -> None:
    asked, offered, out = session()
    for number, (scope, device) in enumerate((("weft-1001", "eth0"), ("", "eth0"), ("weft-9", "tap1")), 1):
        asked.obey(capture(number, device, scope))
        told = (await out.get()).captured
        assert (told.question, told.refusal_code) == (number, "CAPTURE_UNAVAILABLE")
    assert not offered.capturer.listening

    asked.obey(capture(9))
    assert [one.data for one in (await out.get()).captured.packets] == [b"x", b"y"]
    await asked.close()


async def test_who_ceases_or_goes_is_listened_for_no_longer() -> None:
    asked, offered, out = session()
    for number in (1, 2, 3):
        asked.obey(capture(number))
        await out.get()
    asked.obey(pb.ServerMessage(cease=pb.Cease(question=2)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(offered.capturer.listening) == 2

    await asked.close()

    assert offered.capturer.listening == []


async def test_so_many_at_once_and_no_more() -> None:
    asked, offered, out = session()
    for number in range(GOING_ON_MAX + 2):
        asked.obey(capture(number))
    told = [(await out.get()).captured for _ in range(GOING_ON_MAX + 2)]

    assert len(offered.capturer.listening) < GOING_ON_MAX + 2
    assert {one.refusal_code for one in told if one.refusal_code} == {"TOO_MANY_CAPTURES"}
    await asked.close()


async def test_files_come_in_pieces_and_then_their_end() -> None:
    asked, _, out = session()
    asked.obey(pb.ServerMessage(collect_files=pb.CollectFiles(question=7)))
    pieces = [(await out.get()).file for _ in range(4)]

    assert [(one.name, len(one.data)) for one in pieces] == [
        ("a.txt", 262_144),
        ("a.txt", 37_856),
        ("b.txt", 0),
        ("", 0),
    ]
    assert {one.question for one in pieces} == {7}
    await asked.close()


async def test_logged_packets_are_of_vpcs_that_were_asked_for_and_are_here_and_never_stop_a_report() -> None:
    asked, offered, out = session(room=1)
    asked.obey(pb.ServerMessage(follow_flows=pb.FollowFlows()))
    assert offered.source is None, "nobody listens for nothing"
    asked.obey(pb.ServerMessage(follow_flows=pb.FollowFlows(scopes=["weft-1001", "weft-1002"])))
    assert offered.source is not None

    seen: Sequence[Seen] = [
        Seen(scope, 1, "in", "denied_in", "", "", "tcp") for scope in ("weft-1001", "weft-1002", "weft-7")
    ]
    offered.source.take(seen)
    offered.source.take(seen)

    assert [one.scope for one in out.get_nowait().flows.flows] == ["weft-1001"]
    assert out.empty(), "what finds no room is lost"
    await asked.close()
    assert offered.source.is_closed
