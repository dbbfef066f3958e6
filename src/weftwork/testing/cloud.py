"""The client as tests and the demo use it: synchronous, and every change waits until the hosts have made it so."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from weftwork.client.client import Client, Mutation, resource_ref
from weftwork.client.messages import Explanation, Leak, PolicyRule, Port, SecurityRule, Target, TargetState, Vpc
from weftwork.client.rules import rule
from weftwork.testing.patience import patient

T = TypeVar("T")

Rule = SecurityRule
WAIT_S = patient(30.0)


def allow(protocol: str, ports: int | tuple[int, int] | None, peer: str) -> Rule:
    """`peer` is a CIDR or a group's name: the source of an ingress rule, the destination of an egress rule."""
    return rule(protocol, peer, ports)


class NotProgrammedError(AssertionError):
    """The hosts did not make it so in time; the message says what the conditions were."""


class Cloud:
    """One connection, with an event loop in a thread of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="client", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(Client.connect(address))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client(self) -> Client:
        return self._client

    def close(self) -> None:
        self._run(self._client.close())
        self._stop()

    def reconnect(self) -> None:
        """After the server was restarted."""
        self._run(self._client.close())
        self._client = self._run(Client.connect(self._address))

    def is_serving(self) -> bool:
        return self._run(self._client.is_serving())

    # Networks

    def vpc(self, project: str, cidr: str = "") -> Vpc:
        made = self.do(self._client.create_vpc(project, name=project.split("/")[1], cidr=cidr))
        self._programmed("vpc", project, "", made.revision)
        return made

    def vpc_info(self, project: str) -> Vpc:
        return self._run(self._client.get_vpc(project))

    def subnet(
        self,
        project: str,
        name: str,
        cidr: str = "",
        *,
        dhcp: bool = True,
        dns: Sequence[str] = (),
        domain: str = "",
        ntp: Sequence[str] = (),
        lease_time_s: int = 0,
    ) -> None:
        made = self.do(
            self._client.create_subnet(
                project,
                name,
                cidr=cidr,
                dhcp_enabled=dhcp,
                dns_servers=dns,
                domain_name=domain,
                ntp_servers=ntp,
                lease_time_s=lease_time_s,
            )
        )
        self._programmed("subnet", project, name, made.revision)

    def delete_vpc(self, project: str, *, cascade: bool = False) -> None:
        self.do(self._client.delete_vpc(project, cascade=cascade))
        self.settle()

    # Ports

    def port(
        self,
        project: str,
        name: str,
        *,
        subnet: str = "",
        groups: Sequence[str] = (),
        address: str = "",
        mac: str = "",
        vm: str = "",
        wait: bool = True,
    ) -> Port:
        made = self.do(
            self._client.create_port(project, name=name, subnet=subnet, groups=groups, ip=address, mac=mac, vm=vm)
        )
        if wait:
            self._programmed("port", project, made.id, made.revision)
        return made

    def port_info(self, project: str, name: str) -> Port:
        return self._run(self._client.get_port(project, name))

    def plug(self, project: str, port: str, netns: str, *, wait: bool = True) -> Port:
        plugged = self.do(self._client.plug_port(project, port, netns))
        if wait:
            self._programmed("port", project, plugged.id, plugged.revision)
        return plugged

    def unplug(self, project: str, port: str) -> None:
        unplugged = self.do(self._client.unplug_port(project, port))
        self._programmed("port", project, unplugged.id, unplugged.revision)

    def set_groups(self, project: str, port: str, groups: Sequence[str]) -> None:
        changed = self.do(self._client.set_security_groups(project, port, groups))
        self._programmed("port", project, changed.id, changed.revision)

    def delete_port(self, project: str, port: str, *, wait: bool = True) -> None:
        self.do(self._client.delete_port(project, port))
        if wait:
            self.settle()

    # Security groups

    def group(self, project: str, name: str, *, ingress: Sequence[Rule] = (), egress: Sequence[Rule] = ()) -> None:
        made = self.do(self._client.create_security_group(project, name, ingress=ingress, egress=egress))
        self._programmed("security-group", project, name, made.revision)

    def add_rules(
        self, project: str, group: str, *, ingress: Sequence[Rule] = (), egress: Sequence[Rule] = (), wait: bool = True
    ) -> None:
        changed = self.do(self._client.add_rules(project, group, ingress=ingress, egress=egress))
        if wait:
            self._programmed("security-group", project, group, changed.revision)

    def remove_rules(
        self, project: str, group: str, *, ingress: Sequence[Rule] = (), egress: Sequence[Rule] = (), wait: bool = True
    ) -> None:
        changed = self.do(self._client.remove_rules(project, group, ingress=ingress, egress=egress))
        if wait:
            self._programmed("security-group", project, group, changed.revision)

    # NAT

    def snat(self, project: str, external_ip: str = "") -> None:
        made = self.do(self._client.create_snat(project, external_ip=external_ip))
        self._programmed("snat", project, "", made.revision)

    def delete_snat(self, project: str) -> None:
        self.do(self._client.delete_snat(project))
        self.settle()

    def dnat(
        self, project: str, external_ip: str, external_port: int, protocol: str, internal_ip: str, internal_port: int
    ) -> None:
        made = self.do(
            self._client.create_dnat(
                project,
                external_ip=external_ip,
                external_port=external_port,
                protocol=protocol,
                internal_ip=internal_ip,
                internal_port=internal_port,
            )
        )
        self._programmed("dnat", project, f"{external_ip}:{external_port}:{protocol}", made.revision)

    def delete_dnat(self, project: str, external_ip: str, external_port: int, protocol: str) -> None:
        call = self._client.delete_dnat(
            project, external_ip=external_ip, external_port=external_port, protocol=protocol
        )
        self.do(call)
        self.settle()

    # Peerings

    def peer(self, project: str, peer: str) -> None:
        """The project's half."""
        made = self.do(self._client.create_peering(project, peer))
        self._programmed("peering", project, peer, made.revision)

    def unpeer(self, project: str, peer: str) -> None:
        self.do(self._client.delete_peering(project, peer))
        self.settle()

    # Network policies

    def policy(self, project: str, name: str, kind: str, priority: int, *rules: PolicyRule, subnet: str = "") -> None:
        made = self.do(self._client.create_network_policy(project, name, kind, priority, subnet=subnet, rules=rules))
        self._programmed("network-policy", project, name, made.revision)

    def policy_rules(self, project: str, name: str, *rules: PolicyRule) -> None:
        changed = self.do(self._client.update_network_policy(project, name, rules=rules))
        self._programmed("network-policy", project, name, changed.revision)

    def delete_policy(self, project: str, name: str) -> None:
        self.do(self._client.delete_network_policy(project, name))
        self.settle()

    # Shared subnets

    def share(self, project: str, subnet: str, to: str) -> None:
        made = self.do(self._client.share_subnet(project, subnet, to))
        self._programmed("subnet-share", project, f"{subnet}/{to}", made.revision)

    def unshare(self, project: str, subnet: str, to: str) -> None:
        self.do(self._client.unshare_subnet(project, subnet, to))
        self.settle()

    # Targets

    def targets(self) -> Sequence[Target]:
        return self._run(self._client.list_targets())

    def target(self) -> TargetState:
        """Everything the hosts should hold and do hold, and the plan between."""
        return self._run(self._client.get_target())

    def explain(self, project: str, source: str, destination: str, service: str) -> Explanation:
        """Why one reaches the other or not, by `tcp/80`, `udp/53` or `icmp`."""
        protocol, _, port = service.partition("/")
        asked = self._client.explain(project, source, destination, protocol=protocol, port=int(port or 0))
        return self._run(asked).there

    def leaks(self) -> list[str]:
        """What of ours has no owner, one line each."""
        return [_leak_line(leak) for leak in self._run(self._client.list_leaks())]

    def drift(self) -> list[str]:
        """What the hosts would have to do now to be as they should, one line each."""
        return [step.text for step in self._run(self._client.get_target()).steps]

    def settle(self) -> None:
        """Until the hosts have tried everything that was stored; NotProgrammedError when something fails."""
        self._run(self.settled())

    # How

    def do(self, mutation: Mutation[T]) -> T:
        async def carry_out() -> T:
            return await mutation

        return self._run(carry_out())

    def gather(self, *calls: Coroutine[Any, Any, T]) -> list[T]:
        """Several calls of the client at once."""

        async def all_of_them() -> list[T]:
            return list(await asyncio.gather(*calls))

        return self._run(all_of_them())

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start it beside the caller, who may cancel it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def collect(self, items: AsyncIterator[T]) -> list[T]:
        async def all_of_them() -> list[T]:
            return [item async for item in items]

        return self._run(all_of_them())

    async def settled(self) -> None:
        """`settle` for a coroutine of the connection's own loop."""
        async with asyncio.timeout(WAIT_S):
            while True:
                targets = await self._client.list_targets()
                if all(target.generation >= target.desired_generation for target in targets):
                    break
                await asyncio.sleep(0.01)
        failing = [target.detail for target in targets if target.failures]
        if failing:
            raise NotProgrammedError("; ".join(failing))

    def _programmed(self, kind: str, project: str, name: str, revision: int) -> None:
        self.wait_programmed(kind, project, name, revision, WAIT_S)

    def wait_programmed(self, kind: str, project: str, name: str, revision: int, timeout_s: float) -> None:
        """Raises NotProgrammedError."""
        event = self._run(self._client.wait_programmed(resource_ref(kind, project, name), revision, timeout_s))
        if not event.met:
            told = "; ".join(f"{one.type}: {one.reason} {one.message}" for one in event.conditions)
            raise NotProgrammedError(f"{kind} {project} {name}: {told}")

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _leak_line(leak: Leak) -> str:
    return f"{leak.where} {leak.kind} {leak.id}: {leak.why}"
