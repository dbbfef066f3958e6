"""The host-wide slice: the namespace and bridge of the external network, when they are ours."""

from collections.abc import Iterator

from weftwork.compiler.linux import names
from weftwork.compiler.linux.gateway import gate
from weftwork.compiler.linux.remote import guard_of_underlay
from weftwork.compiler.linux.routing import speaker
from weftwork.compiler.linux.sysctls import l2_only
from weftwork.compiler.settings import HostProfile
from weftwork.program.linux import Bridge, Namespace
from weftwork.program.resource import Resource


def compile_host(profile: HostProfile) -> Iterator[Resource]:
    if profile.underlay:
        gateway = profile.gateway if profile.is_gateway else None
        yield from guard_of_underlay(profile.underlay, gateway, is_routed=profile.routing is not None)
        if profile.routing and not profile.is_gateway:
            yield from speaker(profile.routing, profile.underlay)
    external = profile.external
    if external is None:
        return
    if profile.underlay and profile.gateways:
        yield from gate(external, profile.gateways, profile.underlay)
    if not external.scope:
        return
    yield Namespace(external.scope, "external")
    yield from l2_only(external.scope, profile)
    yield Bridge(external.scope, external.bridge, names.external_bridge_mac(), profile.mtu_bytes)
