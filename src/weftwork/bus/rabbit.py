"""RabbitMQ: a durable topic exchange, persistent messages, confirmed by the broker and acknowledged by who consumes.

The connection comes back by itself, and with it queues and consumers.
"""

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustConnection
from aiormq.exceptions import AMQPError

from weftwork.base.errors import Failure
from weftwork.seams.bus import EXCHANGE, Handle, Message

log = logging.getLogger(__name__)

CONFIRM_S = 10.0
RECONNECT_S = 1.0
UNACKNOWLEDGED_MAX = 32
CONTENT_TYPE = "application/octet-stream"
_LOST = (AMQPError, OSError, RuntimeError, asyncio.TimeoutError)
"""RuntimeError is aio-pika's for a channel that was closed under our feet."""


class RabbitBus:
    """`async with RabbitBus(url)`; entering does not wait for the broker."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractRobustConnection | None = None
        self._publishing: tuple[AbstractRobustChannel, AbstractExchange] | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            with suppress(*_LOST):
                await self._connection.close()

    async def publish(self, message: Message) -> None:
        """What the broker did not confirm in time is published again by whoever asked: the same `id` says so."""
        try:
            async with asyncio.timeout(CONFIRM_S):
                exchange = await self._exchange()
                await exchange.publish(
                    aio_pika.Message(
                        message.body,
                        message_id=message.id,
                        content_type=CONTENT_TYPE,
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    routing_key=message.key,
                    mandatory=False,
                )
        except _LOST as error:
            self._publishing = None
            raise _unavailable(self._url, error) from None

    async def consume(self, queue: str, binding: str, handle: Handle) -> None:
        while True:
            try:
                await self._consume(queue, binding, handle)
            except _LOST as error:
                log.warning("%s", _unavailable(self._url, error).message)
            await asyncio.sleep(RECONNECT_S)

    async def _consume(self, queue: str, binding: str, handle: Handle) -> None:
        channel = await (await self._connected()).channel()
        try:
            await channel.set_qos(prefetch_count=UNACKNOWLEDGED_MAX)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            declared = await channel.declare_queue(queue, durable=True)
            await declared.bind(exchange, binding)
            async with declared.iterator() as incoming:
                async for one in incoming:
                    await _hand_over(one, handle)
        finally:
            with suppress(*_LOST):
                await channel.close()

    async def _exchange(self) -> AbstractExchange:
        async with self._lock:
            if self._publishing is None or self._publishing[0].is_closed:
                channel = await self._new_channel()
                exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
                self._publishing = channel, exchange
            return self._publishing[1]

    async def _new_channel(self) -> AbstractRobustChannel:
        connection = await self._connected(locked=True)
        channel = await connection.channel(publisher_confirms=True)
        assert isinstance(channel, AbstractRobustChannel)
        return channel

    async def _connected(self, *, locked: bool = False) -> AbstractRobustConnection:
        if not locked:
            async with self._lock:
                return await self._connected(locked=True)
        if self._connection is None or self._connection.is_closed:
            self._connection = await aio_pika.connect_robust(
                self._url, reconnect_interval=RECONNECT_S, timeout=CONFIRM_S
            )
        return self._connection


async def _hand_over(incoming: AbstractIncomingMessage, handle: Handle) -> None:
    """What cannot be dealt with now goes back into the queue."""
    message = Message(incoming.routing_key or "", incoming.body, incoming.message_id or "")
    try:
        await handle(message)
    except Exception:
        log.exception("message %s of %s comes again", message.id, message.key)
        await asyncio.sleep(RECONNECT_S)
        await incoming.nack(requeue=True)
    else:
        await incoming.ack()


def _unavailable(url: str, error: BaseException) -> Failure:
    """Without the password that may be in the URL."""
    place = urlsplit(url)
    why = str(error) or type(error).__name__
    return Failure("BUS_UNAVAILABLE", f"the broker at {place.hostname}:{place.port or 5672} is out of reach: {why}")
