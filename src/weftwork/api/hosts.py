"""The calls about hosts of the fleet."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

from google.protobuf.empty_pb2 import Empty

from weftwork.actions import hosts
from weftwork.api.access import AccessCall
from weftwork.api.doors import Doors
from weftwork.base import codes
from weftwork.model.host import Host, Role
from weftwork.rpc import decode
from weftwork.rpc.generated.weftwork.v1 import host_pb2 as pb

_SERVICE = "/weftwork.v1.HostService/"
_ROLES = {role.value: role for role in Role}


async def _add_host(doors: Doors, request: pb.AddHostRequest) -> pb.AddHostResponse:
    host, token = await hosts.add_host(
        doors.network,
        name=decode.name(request.name, "name"),
        underlay=_underlay(request.underlay_ip) if request.underlay_ip else None,
        roles=frozenset(decode.each(_role, request.roles, "roles")),
        labels=_labels(request.labels),
        token_lifetime_s=request.token_lifetime_s,
        again=request.again,
    )
    return pb.AddHostResponse(host=_told(doors, host), join=f"{token}\n{doors.fleet.authority()}")


async def _get_host(doors: Doors, request: pb.GetHostRequest) -> pb.Host:
    return _told(doors, hosts.get_host(doors.network, decode.name(request.host, "host")))


async def _list_hosts(doors: Doors, request: pb.ListHostsRequest) -> pb.ListHostsResponse:
    return pb.ListHostsResponse(hosts=[_told(doors, one) for one in hosts.list_hosts(doors.network)])


async def _drain_host(doors: Doors, request: pb.DrainHostRequest) -> pb.Host:
    name = decode.name(request.host, "host")
    return _told(doors, await hosts.drain_host(doors.network, name=name, undo=request.undo))


async def _remove_host(doors: Doors, request: pb.RemoveHostRequest) -> Empty:
    await hosts.remove_host(doors.network, name=decode.name(request.host, "host"))
    return Empty()


def _underlay(text: str) -> IPv4Address:
    address = decode.address(text, "underlay_ip")
    unusable = address.is_multicast or address.is_unspecified or address.is_loopback
    if not isinstance(address, IPv4Address) or unusable or address == IPv4Address("255.255.255.255"):
        raise decode.refusal(
            codes.INVALID_IP, "underlay_ip", f"{text} is no IPv4 address that hosts reach each other by"
        )
    return address


def _role(text: str, field: str) -> Role:
    role = _ROLES.get(text)
    if role is None:
        raise decode.refusal(codes.INVALID_ARGUMENT, field, f"{decode.quoted(text)} is none of {', '.join(_ROLES)}")
    return role


def _labels(labels: Sequence[pb.HostLabel]) -> Mapping[str, str]:
    if len(labels) > hosts.LABELS_MAX:
        raise decode.refusal(codes.FIELD_TOO_LONG, "labels", f"a host has at most {hosts.LABELS_MAX} labels")
    return dict(decode.each(_label, labels, "labels"))


def _label(label: pb.HostLabel, field: str) -> tuple[str, str]:
    key = decode.label(decode.required(label.key, f"{field}.key"), f"{field}.key")
    return key, decode.label(label.value, f"{field}.value")


def _told(doors: Doors, host: Host) -> pb.Host:
    state, facts = doors.fleet.state_of(host.name), host.facts
    return pb.Host(
        name=host.name,
        roles=sorted(one.value for one in host.roles),
        labels=[pb.HostLabel(key=key, value=value) for key, value in host.labels],
        underlay_ip=str(host.underlay),
        draining=host.is_draining,
        joined=bool(host.identity),
        kernel=facts.kernel if facts else "",
        capabilities=[
            *(f"filter-mode:{mode}" for mode in facts.filter_modes),
            *(f"layout:{layout}" for layout in facts.layouts),
            *(["br_netfilter"] if facts.has_bridge_netfilter else []),
            *(["ipv6"] if facts.has_ipv6 else []),
        ]
        if facts
        else [],
        ready=state.is_ready,
        reason=state.reason,
        message=state.message,
        since=state.since_s,
        generation=state.generation,
        desired_generation=state.desired_generation,
        resources=state.resources,
        failures=state.failures,
        ports=len(hosts.ports_on(doors.network, host.name)),
        created_at=host.created_at,
        routing=state.routing,
        sessions=[pb.HostSession(peer=one.peer, state=one.state, prefixes=one.prefixes) for one in state.sessions],
    )


HOSTS = (
    AccessCall(_SERVICE + "AddHost", pb.AddHostRequest, _add_host),
    AccessCall(_SERVICE + "GetHost", pb.GetHostRequest, _get_host),
    AccessCall(_SERVICE + "ListHosts", pb.ListHostsRequest, _list_hosts),
    AccessCall(_SERVICE + "DrainHost", pb.DrainHostRequest, _drain_host),
    AccessCall(_SERVICE + "RemoveHost", pb.RemoveHostRequest, _remove_host),
)
