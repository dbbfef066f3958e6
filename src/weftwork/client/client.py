"""The client: one method per call, plain values in, the API's messages out.

A mutation can be awaited, which carries it out, or planned, which shows what it would change.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from weftwork.base.tenancy import ProjectKey
from weftwork.client import messages
from weftwork.client.access import AccessCalls
from weftwork.client.errors import ApiError, api_error
from weftwork.client.messages import ConditionEvent, PlanResponse, ResourceRef, SecurityRule
from weftwork.client.trace import traced
from weftwork.client.watching import PacketCalls
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as network
from weftwork.rpc.generated.overlay_network.v1 import network_pb2_grpc
from weftwork.rpc.generated.weftwork.v1 import confirmation_pb2 as confirmation
from weftwork.rpc.generated.weftwork.v1 import (
    confirmation_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    history_pb2_grpc,
    network_policy_pb2_grpc,
    peering_pb2_grpc,
    project_file_pb2_grpc,
    reach_test_pb2_grpc,
    sharing_pb2_grpc,
    subnet_pb2,
    subnet_pb2_grpc,
    weftwork_pb2_grpc,
)
from weftwork.rpc.generated.weftwork.v1 import history_pb2 as history
from weftwork.rpc.generated.weftwork.v1 import network_policy_pb2 as policy
from weftwork.rpc.generated.weftwork.v1 import peering_pb2 as peering
from weftwork.rpc.generated.weftwork.v1 import project_file_pb2 as project_file
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2 as reach_test
from weftwork.rpc.generated.weftwork.v1 import sharing_pb2 as sharing
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weftwork

Project = ProjectKey | str
"""`acme/web`, or the same as a value."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)

DEFAULT_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
ATTEMPTS_MAX = 5
BACKOFF_S = 0.1
BACKOFF_MAX_S = 2.0
PAGE_SIZE = 500
WAIT_GRACE_S = 5.0
"""How much longer than the server we wait for its answer to a wait."""
OVERRIDE = "weft-override-reach-tests"
"""Metadata: `yes` carries out what reach tests forbid."""
CONFIRM_WITHIN = "weft-confirm-within"
CONFIRMATION = "weft-confirmation"
PROBE = "weft-probe"
"""Metadata of a change that undoes itself: seconds, the name to confirm it by, and probes with semicolons between."""
AUTHORIZATION = "authorization"
Metadata = tuple[tuple[str, str], ...]
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.enable_retries", 0),  # we retry, knowing what may be repeated
)


@dataclass(frozen=True, slots=True)
class Tls:
    """In PEM: whose servers to believe (None: the system's authorities), and our own certificate for mTLS."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


class _Rpc(Protocol):
    def __call__(self, request: Any, *, timeout: float | None = None, metadata: Any = None) -> Awaitable[Any]: ...


class _Page(Protocol):
    next_page_token: str


class Mutation(Generic[T]):
    """A change that can be carried out (`await mutation`) or only planned (`await mutation.plan()`)."""

    def __init__(self, run: Callable[..., Awaitable[T]], plan: Callable[..., Awaitable[PlanResponse]]) -> None:
        self._run = run
        self._plan = plan

    def __await__(self) -> Generator[Any, None, T]:
        return self._run().__await__()

    def overriding_reach_tests(self) -> "Mutation[T]":
        """The same change, carried out even if a reach test forbids it."""
        return Mutation(partial(self._run, overriding=True), partial(self._plan, overriding=True))

    def until_confirmed(self, name: str, *, within_s: int, probes: Sequence[str] = ()) -> "Mutation[T]":
        """The same change; it undoes itself after the time unless `confirm(name)` came, or at once if a probe fails."""
        terms = ((CONFIRM_WITHIN, str(within_s)), (CONFIRMATION, name))
        asked = ((PROBE, ";".join(probes)),) if probes else ()
        return Mutation(partial(self._run, terms=(*terms, *asked)), self._plan)

    async def plan(self) -> PlanResponse:
        """What it would change. Nothing is stored; the same refusals as the mutation's own."""
        return await self._plan()


def resource_ref(kind: str, project: Project, id: str = "") -> ResourceRef:
    """`kind` is vpc, subnet, port, security-group, snat, dnat, peering, network-policy or subnet-share; `id` a name
    or id.

    A VPC and its SNAT need none.
    """
    key = _project(project)
    return ResourceRef(kind=kind, org_id=key.org, project_id=key.project, id=id)


def reach_test_spec(name: str, *, must: str, source: str, destination: str, service: str) -> messages.ReachTestSpec:
    """ValueError when `must` is neither `reach` nor `not-reach`."""
    value = reach_test.Must.Value(f"MUST_{must.upper().replace('-', '_')}")
    return reach_test.ReachTestSpec(name=name, must=value, source=source, destination=destination, service=service)


class Client:
    """A connection to one server. Every method raises ApiError.

    Arguments named `subnet`, `port` and `group` take a name or an id. What is empty or None is left to the server.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        page_size: int = PAGE_SIZE,
        bearer: str = "",
    ) -> None:
        self._channel = channel
        self._bearer = ((AUTHORIZATION, f"Bearer {bearer}"),) if bearer else ()
        self.access = AccessCalls(channel, self._call)
        self.packets = PacketCalls(channel, self._call, self._metadata)
        self._timeout_s = timeout_s
        self._page_size = page_size
        self._network = network_pb2_grpc.NetworkServiceStub(channel)
        self._ports = weftwork_pb2_grpc.PortServiceStub(channel)
        self._groups = weftwork_pb2_grpc.SecurityGroupServiceStub(channel)
        self._nat = weftwork_pb2_grpc.NatServiceStub(channel)
        self._peerings = peering_pb2_grpc.PeeringServiceStub(channel)
        self._policies = network_policy_pb2_grpc.NetworkPolicyServiceStub(channel)
        self._sharing = sharing_pb2_grpc.SharingServiceStub(channel)
        self._conditions = weftwork_pb2_grpc.ConditionServiceStub(channel)
        self._plan = weftwork_pb2_grpc.PlanServiceStub(channel)
        self._targets = weftwork_pb2_grpc.TargetServiceStub(channel)
        self._explain = explain_pb2_grpc.ExplainServiceStub(channel)
        self._batches = weftwork_pb2_grpc.BatchServiceStub(channel)
        self._confirmations = confirmation_pb2_grpc.ConfirmationServiceStub(channel)
        self._subnets = subnet_pb2_grpc.SubnetServiceStub(channel)
        self._project_files = project_file_pb2_grpc.ProjectFileServiceStub(channel)
        self._history = history_pb2_grpc.HistoryServiceStub(channel)
        self._reach_tests = reach_test_pb2_grpc.ReachTestServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    @classmethod
    async def connect(
        cls,
        target: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        page_size: int = PAGE_SIZE,
        bearer: str = "",
        tls: Tls | None = None,
    ) -> Self:
        """`bearer` is an API token or a login; over TCP without TLS it goes to loopback only (ValueError).

        `target` is `unix:/path` or `host:port`. `timeout_s` bounds each call; lists are read in pages.

        Fails at once if nobody listens.
        """
        if bearer and tls is None and not _is_local(target):
            raise ValueError(f"a bearer token is not sent to {target} without TLS")
        channel = _channel(target, tls)
        try:
            async with asyncio.timeout(connect_timeout_s):
                await _ready(channel, target)
        except TimeoutError:
            await channel.close()
            raise _unreachable(target) from None
        except BaseException:
            await channel.close()
            raise
        return cls(channel, timeout_s=timeout_s, page_size=page_size, bearer=bearer)

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def is_serving(self) -> bool:
        """Whether the server has loaded what it needs and takes calls."""
        reply = await self._call(self._health.Check, health_pb2.HealthCheckRequest(), retry=False)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    # --- VPCs ---------------------------------------------------------------------------------------------------

    def create_vpc(self, project: Project, *, name: str = "", cidr: str = "") -> Mutation[messages.Vpc]:
        request = network.CreateVpcRequest(**_in(project), name=name, cidr=cidr)
        return self._mutation(self._network.CreateVpc, "create_vpc", request, retry=True)

    async def get_vpc(self, project: Project) -> messages.Vpc:
        return await self._call(self._network.GetVpc, network.GetVpcRequest(**_in(project)))

    def list_vpcs(self, *, org: str = "", project: str = "") -> AsyncIterator[messages.Vpc]:
        """All the server has, or one organisation's, or one project's."""
        request = network.ListVpcsRequest(org_id=org, project_id=project)
        return self._pages(self._network.ListVpcs, request, lambda page: page.vpcs)

    def delete_vpc(self, project: Project, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteVpcRequest(**_in(project), cascade=cascade)
        return self._deletion(self._network.DeleteVpc, "delete_vpc", request)

    # --- Subnets ------------------------------------------------------------------------------------------------

    def create_subnet(
        self,
        project: Project,
        name: str,
        *,
        cidr: str = "",
        dhcp_enabled: bool = True,
        dns_servers: Sequence[str] = (),
        domain_name: str = "",
        ntp_servers: Sequence[str] = (),
        lease_time_s: int = 0,
    ) -> Mutation[messages.Subnet]:
        request = network.CreateSubnetRequest(
            **_in(project),
            name=name,
            cidr=cidr,
            dhcp_enabled=dhcp_enabled,
            dns_servers=dns_servers,
            domain_name=domain_name,
            ntp_servers=ntp_servers,
            lease_time_s=lease_time_s,
        )
        return self._mutation(self._network.CreateSubnet, "create_subnet", request, retry=True)

    async def get_subnet(self, project: Project, subnet: str) -> messages.Subnet:
        return await self._call(self._network.GetSubnet, network.GetSubnetRequest(**_in(project), subnet_id=subnet))

    def update_subnet(
        self,
        project: Project,
        subnet: str,
        *,
        dhcp_enabled: bool | None = None,
        dns_servers: Sequence[str] | None = None,
        domain_name: str | None = None,
        ntp_servers: Sequence[str] | None = None,
        lease_time_s: int | None = None,
    ) -> Mutation[messages.Subnet]:
        """Replaces what is given."""
        given = {
            "dhcp_enabled": dhcp_enabled,
            "dns_servers": dns_servers,
            "domain_name": domain_name,
            "ntp_servers": ntp_servers,
            "lease_time_s": lease_time_s,
        }
        said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        request = subnet_pb2.UpdateSubnetRequest(
            **_in(project), subnet_id=subnet, **said, update_mask=FieldMask(paths=list(said))
        )
        return self._mutation(self._subnets.UpdateSubnet, "update_subnet", request, retry=True)

    def list_subnets(self, project: Project) -> AsyncIterator[messages.Subnet]:
        request = network.ListSubnetsRequest(**_in(project))
        return self._pages(self._network.ListSubnets, request, lambda page: page.subnets)

    def delete_subnet(self, project: Project, subnet: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteSubnetRequest(**_in(project), subnet_id=subnet, cascade=cascade)
        return self._deletion(self._network.DeleteSubnet, "delete_subnet", request)

    # --- Ports --------------------------------------------------------------------------------------------------

    def create_port(
        self,
        project: Project,
        *,
        name: str = "",
        subnet: str = "",
        vm: str = "",
        mac: str = "",
        ip: str = "",
        groups: Sequence[str] = (),
    ) -> Mutation[messages.Port]:
        """Without a name each call makes another port."""
        request = network.CreatePortRequest(
            **_in(project),
            subnet_id=subnet,
            vm_id=vm,
            mac_address=mac,
            ip_address=ip,
            security_group_ids=groups,
            name=name,
        )
        return self._mutation(self._network.CreatePort, "create_port", request, retry=bool(name))

    async def get_port(self, project: Project, port: str) -> messages.Port:
        return await self._call(self._network.GetPort, network.GetPortRequest(**_in(project), port_id=port))

    def list_ports(self, project: Project, *, subnet: str = "") -> AsyncIterator[messages.Port]:
        request = network.ListPortsRequest(**_in(project), subnet_id=subnet)
        return self._pages(self._network.ListPorts, request, lambda page: page.ports)

    def delete_port(self, project: Project, port: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeletePortRequest(**_in(project), port_id=port, cascade=cascade)
        return self._deletion(self._network.DeletePort, "delete_port", request)

    def attach_port(self, project: Project, port: str, vm: str) -> Mutation[messages.Port]:
        request = network.AttachPortRequest(**_in(project), port_id=port, vm_id=vm)
        return self._mutation(self._network.AttachPort, "attach_port", request)

    def detach_port(self, project: Project, port: str) -> Mutation[None]:
        request = network.DetachPortRequest(**_in(project), port_id=port)
        return self._deletion(self._network.DetachPort, "detach_port", request)

    def plug_port(self, project: Project, port: str, netns: str, *, interface: str = "") -> Mutation[messages.Port]:
        """Make a network namespace of the host the port's guest."""
        request = weftwork.PlugPortRequest(**_in(project), port_id=port, netns=netns, interface=interface)
        return self._mutation(self._ports.PlugPort, "plug_port", request)

    def unplug_port(self, project: Project, port: str) -> Mutation[messages.Port]:
        request = weftwork.UnplugPortRequest(**_in(project), port_id=port)
        return self._mutation(self._ports.UnplugPort, "unplug_port", request)

    def set_security_groups(self, project: Project, port: str, groups: Sequence[str]) -> Mutation[messages.Port]:
        request = weftwork.SetSecurityGroupsRequest(**_in(project), port_id=port, security_group_ids=groups)
        return self._mutation(self._ports.SetSecurityGroups, "set_security_groups", request)

    # --- Security groups ----------------------------------------------------------------------------------------

    def create_security_group(
        self,
        project: Project,
        name: str,
        *,
        description: str = "",
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = network.CreateSecurityGroupRequest(
            **_in(project), name=name, description=description, ingress_rules=ingress, egress_rules=egress
        )
        return self._mutation(self._network.CreateSecurityGroup, "create_security_group", request, retry=True)

    async def get_security_group(self, project: Project, group: str) -> messages.SecurityGroup:
        request = network.GetSecurityGroupRequest(**_in(project), security_group_id=group)
        return await self._call(self._network.GetSecurityGroup, request)

    def list_security_groups(self, project: Project) -> AsyncIterator[messages.SecurityGroup]:
        request = network.ListSecurityGroupsRequest(**_in(project))
        return self._pages(self._network.ListSecurityGroups, request, lambda page: page.security_groups)

    def update_security_group(
        self,
        project: Project,
        group: str,
        *,
        description: str | None = None,
        ingress: Sequence[SecurityRule] | None = None,
        egress: Sequence[SecurityRule] | None = None,
        if_revision: int = 0,
    ) -> Mutation[messages.SecurityGroup]:
        """Replace what is given. With `if_revision`, only if the group is still at that revision."""
        given = {"description": description, "ingress_rules": ingress, "egress_rules": egress}
        request = network.UpdateSecurityGroupRequest(
            **_in(project),
            security_group_id=group,
            description=description or "",
            ingress_rules=ingress or (),
            egress_rules=egress or (),
            update_mask=FieldMask(paths=[path for path, value in given.items() if value is not None]),
            if_revision=if_revision,
        )
        return self._mutation(self._network.UpdateSecurityGroup, "update_security_group", request)

    def add_rules(
        self,
        project: Project,
        group: str,
        *,
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = _change_rules(project, group, ingress, egress)
        return self._mutation(self._groups.AddRules, "add_rules", request, retry=True)

    def remove_rules(
        self,
        project: Project,
        group: str,
        *,
        ingress: Sequence[SecurityRule] = (),
        egress: Sequence[SecurityRule] = (),
    ) -> Mutation[messages.SecurityGroup]:
        request = _change_rules(project, group, ingress, egress)
        return self._mutation(self._groups.RemoveRules, "remove_rules", request)

    def delete_security_group(self, project: Project, group: str, *, cascade: bool = False) -> Mutation[None]:
        request = network.DeleteSecurityGroupRequest(**_in(project), security_group_id=group, cascade=cascade)
        return self._deletion(self._network.DeleteSecurityGroup, "delete_security_group", request)

    # --- NAT ----------------------------------------------------------------------------------------------------

    def create_snat(
        self, project: Project, *, external_ip: str = "", enabled: bool = True
    ) -> Mutation[messages.SnatConfig]:
        request = network.CreateSnatRequest(**_in(project), external_ip=external_ip, enabled=enabled)
        return self._mutation(self._network.CreateSnat, "create_snat", request, retry=True)

    def list_snats(self, project: Project) -> AsyncIterator[messages.SnatConfig]:
        request = weftwork.ListNatsRequest(**_in(project))
        return self._pages(self._nat.ListSnats, request, lambda page: page.snats)

    def delete_snat(self, project: Project, *, external_ip: str = "") -> Mutation[None]:
        request = network.DeleteSnatRequest(**_in(project), external_ip=external_ip)
        return self._deletion(self._network.DeleteSnat, "delete_snat", request)

    def create_dnat(
        self,
        project: Project,
        *,
        external_port: int,
        protocol: str,
        internal_ip: str,
        internal_port: int = 0,
        external_ip: str = "",
    ) -> Mutation[messages.DnatConfig]:
        """`protocol` is tcp or udp; `internal_port` 0 is the same as outside."""
        request = network.CreateDnatRequest(
            **_in(project),
            external_ip=external_ip,
            external_port=external_port,
            internal_ip=internal_ip,
            internal_port=internal_port,
            protocol=_protocol(protocol),
        )
        return self._mutation(self._network.CreateDnat, "create_dnat", request, retry=bool(external_ip))

    def list_dnats(self, project: Project) -> AsyncIterator[messages.DnatConfig]:
        request = weftwork.ListNatsRequest(**_in(project))
        return self._pages(self._nat.ListDnats, request, lambda page: page.dnats)

    def delete_dnat(self, project: Project, *, external_ip: str, external_port: int, protocol: str) -> Mutation[None]:
        request = network.DeleteDnatRequest(
            **_in(project), external_ip=external_ip, external_port=external_port, protocol=_protocol(protocol)
        )
        return self._deletion(self._network.DeleteDnat, "delete_dnat", request)

    # --- Peerings -------------------------------------------------------------------------------------------------

    def create_peering(self, project: Project, peer: Project, *, name: str = "") -> Mutation[messages.Peering]:
        """The project's half; the peering is active once the peer has made its own."""
        request = peering.CreatePeeringRequest(**_in(project), name=name, peer=str(_project(peer)))
        return self._mutation(self._peerings.CreatePeering, "create_peering", request, retry=True)

    async def get_peering(self, project: Project, peering_or_peer: str) -> messages.Peering:
        """By name or id, or by the peer: `acme/shop`."""
        request = peering.GetPeeringRequest(**_in(project), peering=peering_or_peer)
        return await self._call(self._peerings.GetPeering, request)

    def list_peerings(self, project: Project) -> AsyncIterator[messages.Peering]:
        request = peering.ListPeeringsRequest(**_in(project))
        return self._pages(self._peerings.ListPeerings, request, lambda page: page.peerings)

    def list_peering_offers(self, project: Project) -> AsyncIterator[messages.PeeringOffer]:
        """The halves of other projects towards this one."""
        request = peering.ListPeeringsRequest(**_in(project))
        return self._pages(self._peerings.ListPeeringOffers, request, lambda page: page.offers)

    def delete_peering(self, project: Project, peering_or_peer: str, *, cascade: bool = False) -> Mutation[None]:
        """Takes the project's half back; with `cascade`, with the rules that name groups of the peer."""
        request = peering.DeletePeeringRequest(**_in(project), peering=peering_or_peer, cascade=cascade)
        return self._deletion(self._peerings.DeletePeering, "delete_peering", request)

    # --- Network policies ---------------------------------------------------------------------------------------

    def create_network_policy(
        self,
        project: Project,
        name: str,
        kind: str,
        priority: int,
        *,
        subnet: str = "",
        rules: Sequence[messages.PolicyRule] = (),
    ) -> Mutation[messages.NetworkPolicy]:
        """`kind` is ingress, egress or isolation; without a subnet it is for the whole project."""
        request = policy.CreateNetworkPolicyRequest(
            **_in(project),
            name=name,
            policy_kind=policy.NetworkPolicy.Kind.Value(f"KIND_{kind.upper()}"),
            subnet_id=subnet,
            priority=priority,
            rules=rules,
        )
        return self._mutation(self._policies.CreateNetworkPolicy, "create_network_policy", request, retry=True)

    async def get_network_policy(self, project: Project, name: str) -> messages.NetworkPolicy:
        request = policy.GetNetworkPolicyRequest(**_in(project), network_policy=name)
        return await self._call(self._policies.GetNetworkPolicy, request)

    def list_network_policies(self, project: Project) -> AsyncIterator[messages.NetworkPolicy]:
        request = policy.ListNetworkPoliciesRequest(**_in(project))
        return self._pages(self._policies.ListNetworkPolicies, request, lambda page: page.network_policies)

    def update_network_policy(
        self,
        project: Project,
        name: str,
        *,
        priority: int | None = None,
        rules: Sequence[messages.PolicyRule] | None = None,
        if_revision: int = 0,
    ) -> Mutation[messages.NetworkPolicy]:
        """Replaces what is given; with `if_revision`, only while the policy is at that revision."""
        given = {"priority": priority, "rules": rules}
        request = policy.UpdateNetworkPolicyRequest(
            **_in(project),
            network_policy=name,
            priority=priority or 0,
            rules=rules or (),
            update_mask=FieldMask(paths=[field for field, value in given.items() if value is not None]),
            if_revision=if_revision,
        )
        return self._mutation(self._policies.UpdateNetworkPolicy, "update_network_policy", request)

    def delete_network_policy(self, project: Project, name: str) -> Mutation[None]:
        request = policy.DeleteNetworkPolicyRequest(**_in(project), network_policy=name)
        return self._deletion(self._policies.DeleteNetworkPolicy, "delete_network_policy", request)

    def add_policy_rules(
        self, project: Project, name: str, rules: Sequence[messages.PolicyRule], *, position: int = 0
    ) -> Mutation[messages.NetworkPolicy]:
        """`position` 1 is before all others, 0 behind them."""
        request = policy.AddPolicyRulesRequest(**_in(project), network_policy=name, rules=rules, position=position)
        return self._mutation(self._policies.AddPolicyRules, "add_policy_rules", request)

    def remove_policy_rules(
        self, project: Project, name: str, rules: Sequence[messages.PolicyRule]
    ) -> Mutation[messages.NetworkPolicy]:
        request = policy.RemovePolicyRulesRequest(**_in(project), network_policy=name, rules=rules)
        return self._mutation(self._policies.RemovePolicyRules, "remove_policy_rules", request)

    # --- Reach tests --------------------------------------------------------------------------------------------

    def create_reach_test(
        self, project: Project, name: str, *, must: str, source: str, destination: str, service: str
    ) -> Mutation[messages.ReachTest]:
        """`must` is `reach` or `not-reach`; ends are `port:web1`, `group:web`, `subnet:data`, a CIDR or `internet`."""
        request = reach_test.CreateReachTestRequest(
            **_in(project),
            test=reach_test_spec(name, must=must, source=source, destination=destination, service=service),
        )
        return self._mutation(self._reach_tests.CreateReachTest, "create_reach_test", request, retry=True)

    async def get_reach_test(self, project: Project, test: str) -> messages.ReachTest:
        request = reach_test.GetReachTestRequest(**_in(project), reach_test_id=test)
        return await self._call(self._reach_tests.GetReachTest, request)

    def list_reach_tests(self, project: Project) -> AsyncIterator[messages.ReachTest]:
        request = reach_test.ListReachTestsRequest(**_in(project))
        return self._pages(self._reach_tests.ListReachTests, request, lambda page: page.reach_tests)

    def delete_reach_test(self, project: Project, test: str) -> Mutation[None]:
        request = reach_test.DeleteReachTestRequest(**_in(project), reach_test_id=test)
        return self._deletion(self._reach_tests.DeleteReachTest, "delete_reach_test", request)

    def apply_reach_tests(
        self, project: Project, tests: Sequence[messages.ReachTestSpec], *, prune: bool = False
    ) -> Mutation[messages.ApplyReachTestsResponse]:
        """All of them or none; with `prune`, the project's other tests are deleted."""
        request = reach_test.ApplyReachTestsRequest(**_in(project), tests=tests, prune=prune)
        return self._mutation(self._reach_tests.ApplyReachTests, "apply_reach_tests", request, retry=True)

    async def run_reach_tests(self, project: Project, tests: Sequence[str] = ()) -> Sequence[messages.ReachTestResult]:
        """Whether they hold now; without names, all of the project."""
        request = reach_test.RunReachTestsRequest(**_in(project), reach_test_ids=tests)
        return (await self._call(self._reach_tests.RunReachTests, request)).results

    # --- Shared subnets -------------------------------------------------------------------------------------------

    def share_subnet(self, project: Project, subnet: str, to: Project) -> Mutation[messages.SubnetShare]:
        """`to` may create ports there, by the subnet's full id."""
        request = sharing.ShareSubnetRequest(**_in(project), subnet_id=subnet, to=str(_project(to)))
        return self._mutation(self._sharing.ShareSubnet, "share_subnet", request, retry=True)

    def unshare_subnet(self, project: Project, subnet: str, to: Project) -> Mutation[None]:
        request = sharing.UnshareSubnetRequest(**_in(project), subnet_id=subnet, to=str(_project(to)))
        return self._deletion(self._sharing.UnshareSubnet, "unshare_subnet", request)

    def list_subnet_shares(self, project: Project) -> AsyncIterator[messages.SubnetShare]:
        """Of the project's own subnets."""
        request = sharing.ListSharesRequest(**_in(project))
        return self._pages(self._sharing.ListSubnetShares, request, lambda page: page.shares)

    def list_shared_subnets(self, project: Project) -> AsyncIterator[messages.Subnet]:
        """Other projects' subnets that this one may have ports in."""
        request = sharing.ListSharesRequest(**_in(project))
        return self._pages(self._sharing.ListSharedSubnets, request, lambda page: page.subnets)

    # --- History --------------------------------------------------------------------------------------------------

    def list_revisions(self, project: Project) -> AsyncIterator[messages.Revision]:
        """Newest first."""
        request = history.ListRevisionsRequest(**_in(project))
        return self._pages(self._history.ListRevisions, request, lambda page: page.revisions)

    async def diff_revisions(self, project: Project, old: int, new: int = 0) -> Sequence[messages.ObjectChange]:
        """From one revision to another, or to the present."""
        request = history.DiffRevisionsRequest(**_in(project), from_revision=old, to_revision=new)
        return (await self._call(self._history.DiffRevisions, request)).changes

    def rollback(self, project: Project, revision: int) -> Mutation[messages.RollbackResponse]:
        """All objects of the project as they were at the revision."""
        request = history.RollbackRequest(**_in(project), revision=revision)
        return self._mutation(self._history.Rollback, "rollback", request, retry=True)

    # --- Project files ------------------------------------------------------------------------------------------

    def apply_project(
        self,
        project: Project,
        files: Mapping[str, str],
        *,
        prune: bool = False,
        replace: bool = False,
        base_revision: int | None = None,
    ) -> Mutation[messages.ApplyProjectResponse]:
        """Makes the project what the files say: texts, by the names that mistakes are told by."""
        request = _apply_project(project, files, prune, replace, base_revision)
        # On a base, what did arrive would be refused the second time as somebody else's change.
        retry = base_revision is None
        return self._mutation(self._project_files.ApplyProject, "apply_project", request, retry=retry)

    def apply_projects(
        self,
        projects: Mapping[ProjectKey, Mapping[str, str]],
        *,
        prune: bool = False,
        replace: bool = False,
        base_revisions: Mapping[ProjectKey, int],
    ) -> Mutation[weftwork.BatchResponse]:
        """All of them in one change, each only if nothing of it was changed since its revision."""
        steps = [
            weftwork.PlanRequest(apply_project=_apply_project(owner, files, prune, replace, base_revisions[owner]))
            for owner, files in projects.items()
        ]
        request = weftwork.BatchRequest(mutations=steps)
        return self._mutation(self._batches.Batch, "batch", request, retry=False)

    async def export_project(self, project: Project) -> messages.ExportProjectResponse:
        """The project as a file."""
        request = project_file.ExportProjectRequest(**_in(project))
        return await self._call(self._project_files.ExportProject, request)

    # --- Confirmations ------------------------------------------------------------------------------------------

    async def confirm(self, project: Project, name: str) -> messages.Confirmation:
        """Lets a change stand that would undo itself."""
        request = confirmation.ConfirmRequest(**_in(project), confirmation=name)
        return await self._call(self._confirmations.Confirm, request)

    async def list_confirmations(self, project: Project) -> Sequence[messages.Confirmation]:
        """Those that wait first; what became of one is told for a day."""
        request = confirmation.ListConfirmationsRequest(**_in(project))
        return (await self._call(self._confirmations.ListConfirmations, request)).confirmations

    # --- Conditions and targets ---------------------------------------------------------------------------------

    async def watch_conditions(
        self, project: Project, *, kind: str = "", id: str = ""
    ) -> AsyncIterator[ConditionEvent]:
        """First the conditions as they are, then every change, until the caller stops."""
        request = weftwork.WatchConditionsRequest(**_in(project), kind=kind, id=id)
        call = self._conditions.WatchConditions(request, metadata=self._metadata())
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as error:
            raise api_error(error) from None
        finally:
            call.cancel()

    async def wait_for(
        self, resource: ResourceRef, *, type: str = "", revision: int = 0, timeout_s: float = 60.0
    ) -> ConditionEvent:
        """Until the condition (`Programmed`) is true at `revision` or later; `met` is False when the time was over."""
        request = weftwork.WaitForConditionRequest(resource=resource, type=type, revision=revision, timeout_s=timeout_s)
        return await self._call(self._conditions.WaitForCondition, request, timeout_s=timeout_s + WAIT_GRACE_S)

    async def wait_programmed(
        self, resource: ResourceRef, revision: int = 0, timeout_s: float = 60.0
    ) -> ConditionEvent:
        """Until the hosts have made it so."""
        return await self.wait_for(resource, type="Programmed", revision=revision, timeout_s=timeout_s)

    async def list_targets(self) -> Sequence[messages.Target]:
        return (await self._call(self._targets.ListTargets, Empty())).targets

    async def get_target(self, host: str = "", driver: str = "", scope: str = "") -> messages.TargetState:
        """Desired, observed now, and the plan between."""
        request = weftwork.GetTargetRequest(host=host, driver=driver, scope=scope)
        return await self._call(self._targets.GetTarget, request)

    async def list_leaks(self) -> Sequence[messages.Leak]:
        """Whatever of ours has no owner, across store and hosts."""
        return (await self._call(self._targets.ListLeaks, Empty())).leaks

    async def explain(
        self,
        project: Project,
        source: str,
        destination: str,
        *,
        protocol: str,
        port: int = 0,
        both: bool = False,
        live: bool = False,
    ) -> messages.ExplainResponse:
        """Why `source` reaches `destination` or not: each a port's name or id, an address, or `internet`.

        `protocol` is tcp or udp with a `port`, or icmp. `live` also sends a packet.
        """
        request = explain_pb2.ExplainRequest(
            **_in(project),
            source=source,
            destination=destination,
            protocol=_protocol(protocol),
            destination_port=port,
            both=both,
            live=live,
        )
        return await self._call(self._explain.Explain, request)

    # --- How ----------------------------------------------------------------------------------------------------

    def _mutation(
        self, rpc: Callable[..., Awaitable[T]], plan_field: str, request: Message, *, retry: bool = False
    ) -> Mutation[T]:
        async def run(*, overriding: bool = False, terms: Metadata = ()) -> T:
            # What is to be confirmed is one change only.
            return await self._call(rpc, request, retry=retry and not terms, overriding=overriding, terms=terms)

        return Mutation(run, partial(self._planned, plan_field, request))

    def _deletion(self, rpc: _Rpc, plan_field: str, request: Message) -> Mutation[None]:
        """Not retried: the second attempt would say that the thing does not exist."""

        async def run(*, overriding: bool = False, terms: Metadata = ()) -> None:
            await self._call(rpc, request, retry=False, overriding=overriding, terms=terms)

        return Mutation(run, partial(self._planned, plan_field, request))

    async def _planned(self, field: str, request: Message, *, overriding: bool = False) -> PlanResponse:
        plan = weftwork.PlanRequest(**{field: request})  # type: ignore[arg-type]
        return await self._call(self._plan.Plan, plan, overriding=overriding)

    async def _pages(
        self, rpc: Callable[..., Awaitable[Any]], request: Any, items: Callable[[Any], Sequence[T]]
    ) -> AsyncIterator[T]:
        """Every item of every page; the next page is asked for when it is needed."""
        request.page_size = self._page_size
        while True:
            page: Any = await self._call(rpc, request)
            for item in items(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _metadata(self, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return (*self._bearer, *more, *traced())

    async def _call(
        self,
        rpc: Callable[..., Awaitable[T]],
        request: Message,
        *,
        retry: bool = True,
        timeout_s: float = 0.0,
        overriding: bool = False,
        terms: Metadata = (),
    ) -> T:
        """One answer within the time; UNAVAILABLE is tried again when `retry` says that repeating does no harm."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (timeout_s or self._timeout_s)
        for attempt in range(ATTEMPTS_MAX):
            try:
                return await rpc(
                    request,
                    timeout=max(0.001, deadline - loop.time()),
                    metadata=self._metadata(*terms, *(((OVERRIDE, "yes"),) if overriding else ())),
                )
            except grpc.aio.AioRpcError as error:
                failed = api_error(error)
            pause_s = max(failed.retry_after_s, _backoff_s(attempt))
            again = retry and failed.code is grpc.StatusCode.UNAVAILABLE and attempt + 1 < ATTEMPTS_MAX
            if not again or loop.time() + pause_s >= deadline:
                raise failed
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")


def _backoff_s(attempt: int) -> float:
    """Doubles, with jitter so that clients do not come back together."""
    return min(BACKOFF_MAX_S, BACKOFF_S * 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311


def _channel(target: str, tls: Tls | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return grpc.aio.secure_channel(target.removeprefix("https://"), credentials, options=CHANNEL_OPTIONS)


def _is_local(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    try:
        return target.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _ready(channel: grpc.aio.Channel, target: str) -> None:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            raise _unreachable(target)
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)


def _unreachable(target: str) -> ApiError:
    return ApiError(
        grpc.StatusCode.UNAVAILABLE,
        "SERVER_UNREACHABLE",
        f"no server answers at {target}",
        hint="Is it running (`weft up`, `weft server`), and is the address right?",
    )


def _project(project: Project) -> ProjectKey:
    if isinstance(project, ProjectKey):
        return project
    org, _, name = project.partition("/")
    return ProjectKey(org, name)


def _in(project: Project) -> dict[str, Any]:
    key = _project(project)
    return {"org_id": key.org, "project_id": key.project}


def _apply_project(
    project: Project, files: Mapping[str, str], prune: bool, replace: bool, base_revision: int | None
) -> project_file.ApplyProjectRequest:
    return project_file.ApplyProjectRequest(
        **_in(project),
        files=[project_file.ProjectFile(name=name, text=text) for name, text in files.items()],
        prune=prune,
        replace=replace,
        base_revision=base_revision,
    )


def _protocol(text: str) -> messages.Protocol.ValueType:
    """ValueError for an unknown one."""
    return messages.Protocol.Value(f"PROTOCOL_{text.upper()}")


def _change_rules(
    project: Project, group: str, ingress: Sequence[SecurityRule], egress: Sequence[SecurityRule]
) -> weftwork.ChangeRulesRequest:
    return weftwork.ChangeRulesRequest(
        **_in(project), security_group_id=group, ingress_rules=ingress, egress_rules=egress
    )
