"""The L2 service: stacks and NICs, decoded, asked for and told."""

from collections.abc import AsyncIterator, Iterable

from weftwork.base import codes
from weftwork.rpc.generated.vpc.l2 import l2_pb2 as pb
from weftwork.seams.stacks import HostNetworks, LinkSeen, LinkState, NicAsked, NicSeen, StackChanged, StackSeen

_STATES = {LinkState.DOWN: pb.DOWN, LinkState.UP: pb.UP, LinkState.MISSING: pb.MISSING}
_WORST_FIRST = (LinkState.MISSING, LinkState.DOWN, LinkState.UP)


async def add_stack(host: HostNetworks, request: pb.StackRequest) -> pb.StackResponse:
    return told_stack(await host.add_stack(request.vpc_id))


async def get_stack(host: HostNetworks, request: pb.StackRequest) -> pb.StackResponse:
    return told_stack(await host.get_stack(request.vpc_id))


async def stack_status(host: HostNetworks, request: pb.StackRequest) -> pb.StackStatusResponse:
    return _status(await host.get_stack(request.vpc_id))


async def delete_stack(host: HostNetworks, request: pb.StackRequest) -> pb.Empty:
    await host.delete_stack(request.vpc_id, cascade=request.cascade)
    return pb.Empty()


async def list_stacks(host: HostNetworks, request: pb.Empty) -> pb.ListStacksResponse:
    return pb.ListStacksResponse(stacks=map(told_stack, await host.list_stacks()))


async def watch_stacks(host: HostNetworks, request: pb.Empty) -> AsyncIterator[pb.StackChange]:
    async for changed in host.watch():
        yield _told_change(changed)


async def add_nic(host: HostNetworks, request: pb.NicRequest) -> pb.Nic:
    return told_nic(await host.add_nic(_asked(request, new=True)))


async def update_nic(host: HostNetworks, request: pb.NicRequest) -> pb.Nic:
    return told_nic(await host.update_nic(_asked(request, new=False)))


async def get_nic(host: HostNetworks, request: pb.Nic) -> pb.Nic:
    return told_nic(await host.get_nic(request.vpc_id, request.id))


async def delete_nic(host: HostNetworks, request: pb.Nic) -> pb.Empty:
    await host.delete_nic(request.vpc_id, request.id)
    return pb.Empty()


async def nic_status(host: HostNetworks, request: pb.Nic) -> pb.NicStatusResponse:
    seen = await host.get_nic(request.vpc_id, request.id)
    return pb.NicStatusResponse(status=state(seen.link.state), failure=seen.failure)


async def list_nics(host: HostNetworks, request: pb.StackRequest) -> pb.ListNICsResponse:
    return pb.ListNICsResponse(nics=map(told_nic, await host.list_nics(request.vpc_id)))


def _asked(request: pb.NicRequest, *, new: bool) -> NicAsked:
    """V's rule: who adopts says the guest's MAC, and names no other place."""
    if request.link and not request.manually_added:
        raise codes.INVALID_ARGUMENT.refusal("a link is named, and not to be adopted", field="manually_added")
    return NicAsked(
        vpc_id=request.vpc_id,
        id=request.id,
        vlan=request.subnet_vlan_id,
        mac=request.manual_hwaddr,
        addresses=tuple(request.ip),
        netns=request.netns,
        interface=request.interface,
        adopts=(request.link or (f"n-{request.id}" if new else "")) if request.manually_added else "",
        underlay=request.underlay,
        vni=request.vni,
    )


def told_stack(seen: StackSeen) -> pb.StackResponse:
    first = seen.bridges[0] if seen.bridges else None
    stack = pb.Stack(
        vpc_id=seen.vpc_id,
        bridge_link_name=first.name if first else "",
        bridge_link_index=first.index if first else 0,
        netns=seen.netns,
        vlans=[int(one.name.removeprefix("br")) for one in seen.bridges],
    )
    return pb.StackResponse(stack=stack, status=_status(seen))


def _status(seen: StackSeen) -> pb.StackStatusResponse:
    return pb.StackStatusResponse(bridge=worst(seen.bridges), transport=worst(seen.transports), failure=seen.failure)


def _told_change(changed: StackChanged) -> pb.StackChange:
    return pb.StackChange(vpc_id=changed.vpc_id, action=changed.action, status=_status(changed.seen), id=changed.what)


def told_nic(seen: NicSeen) -> pb.Nic:
    nic = seen.nic
    return pb.Nic(
        vpc_id=seen.vpc_id,
        hwaddr=nic.mac,
        id=nic.id,
        name=seen.link.name,
        index=seen.link.index,
        vlan=nic.vlan,
        ip=map(str, nic.addresses),
        netns=seen.netns,
        adopted=bool(nic.adopts),
        underlay=str(nic.underlay) if nic.underlay else "",
        status=state(seen.link.state),
        failure=seen.failure,
    )


def worst(links: Iterable[LinkSeen]) -> "pb.LinkStatus.ValueType":
    """Of all together; of none, MISSING."""
    states = {one.state for one in links}
    return _STATES[next((one for one in _WORST_FIRST if one in states), LinkState.MISSING)]


def state(one: LinkState) -> "pb.LinkStatus.ValueType":
    return _STATES[one]
