"""Creates ports and nothing else: `python -m bench.creating ADDRESS SECONDS IN_FLIGHT` prints how many, and seconds."""

import asyncio
import sys
import time

import grpc.aio

from weftwork.rpc.generated.overlay_network.v1.network_pb2 import CreatePortRequest

PROJECT = ("bench", "creates")
SUBNET = "large"
_CALL = "/overlay_network.v1.NetworkService/CreatePort"


async def create_ports(address: str, seconds: float, in_flight: int) -> int:
    """How many were created; with as little work in this process as can be, for it shares the machine."""
    request = CreatePortRequest(org_id=PROJECT[0], project_id=PROJECT[1], subnet_id=SUBNET).SerializeToString()
    created = 0
    async with grpc.aio.insecure_channel(address) as channel:
        create: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CALL)
        await channel.channel_ready()
        deadline = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal created
            while time.perf_counter() < deadline:
                await create(request)
                created += 1

        await asyncio.gather(*(caller() for _ in range(in_flight)))
    return created


if __name__ == "__main__":
    began = time.perf_counter()
    print(asyncio.run(create_ports(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))), time.perf_counter() - began)
