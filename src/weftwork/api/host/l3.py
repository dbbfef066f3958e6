"""The L3 service: routers with their addresses, DHCP, NAT and routes, decoded, asked for and told."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from weftwork.api.host.l2 import state, worst
from weftwork.base import codes
from weftwork.model.stack import Leg, Outside, Router, StaticRoute
from weftwork.rpc.generated.vpc.l2 import l2_pb2
from weftwork.rpc.generated.vpc.l3 import l3_pb2 as pb
from weftwork.seams.stacks import HostNetworks, LinkState, RouterSeen

LEASE_S = 86400


async def add_router(host: HostNetworks, request: pb.Router) -> pb.RouterResponse:
    return _told(await host.put_router(request.vpc_id, _router(request), new=True))


async def update_router(host: HostNetworks, request: pb.Router) -> pb.RouterResponse:
    return _told(await host.put_router(request.vpc_id, _router(request), new=False))


async def get_router(host: HostNetworks, request: pb.RouterRequest) -> pb.RouterResponse:
    return _told(await host.get_router(request.vpc_id))


async def router_status(host: HostNetworks, request: pb.RouterRequest) -> pb.RouterStatusResponse:
    return _status(await host.get_router(request.vpc_id))


async def delete_router(host: HostNetworks, request: pb.RouterRequest) -> l2_pb2.Empty:
    await host.delete_router(request.vpc_id)
    return l2_pb2.Empty()


async def list_routers(host: HostNetworks, request: l2_pb2.Empty) -> pb.ListRoutersResponse:
    return pb.ListRoutersResponse(routers=map(_told, await host.list_routers()))


async def add_route(host: HostNetworks, request: pb.RouteRequest) -> pb.RouterResponse:
    return _told(await host.add_route(request.vpc_id, _route(request.route)))


async def delete_route(host: HostNetworks, request: pb.RouteRequest) -> pb.RouterResponse:
    destination = _network(request.route.destination)
    return _told(await host.delete_route(request.vpc_id, str(destination)))


def _router(request: pb.Router) -> Router:
    return Router(
        legs=tuple(sorted(map(_leg, request.ip), key=lambda one: one.vlan)),
        dhcp=request.dhcp,
        dns=tuple(_address(one, "dhcpdns") for one in request.dhcpdns),
        lease_time_s=request.lease_time_s or LEASE_S,
        outside=_outside(request.nat) if request.HasField("nat") else None,
        routes=tuple(map(_route, request.routes)),
    )


def _leg(text: str) -> Leg:
    """`10.4.0.1/24:5`"""
    inside, colon, vlan = text.rpartition(":")
    if not colon or not vlan.isascii() or not vlan.isdigit() or len(vlan) > 4:
        said = f"{text[:60]!r} is not an address, the length of its range and a VLAN, as in 10.4.0.1/24:5"
        raise codes.INVALID_ARGUMENT.refusal(said, field="ip")
    return Leg(_interface(inside, "ip"), int(vlan))


def _outside(nat: pb.Nat) -> Outside:
    if not nat.bridge:
        raise codes.MISSING_FIELD.refusal("NAT leads to a bridge, and none is named", field="nat")
    return Outside(nat.bridge, _interface(nat.address, "nat"), _address(nat.gateway, "nat"))


def _route(route: pb.Route) -> StaticRoute:
    return StaticRoute(_network(route.destination), _address(route.gateway, "routes"))


def _interface(text: str, field: str) -> IPv4Interface:
    try:
        if "/" in text:
            return IPv4Interface(text)
    except ValueError:
        pass
    said = f"{text[:60]!r} is not an IPv4 address with the length of its range, as in 10.4.0.1/24"
    raise codes.INVALID_ARGUMENT.refusal(said, field=field)


def _address(text: str, field: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise codes.INVALID_ARGUMENT.refusal(f"{text[:60]!r} is not an IPv4 address", field=field) from None


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError:
        said = f"{text[:60]!r} is not a range of IPv4 addresses, as in 198.51.100.0/24"
        raise codes.INVALID_ARGUMENT.refusal(said, field="routes") from None


def _told(seen: RouterSeen) -> pb.RouterResponse:
    router = seen.router
    message = pb.Router(
        vpc_id=seen.vpc_id,
        ip=[f"{one.gateway}:{one.vlan}" for one in router.legs],
        dhcp=router.dhcp,
        dhcpdns=map(str, router.dns),
        lease_time_s=router.lease_time_s,
        nat=_nat(router.outside) if router.outside else None,
        routes=[pb.Route(destination=str(one.destination), gateway=str(one.gateway)) for one in router.routes],
    )
    return pb.RouterResponse(router=message, status=_status(seen), netns=seen.netns)


def _nat(outside: Outside) -> pb.Nat:
    return pb.Nat(bridge=outside.bridge, address=str(outside.address), gateway=str(outside.gateway))


def _status(seen: RouterSeen) -> pb.RouterStatusResponse:
    outside = seen.outside.state if seen.outside else LinkState.MISSING
    return pb.RouterStatusResponse(legs=worst(seen.legs), outside=state(outside), failure=seen.failure)
