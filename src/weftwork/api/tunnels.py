"""Ways into VMs: a stream of bytes to the SSH server in the guest, through whoever runs it, past its network.

Who may use it is decided before the first byte, and a line in the audit log says who did. What is said inside is
between the user and the guest: it is SSH from end to end.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from google.protobuf.message import DecodeError

from weftwork.actions.audit import AccessChange, record_of
from weftwork.actions.network import Network
from weftwork.api.doors import Doors
from weftwork.api.vms import found
from weftwork.base import codes
from weftwork.model.vm import Vm
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import vm_pb2 as pb
from weftwork.seams.store import Transaction

CONNECT = "/weftwork.v1.VmTunnelService/Connect"
CHUNK_BYTES = 32 * 1024


async def connect(doors: Doors, request: pb.TunnelTarget, incoming: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An empty message when the way is open, then what the guest says.

    Refusals VM_NOT_FOUND, NO_VMS_HERE, GUEST_NOT_HERE, GUEST_NOT_RUNNING, GUEST_BUSY.
    """
    network = doors.network
    vm = found(network, decode.owner(request), decode.reference(request.vm, "vm")).value
    reader, writer = await doors.vms.connect(vm)
    try:
        await _note(network, vm)
        yield pb.TunnelData().SerializeToString()
        sending = asyncio.create_task(_send(incoming, writer))
        try:
            while data := await reader.read(CHUNK_BYTES):
                yield pb.TunnelData(data=data).SerializeToString()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
    finally:
        writer.close()


def target_of(message: bytes) -> pb.TunnelTarget:
    """What the first message says. Raises DecodeError; Refusal MISSING_FIELD."""
    data = pb.TunnelData.FromString(message)
    if not data.HasField("target"):
        raise codes.MISSING_FIELD.refusal("the first message says to which VM", field="target")
    return data.target


async def _send(incoming: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    """Until the caller has said all: then the guest is told so by the end of the stream."""
    with suppress(DecodeError, OSError):
        async for message in incoming:
            writer.write(pb.TunnelData.FromString(message).data)
            await writer.drain()
    writer.close()


async def _note(network: Network, vm: Vm) -> None:
    change = AccessChange(f"way into VM {vm.name}", None, {"vm": vm.id, "run": vm.run})
    await network.store.commit(Transaction((), (record_of(network, vm.owner.org, vm.owner.project, change),)))
