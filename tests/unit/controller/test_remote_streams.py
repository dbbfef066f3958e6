"""What a host answers bit by bit, and what the server keeps of it for whoever reads slowly, or not at all."""

import asyncio
from contextlib import aclosing

import pytest

from weftwork.base import codes
from weftwork.base.errors import Failure, Refusal
from weftwork.controller.remote_link import RemoteLink
from weftwork.controller.remote_streams import PACKETS_BYTES_MAX
from weftwork.seams.capture import Captured, Capturing, Wanted
from weftwork.seams.fleet import CaptureAsked, Ceased, FlowsFollowed
from weftwork.seams.flows import Seen

WANTED = Wanted("weft-1001", "tap1")


def _connected() -> RemoteLink:
    link = RemoteLink("h1", lambda report: None)
    link.connected(True)
    return link


def _packets(count: int, size: int = 100) -> Capturing:
    return Capturing(tuple(Captured(0, size, bytes(size)) for _ in range(count)))


async def test_a_capture_is_asked_for_told_bit_by_bit_and_ends_by_the_hosts_word() -> None:
    link = _connected()
    updates = link.updates(0, 0, 0)
    async with aclosing(link.capture(WANTED)) as capturing:
        first = asyncio.ensure_future(anext(capturing))
        asked = await anext(updates)
        assert isinstance(asked, CaptureAsked) and asked.wanted == WANTED
        link.told_part(asked.number, _packets(2))
        assert await first == _packets(2)
        link.told_part(asked.number, Capturing(ended="packets"))
        link.ended(asked.number, None)
        assert [one async for one in capturing] == [Capturing(ended="packets")]


async def test_who_stops_reading_has_the_host_stop() -> None:
    link = _connected()
    updates = link.updates(0, 0, 0)
    async with aclosing(link.capture(WANTED)) as capturing:
        first = asyncio.ensure_future(anext(capturing))
        asked = await anext(updates)
        assert isinstance(asked, CaptureAsked)
        link.told_part(asked.number, Capturing())
        await first

    assert await anext(updates) == Ceased(asked.number)
    link.told_part(asked.number, _packets(1))  # Of no consequence: nobody reads it.


async def test_what_waits_has_a_bound_and_what_finds_no_room_is_counted() -> None:
    link = _connected()
    updates = link.updates(0, 0, 0)
    async with aclosing(link.capture(WANTED)) as capturing:
        first = asyncio.ensure_future(anext(capturing))
        asked = await anext(updates)
        assert isinstance(asked, CaptureAsked)
        link.told_part(asked.number, Capturing())
        await first
        half = PACKETS_BYTES_MAX // 2
        for _ in range(4):
            link.told_part(asked.number, _packets(1, half))
        link.told_part(asked.number, Capturing(ended="seconds"))
        link.ended(asked.number, None)
        parts = [one async for one in capturing]

    assert sum(len(one.packets) for one in parts) == 2
    assert sum(one.missed for one in parts) == 2
    assert parts[-1].ended == "seconds"


async def test_what_a_host_refuses_is_refused_with_its_code() -> None:
    link = _connected()
    updates = link.updates(0, 0, 0)
    reading = asyncio.ensure_future(anext(link.capture(WANTED)))
    asked = await anext(updates)
    assert isinstance(asked, CaptureAsked)
    link.ended(asked.number, codes.TOO_MANY_CAPTURES.refusal("8 captures are going on"))

    with pytest.raises(Refusal) as refusal:
        await reading
    assert refusal.value.code == "TOO_MANY_CAPTURES"


async def test_a_host_that_goes_ends_what_it_was_asked() -> None:
    link = _connected()
    reading = asyncio.ensure_future(anext(link.capture(WANTED)))
    await asyncio.sleep(0)
    link.connected(False)

    with pytest.raises(Failure, match="not connected"):
        await reading
    with pytest.raises(Failure, match="not connected"):
        await anext(link.capture(WANTED))


async def test_logged_packets_are_asked_for_again_after_a_reconnect_and_taken_of_what_was_asked_only() -> None:
    link = _connected()
    seen: list[Seen] = []
    link.seen = lambda some: seen.extend(some)
    link.follow_flows(frozenset({"weft-1001"}))
    link.connected(False)
    link.connected(True)

    assert await anext(link.updates(0, 0, 0)) == FlowsFollowed(frozenset({"weft-1001"}))
    link.saw([Seen(scope, 1, "in", "denied_in", "", "", "tcp") for scope in ("weft-1001", "weft-1002")])

    assert [(one.scope, one.host) for one in seen] == [("weft-1001", "h1")]
