"""Every bus keeps its word: topics, queues that wait, messages that come again until they are dealt with."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from weftwork.bus.memory import MemoryBus
from weftwork.bus.rabbit import RabbitBus
from weftwork.seams.bus import Bus, Message, matches
from weftwork.testing.patience import patient
from weftwork.testing.rabbit_server import RabbitServer

WAIT_S = patient(60.0)


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path_factory.mktemp("rabbit") / "node") as server:
        yield server


@asynccontextmanager
async def bus_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if kind == "memory":
        yield MemoryBus()
        return
    server: RabbitServer = request.getfixturevalue("rabbit")
    async with RabbitBus(server.url) as bus:
        yield bus


class Listener:
    """Consumes in the background, from the moment that `on` is entered until it is left."""

    def __init__(self, bus: Bus, binding: str, queue: str = "") -> None:
        self.got: list[Message] = []
        self.fails = 0
        self._news = asyncio.Event()
        self._bus, self._binding = bus, binding
        self.queue = queue or f"test.{uuid4().hex}"

    @asynccontextmanager
    async def on(self) -> AsyncIterator["Listener"]:
        task = asyncio.create_task(self._bus.consume(self.queue, self._binding, self._take))
        try:
            await self._bound()
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _bound(self) -> None:
        """Until what is published now would come."""
        key = self._binding.replace("*", "probe").replace("#", "probe")
        async with asyncio.timeout(WAIT_S):
            while not self.got:
                await self._bus.publish(Message(key, b"probe", uuid4().hex))
                await asyncio.sleep(0.05)
        self.got = [one for one in self.got if one.body != b"probe"]

    async def until(self, count: int) -> list[Message]:
        async with asyncio.timeout(WAIT_S):
            while len(self.bodies()) < count:
                self._news.clear()
                await self._news.wait()
        return [one for one in self.got if one.body != b"probe"]

    def bodies(self) -> list[bytes]:
        return [one.body for one in self.got if one.body != b"probe"]

    async def _take(self, message: Message) -> None:
        if self.fails and message.body != b"probe":
            self.fails -= 1
            raise RuntimeError("not now")
        self.got.append(message)
        self._news.set()


@pytest.mark.parametrize("kind", ["memory", "rabbit"])
async def test_who_listens_to_a_topic_gets_what_is_published_there_in_order(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with (
        bus_of(kind, request) as bus,
        Listener(bus, "vm.status.*").on() as all_,
        Listener(bus, "vm.status.RUNNING").on() as running,
    ):
        for number, state in enumerate(("BOOTING", "RUNNING", "STOPPED")):
            await bus.publish(Message(f"vm.status.{state}", state.encode(), str(number)))
        await bus.publish(Message("vm.other.RUNNING", b"no", "9"))

        assert [(one.key, one.id) for one in await all_.until(3)] == [
            ("vm.status.BOOTING", "0"),
            ("vm.status.RUNNING", "1"),
            ("vm.status.STOPPED", "2"),
        ]
        assert [one.body for one in await running.until(1)] == [b"RUNNING"]


@pytest.mark.parametrize("kind", ["memory", "rabbit"])
async def test_a_queue_keeps_what_came_while_nobody_listened(kind: str, request: pytest.FixtureRequest) -> None:
    async with bus_of(kind, request) as bus:
        listener = Listener(bus, "kept.x")
        async with listener.on():
            pass
        await bus.publish(Message("kept.x", b"meanwhile", "1"))
        async with listener.on():
            assert b"meanwhile" in [one.body for one in await listener.until(1)]


@pytest.mark.parametrize("kind", ["memory", "rabbit"])
async def test_what_was_not_dealt_with_comes_again(kind: str, request: pytest.FixtureRequest) -> None:
    async with bus_of(kind, request) as bus, Listener(bus, "again.x").on() as listener:
        listener.fails = 2
        await bus.publish(Message("again.x", b"once", "7"))
        assert [one.id for one in await listener.until(1)] == ["7"]
        assert listener.fails == 0


async def test_a_broker_that_is_killed_loses_nothing_that_it_confirmed(rabbit: RabbitServer) -> None:
    async with RabbitBus(rabbit.url) as bus, Listener(bus, "sure.x").on() as listener:
        said: list[str] = []

        async def talk() -> None:
            for number in range(200):
                while True:
                    try:
                        await bus.publish(Message("sure.x", b"m", str(number)))
                    except Exception as error:
                        assert getattr(error, "code", "") == "BUS_UNAVAILABLE", error
                        await asyncio.sleep(0.2)
                    else:
                        said.append(str(number))
                        break

        talking = asyncio.create_task(talk())
        await listener.until(20)
        await asyncio.to_thread(rabbit.kill)
        await asyncio.to_thread(rabbit.start)
        async with asyncio.timeout(WAIT_S):
            await talking
            while {one.id for one in listener.got} < set(said):
                await asyncio.sleep(0.05)
        assert said == [str(number) for number in range(200)]


@pytest.mark.parametrize(
    ("binding", "key", "is_so"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#.c", "a.b.c", True),
        ("*.*", "a", False),
    ],
)
def test_bindings_are_topics(binding: str, key: str, is_so: bool) -> None:
    assert matches(binding, key) is is_so
