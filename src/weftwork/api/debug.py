"""The debug bundle, piece by piece."""

from collections.abc import AsyncIterator

from weftwork.api.doors import Doors
from weftwork.rpc.generated.weftwork.v1 import debug_pb2 as pb

COLLECT = "/weftwork.v1.DebugService/CollectBundle"
PIECE_BYTES = 256 * 1024


async def collect_bundle(doors: Doors, request: pb.CollectBundleRequest) -> AsyncIterator[pb.BundlePart]:
    if doors.bundler is None:
        return
    async for file in doors.bundler.files():
        data = file.text.encode(errors="replace")
        for start in range(0, max(len(data), 1), PIECE_BYTES):
            yield pb.BundlePart(name=file.name, data=data[start : start + PIECE_BYTES])
