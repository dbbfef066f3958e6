"""Makes the responder serve what its program says. The target is this process: sockets, and tables in memory.

A server is there as long as its socket hears the very link and namespace that bear its names; with it go its
bindings. So whatever is deleted and made anew under us shows as missing, and the loop creates it again.
"""

import asyncio
from collections.abc import Iterator, Mapping

from weftwork.base.errors import Failure
from weftwork.drivers.dhcp.namespace_watch import NamespaceWatch
from weftwork.drivers.dhcp.packet_socket import PacketSocket, Place, open_packet_sockets
from weftwork.drivers.dhcp.served_interface import ServedInterface, Statistics
from weftwork.drivers.dhcp.token_bucket import Limits
from weftwork.drivers.linux.namespaces import NETNS
from weftwork.program.dhcp import DhcpBinding, DhcpServer
from weftwork.program.plan import Create, Delete, Plan, Replace, Step
from weftwork.program.resource import Key, Program, Resource
from weftwork.seams.driver import Applied


class DhcpDriver:
    """Serves DhcpServer and DhcpBinding resources. Lives in one event loop; `close` it there.

    Failures: NETNS_MISSING and LINK_MISSING (also of bindings whose server is not there), DHCP_SOCKET_FAILED.
    Delete servers before their namespace: until then the namespace lives on without a name for a moment.
    """

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._served: dict[str, dict[str, ServedInterface]] = {}
        self._watch: NamespaceWatch | None = None

    async def observe(self, scopes: frozenset[str] | None = None) -> Program:
        self._close_what_is_gone(scopes)
        return frozenset(self._resources(scopes))

    async def apply(self, plan: Plan) -> Applied:
        failures: dict[Key, Failure] = {}
        not_open = await self._open(_servers(plan))
        for step in plan:
            match step:
                case Create(new) | Replace(_, new):
                    failure = self._put(new, not_open)
                    if failure is not None:
                        failures[new.key] = failure
                case Delete(old):
                    self._remove(old)
        return Applied(failures)

    def statistics(self) -> Mapping[Place, Statistics]:
        """Of every interface being served now."""
        return {
            (scope, name): served.statistics()
            for scope, interfaces in self._served.items()
            for name, served in interfaces.items()
        }

    def close(self) -> None:
        """Stop serving, and let go of every namespace."""
        for served in self._all(None):
            self._close(served)
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _resources(self, scopes: frozenset[str] | None) -> Iterator[Resource]:
        for served in self._all(scopes):
            yield served.server
            yield from served.bindings.values()

    def _all(self, scopes: frozenset[str] | None) -> tuple[ServedInterface, ...]:
        wanted = self._served.keys() if scopes is None else self._served.keys() & scopes
        return tuple(served for scope in wanted for served in self._served[scope].values())

    def _find(self, scope: str, interface: str) -> ServedInterface | None:
        return self._served.get(scope, {}).get(interface)

    def _put(self, resource: Resource, not_open: Mapping[Place, Failure]) -> Failure | None:
        match resource:
            case DhcpServer(scope=scope, interface=interface):
                served = self._find(scope, interface)
                if served is None:
                    return not_open[scope, interface]
                served.server = resource
            case DhcpBinding(scope=scope, interface=interface):
                served = self._find(scope, interface)
                if served is None:
                    missing = Failure("LINK_MISSING", f"no DHCP server is open on {interface} in {scope}")
                    return not_open.get((scope, interface), missing)
                served.bindings[resource.mac] = resource
            case _:
                raise AssertionError(f"{resource.key} is not for the DHCP responder")
        return None

    def _remove(self, resource: Resource) -> None:
        match resource:
            case DhcpServer(scope=scope, interface=interface):
                served = self._find(scope, interface)
                if served is not None:
                    self._close(served)
            case DhcpBinding(scope=scope, interface=interface):
                served = self._find(scope, interface)
                if served is not None:
                    served.bindings.pop(resource.mac, None)
            case _:
                raise AssertionError(f"{resource.key} is not for the DHCP responder")

    async def _open(self, servers: Mapping[Place, DhcpServer]) -> dict[Place, Failure]:
        """Open what is not open yet; the failures, by place."""
        self._close_what_is_gone(frozenset(scope for scope, _ in servers))
        places = [place for place in servers if self._find(*place) is None]
        if not places:
            return {}
        self._watch_namespaces()
        # In a thread, because it walks through other namespaces.
        opened = await asyncio.to_thread(open_packet_sockets, places)
        failures: dict[Place, Failure] = {}
        for place, outcome in opened.items():
            match outcome:
                case PacketSocket():
                    served = ServedInterface(servers[place], outcome, self._limits, self._close)
                    self._served.setdefault(place[0], {})[place[1]] = served
                case Failure():
                    failures[place] = outcome
        return failures

    def _watch_namespaces(self) -> None:
        """Without a watch the next observe finds out; a missing folder makes every open fail by itself."""
        if self._watch is None:
            try:
                self._watch = NamespaceWatch(NETNS, lambda: self._close_what_is_gone(None))
            except OSError:
                self._watch = None

    def _close_what_is_gone(self, scopes: frozenset[str] | None) -> None:
        for served in self._all(scopes):
            if not served.is_in_place():
                self._close(served)

    def _close(self, served: ServedInterface) -> None:
        """Its bindings go with it: they say what is served, and nothing is any more."""
        scope, interface = served.server.scope, served.server.interface
        served.close()
        del self._served[scope][interface]
        if not self._served[scope]:
            del self._served[scope]


def _servers(plan: Plan) -> dict[Place, DhcpServer]:
    return {(new.scope, new.interface): new for new in map(_new, plan) if isinstance(new, DhcpServer)}


def _new(step: Step) -> Resource | None:
    return None if isinstance(step, Delete) else step.new
