"""Resources in words, for people: dry runs, `weft target show` and the golden files. Nothing reads them back."""

from collections.abc import Iterator
from typing import get_args

from weftwork.program.chassis import ChassisPort
from weftwork.program.dhcp import DhcpBinding, DhcpServer
from weftwork.program.frr import BgpPeer, BgpRouter, EvpnVni, EvpnVrf, FrrResource
from weftwork.program.gate import Announced, Gate
from weftwork.program.linux import (
    Bridge,
    InterfaceAddress,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    RemoteEntry,
    Route,
    Sysctl,
    Uplink,
    VlanInterface,
    Vtep,
)
from weftwork.program.ovn import OvnResource
from weftwork.program.ovn_texts import words_of, words_of_plug
from weftwork.program.resource import Resource

HOST = "the host's own namespace"


_OVN_KINDS = get_args(OvnResource)
_FRR_KINDS = get_args(FrrResource)


def text_of(resource: Resource) -> str:
    """On one line, without the scope; every field shows, so two resources of a scope never read the same."""
    first, *rules = lines_of(resource)
    return f"{first}: {'; '.join(rules)}" if rules else first


def lines_of(resource: Resource) -> list[str]:
    """The resource, and below it the rules of a chain."""
    if isinstance(resource, NftChain):
        hook = f" ({resource.hook.rstrip('; ')})" if resource.hook else ""
        return [f"nft chain {resource.family.value} {resource.name}{hook}", *resource.rules]
    return [" ".join(word for word in _all_words(resource) if word)]


def _all_words(resource: Resource) -> Iterator[str]:
    if isinstance(resource, _OVN_KINDS):
        return words_of(resource)
    if isinstance(resource, ChassisPort):
        return words_of_plug(resource)
    if isinstance(resource, _FRR_KINDS):
        return iter((_routing(resource),))
    return _words(resource)


def _words(resource: Resource) -> Iterator[str]:
    match resource:
        case Namespace():
            yield f"namespace for {resource.owner}"
        case Sysctl():
            yield f"sysctl {resource.name} = {resource.value}"
        case NftTable() | NftSet() | NftElement():
            yield _nft(resource)
        case Bridge():
            yield f"bridge {resource.name} mac {resource.mac} mtu {resource.mtu_bytes}"
            yield "vlan-filtering" if resource.vlan_filtering else ""
        case VlanInterface():
            yield f"vlan {resource.vlan} {resource.name} on {resource.bridge}"
            yield f"mac {resource.mac} mtu {resource.mtu_bytes}"
        case Uplink():
            yield f"uplink {resource.name} mac {resource.mac} mtu {resource.mtu_bytes},"
            yield f"to {resource.peer} under {resource.peer_bridge} in {resource.peer_scope or HOST}"
        case Vtep():
            yield f"vtep {resource.name} vni {resource.vni} under {resource.bridge}"
            yield f"from {resource.local} mac {resource.mac} mtu {resource.mtu_bytes}"
            yield f"vlan {resource.vlan}" if resource.vlan else ""
        case RemoteEntry():
            yield f"remote {resource.mac} behind {resource.interface} on {resource.host}"
            yield f"vlan {resource.vlan}" if resource.vlan else ""
            yield "unless BGP says otherwise" if resource.yields else ""
        case InterfaceAddress():
            yield f"address {resource.address}/{resource.prefix_length} on {resource.interface}"
        case Route():
            yield f"route {resource.destination}"
            yield f"via {resource.gateway}" if resource.gateway else ""
            yield f"on {resource.interface}"
        case PortLink():
            yield from _port(resource)
        case Neighbour():
            yield f"neighbour {resource.address} at {resource.mac} on {resource.interface}"
            yield "unless BGP says otherwise" if resource.yields else ""
        case DhcpServer():
            yield from _dhcp_server(resource)
        case DhcpBinding():
            yield f"dhcp {resource.address} for {resource.mac} on {resource.interface}"
            yield f"called {resource.hostname}" if resource.hostname else ""
        case Gate():
            yield f"gate {resource.address} of {', '.join(map(str, resource.seats))} to {resource.bridge}"
            yield f"beats {resource.beat_ms}ms, {resource.missed_max} missed"
        case Announced():
            yield f"announced {resource.address} at {resource.mac}"
        case _:
            raise AssertionError(f"no words for {type(resource).__name__}")


def _routing(resource: FrrResource) -> str:
    match resource:
        case BgpRouter():
            return f"bgp router {resource.router_id} of AS {resource.asn}"
        case BgpPeer():
            return f"bgp peer {resource.address} of AS {resource.asn}{', reflected to' if resource.is_client else ''}"
        case EvpnVrf():
            return f"evpn of {resource.netns}"
        case EvpnVni():
            return f"evpn vni {resource.vni} import {','.join(resource.imports)} export {','.join(resource.exports)}"


def _nft(resource: NftTable | NftSet | NftElement) -> str:
    family = resource.family.value
    match resource:
        case NftTable():
            return f"nft table {family}"
        case NftSet():
            kind, type_ = ("map", f"{resource.type} : {resource.data}") if resource.data else ("set", resource.type)
            flags = f"; flags {','.join(resource.flags)}" if resource.flags else ""
            size = f"; size {resource.size}" if resource.size else ""
            return f"nft {kind} {family} {resource.name} {{ type {type_}{flags}{size} }}"
        case NftElement():
            value = f" : {resource.value}" if resource.value else ""
            return f"nft element {family} {resource.set} {{ {resource.element}{value} }}"


def _port(link: PortLink) -> Iterator[str]:
    yield f"port {link.kind.value} {link.name} under {link.bridge} mac {link.mac} mtu {link.mtu_bytes}"
    yield f"vlan {link.vlan}" if link.vlan else ""
    yield f"peer {link.peer_name} in {link.peer_netns}" if link.peer_netns or link.peer_name else ""


def _dhcp_server(server: DhcpServer) -> Iterator[str]:
    yield f"dhcp server {server.server}/{server.prefix_length} on {server.interface}"
    yield f"lease {server.lease_time_s}s mtu {server.mtu_bytes}"
    yield f"dns {','.join(map(str, server.dns_servers))}" if server.dns_servers else ""
    yield f"domain {server.domain_name}" if server.domain_name else ""
    yield f"ntp {','.join(map(str, server.ntp_servers))}" if server.ntp_servers else ""
