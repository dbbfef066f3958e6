"""What an OVN of our own stands on in the kernel: its namespace, and the cable from it to the external network."""

from collections.abc import Iterator

from weftwork.base.addresses import Mac
from weftwork.compiler.linux.host import compile_host
from weftwork.compiler.linux.sysctls import l2_only
from weftwork.compiler.settings import HostProfile
from weftwork.program.linux import Namespace, Uplink
from weftwork.program.resource import Resource

SCOPE = "weft-ovn"
UPLINK = "ext0"
"""Under the bridge `br-ex` of the chassis."""
OUTER_END = "ovn0"
"""The cable's end under the external bridge."""
_UPLINK_MAC = Mac("02:47:ff:ff:ff:01")


def compile_ground(profile: HostProfile) -> Iterator[Resource]:
    yield Namespace(SCOPE, "ovn")
    yield from l2_only(SCOPE, profile)
    yield from compile_host(profile)
    if external := profile.external:
        yield Uplink(SCOPE, UPLINK, _UPLINK_MAC, profile.mtu_bytes, OUTER_END, external.scope, external.bridge)
