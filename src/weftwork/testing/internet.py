"""A namespace that plays the internet, cabled to the external bridge as an operator would cable a router."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import ClassVar, Self

from weftwork.testing.guests import Guest, Server, run
from weftwork.testing.patience import patient

_ANNOUNCED_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.01


class Internet:
    """`GATEWAY` is its address on the external network and the VPCs' next hop; `SERVER` is a host far behind it."""

    CIDR: ClassVar[str] = "203.0.113.0/24"
    GATEWAY: ClassVar[str] = "203.0.113.1"
    SERVER: ClassVar[str] = "198.51.100.7"

    def __init__(self, name: str, external_netns: str = "weft-ext", bridge: str = "ext0") -> None:
        self._name = name
        self._external_netns = external_netns
        self._bridge = bridge

    def __enter__(self) -> Self:
        self.guest = Guest.boot(self._name)
        try:
            self._cable()
        except BaseException:
            self.guest.shut_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.guest.shut_down()

    def _cable(self) -> None:
        near, far = ("eth0", "netns", self._name), ("name", "inet0", "netns", self._external_netns)
        run("ip", "link", "add", *near, "type", "veth", "peer", *far)
        run("ip", "-n", self._external_netns, "link", "set", "inet0", "master", self._bridge, "up")
        run("ip", "-n", self._name, "addr", "add", f"{self.GATEWAY}/24", "dev", "eth0")
        run("ip", "-n", self._name, "addr", "add", f"{self.SERVER}/32", "dev", "lo")
        run("ip", "-n", self._name, "link", "set", "eth0", "up")

    def tcp(self, to: str, port: int, *, timeout_s: float | None = None) -> str | None:
        return self.guest.tcp(to, port, timeout_s=timeout_s)

    def serve(self, *, tcp: Sequence[int] = (), udp: Sequence[int] = ()) -> Server:
        return self.guest.serve(tcp=tcp, udp=udp)

    def hear_of(self, address: str, mac: str) -> None:
        """Wait until nothing goes to who had the address before: OVN announces the new one 0.7 s after it is in force.

        Raises TimeoutError.
        """
        deadline = time.monotonic() + patient(_ANNOUNCED_WITHIN_S)
        while (known := run("ip", "-n", self._name, "neigh", "show", address)) and mac not in known:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody says that {address} is at {mac}: {known}")
            time.sleep(_LOOK_AGAIN_S)
