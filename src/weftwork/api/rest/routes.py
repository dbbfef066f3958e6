"""Which path leads to which operation. A new RPC needs its line here: a test asks for it.

`{words}` in a path are fields of the request; what is not in the path is in the query of a GET or a DELETE, and in the
body of the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Literal, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from weftwork.api.operations import OPERATIONS, WATCHES, Operation, Watch
from weftwork.api.rest.messages import message_of
from weftwork.api.subjects import SUBJECTS
from weftwork.api.waiting import can_wait

Verb = Literal["GET", "POST", "PATCH", "DELETE"]

PROJECT = "/v1/orgs/{org_id}/projects/{project_id}"
_WORD = re.compile(r"\{([a-z_.]+)\}")
_NETWORK = "/overlay_network.v1.NetworkService/"
_OURS = "/weftwork.v1."
LEFT_OUT = frozenset({"vpc_id", "update_mask", "if_revision"})
"""Fields that a path, the fields of a body and If-Match say."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A field that is `first/second` takes two words of a path."""

    field: str
    words: tuple[str, str]


@dataclass(frozen=True)
class Route:
    """`makes`: answers with 201. `whole_body` is the request's field that is the body, where not all of it is."""

    verb: Verb
    path: str
    method: str
    tag: str
    makes: bool = False
    whole_body: str = ""
    joined: tuple[Joined, ...] = ()
    flattened: str = ""
    """A message in the request whose fields stand beside the request's own."""

    @cached_property
    def operation(self) -> Operation:
        return OPERATIONS[self.method]

    @cached_property
    def watch(self) -> Watch | None:
        return WATCHES.get(self.method)

    @cached_property
    def request(self) -> Descriptor:
        asked = self.watch or self.operation
        return cast("Descriptor", asked.request.DESCRIPTOR)

    @cached_property
    def name(self) -> str:
        return self.method.rpartition("/")[2]

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(_WORD.findall(self.path))

    @cached_property
    def is_mutation(self) -> bool:
        return self.watch is None and self.operation.mutation is not None

    @cached_property
    def fields(self) -> Mapping[str, FieldDescriptor]:
        """All that can be said, by name."""
        own = {one.name: one for one in self.request.fields if one.name != self.flattened}
        inner = message_of(self.request.fields_by_name[self.flattened]).fields if self.flattened else ()
        return own | {one.name: one for one in inner}

    @cached_property
    def left(self) -> Mapping[str, FieldDescriptor]:
        """Fields that the path does not say."""
        joined = {word: one.field for one in self.joined for word in one.words}
        said = LEFT_OUT | {joined.get(word, word) for word in self.words}
        return {name: one for name, one in self.fields.items() if name not in said}

    @property
    def has_subject(self) -> bool:
        """Whether there is a thing that If-Match can be about."""
        return self.method in SUBJECTS

    @cached_property
    def can_wait(self) -> bool:
        """Whether it changes a single thing, whose conditions can be waited for."""
        mutation = None if self.watch else self.operation.mutation
        return mutation is not None and can_wait(mutation)

    @property
    def resumes(self) -> bool:
        """Whether it is a watch that can go on where another one ended."""
        return self.watch is not None and "after" in self.request.fields_by_name

    @cached_property
    def has_body(self) -> bool:
        return self.verb in ("POST", "PATCH")

    @cached_property
    def query(self) -> Mapping[str, FieldDescriptor]:
        return {} if self.has_body else self.left

    @cached_property
    def body(self) -> Mapping[str, FieldDescriptor]:
        if not self.has_body:
            return {}
        if self.whole_body:
            return message_of(self.request.fields_by_name[self.whole_body]).fields_by_name
        return self.left

    @cached_property
    def status(self) -> HTTPStatus:
        """Of an answer that is as it should be."""
        if self.watch is None and self.answer.full_name == "google.protobuf.Empty":
            return HTTPStatus.NO_CONTENT
        return HTTPStatus.CREATED if self.makes else HTTPStatus.OK

    @cached_property
    def answer(self) -> Descriptor:
        service, name = self.method.strip("/").split("/")
        pool = self.request.file.pool
        return pool.FindServiceByName(service).FindMethodByName(name).output_type


def _network(verb: Verb, path: str, name: str, tag: str, *, makes: bool = False) -> Route:
    return Route(verb, PROJECT + path, _NETWORK + name, tag, makes)


def _ours(verb: Verb, path: str, name: str, tag: str, *, makes: bool = False) -> Route:
    return Route(verb, PROJECT + path, _OURS + name, tag, makes)


_PORT = "/ports/{port_id}"
_GROUP = "/security-groups/{security_group_id}"
_POLICY = "/network-policies/{network_policy}"
_VM = "/vms/{vm}"
_SHARES = "/subnets/{subnet_id}/shares"
_TO = Joined("to", ("to_org", "to_project"))

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/vpcs", _NETWORK + "ListVpcs", "VPCs"),
    _network("POST", "/vpc", "CreateVpc", "VPCs", makes=True),
    _network("GET", "/vpc", "GetVpc", "VPCs"),
    _network("DELETE", "/vpc", "DeleteVpc", "VPCs"),
    _network("GET", "/subnets", "ListSubnets", "Subnets"),
    _network("POST", "/subnets", "CreateSubnet", "Subnets", makes=True),
    _network("GET", "/subnets/{subnet_id}", "GetSubnet", "Subnets"),
    _network("DELETE", "/subnets/{subnet_id}", "DeleteSubnet", "Subnets"),
    _ours("PATCH", "/subnets/{subnet_id}", "SubnetService/UpdateSubnet", "Subnets"),
    _ours("GET", "/subnet-shares", "SharingService/ListSubnetShares", "Shared subnets"),
    _ours("GET", "/shared-subnets", "SharingService/ListSharedSubnets", "Shared subnets"),
    _ours("POST", _SHARES, "SharingService/ShareSubnet", "Shared subnets", makes=True),
    Route(
        "DELETE",
        PROJECT + _SHARES + "/{to_org}/{to_project}",
        _OURS + "SharingService/UnshareSubnet",
        "Shared subnets",
        joined=(_TO,),
    ),
    _network("GET", "/ports", "ListPorts", "Ports"),
    _network("POST", "/ports", "CreatePort", "Ports", makes=True),
    _network("GET", _PORT, "GetPort", "Ports"),
    _network("DELETE", _PORT, "DeletePort", "Ports"),
    _network("POST", _PORT + ":attach", "AttachPort", "Ports"),
    _network("POST", _PORT + ":detach", "DetachPort", "Ports"),
    _ours("POST", _PORT + ":plug", "PortService/PlugPort", "Ports"),
    _ours("POST", _PORT + ":unplug", "PortService/UnplugPort", "Ports"),
    _ours("POST", _PORT + ":setSecurityGroups", "PortService/SetSecurityGroups", "Ports"),
    _network("GET", "/security-groups", "ListSecurityGroups", "Security groups"),
    _network("POST", "/security-groups", "CreateSecurityGroup", "Security groups", makes=True),
    _network("GET", _GROUP, "GetSecurityGroup", "Security groups"),
    _network("PATCH", _GROUP, "UpdateSecurityGroup", "Security groups"),
    _network("DELETE", _GROUP, "DeleteSecurityGroup", "Security groups"),
    _ours("POST", _GROUP + ":addRules", "SecurityGroupService/AddRules", "Security groups"),
    _ours("POST", _GROUP + ":removeRules", "SecurityGroupService/RemoveRules", "Security groups"),
    _ours("GET", "/snats", "NatService/ListSnats", "NAT"),
    _network("POST", "/snats", "CreateSnat", "NAT", makes=True),
    _network("DELETE", "/snats", "DeleteSnat", "NAT"),
    _ours("GET", "/dnats", "NatService/ListDnats", "NAT"),
    _network("POST", "/dnats", "CreateDnat", "NAT", makes=True),
    _network("DELETE", "/dnats/{external_ip}/{external_port}/{protocol}", "DeleteDnat", "NAT"),
    _ours("GET", "/peering-offers", "PeeringService/ListPeeringOffers", "Peerings"),
    _ours("GET", "/peerings", "PeeringService/ListPeerings", "Peerings"),
    _ours("POST", "/peerings", "PeeringService/CreatePeering", "Peerings", makes=True),
    _ours("GET", "/peerings/{peering}", "PeeringService/GetPeering", "Peerings"),
    _ours("DELETE", "/peerings/{peering}", "PeeringService/DeletePeering", "Peerings"),
    _ours("GET", "/network-policies", "NetworkPolicyService/ListNetworkPolicies", "Network policies"),
    _ours("POST", "/network-policies", "NetworkPolicyService/CreateNetworkPolicy", "Network policies", makes=True),
    _ours("GET", _POLICY, "NetworkPolicyService/GetNetworkPolicy", "Network policies"),
    _ours("PATCH", _POLICY, "NetworkPolicyService/UpdateNetworkPolicy", "Network policies"),
    _ours("DELETE", _POLICY, "NetworkPolicyService/DeleteNetworkPolicy", "Network policies"),
    _ours("POST", _POLICY + ":addRules", "NetworkPolicyService/AddPolicyRules", "Network policies"),
    _ours("POST", _POLICY + ":removeRules", "NetworkPolicyService/RemovePolicyRules", "Network policies"),
    _ours("GET", "/reach-tests", "ReachTestService/ListReachTests", "Reach tests"),
    Route(
        "POST",
        PROJECT + "/reach-tests",
        _OURS + "ReachTestService/CreateReachTest",
        "Reach tests",
        makes=True,
        whole_body="test",
    ),
    _ours("GET", "/reach-tests/{reach_test_id}", "ReachTestService/GetReachTest", "Reach tests"),
    _ours("DELETE", "/reach-tests/{reach_test_id}", "ReachTestService/DeleteReachTest", "Reach tests"),
    _ours("POST", "/reach-tests:apply", "ReachTestService/ApplyReachTests", "Reach tests"),
    _ours("POST", "/reach-tests:run", "ReachTestService/RunReachTests", "Reach tests"),
    _ours("GET", "/vms", "VmService/ListVms", "VMs"),
    _ours("POST", "/vms", "VmService/CreateVm", "VMs", makes=True),
    _ours("GET", "/vms:watch", "VmService/WatchVms", "VMs"),
    _ours("GET", _VM, "VmService/GetVm", "VMs"),
    _ours("DELETE", _VM, "VmService/DeleteVm", "VMs"),
    _ours("POST", _VM + ":start", "VmService/StartVm", "VMs"),
    _ours("POST", _VM + ":stop", "VmService/StopVm", "VMs"),
    _ours("POST", _VM + ":restart", "VmService/RestartVm", "VMs"),
    _ours("POST", _VM + ":resize", "VmService/ResizeVm", "VMs"),
    _ours("GET", _VM + ":console", "VmService/ReadConsole", "VMs"),
    _ours("GET", "/ssh-keys", "SshKeyService/ListSshKeys", "VMs"),
    _ours("POST", "/ssh-keys", "SshKeyService/CreateSshKey", "VMs", makes=True),
    _ours("GET", "/ssh-keys/{ssh_key}", "SshKeyService/GetSshKey", "VMs"),
    _ours("DELETE", "/ssh-keys/{ssh_key}", "SshKeyService/DeleteSshKey", "VMs"),
    _ours("POST", ":apply", "ProjectFileService/ApplyProject", "Project files"),
    _ours("GET", ":export", "ProjectFileService/ExportProject", "Project files"),
    _ours("GET", "/confirmations", "ConfirmationService/ListConfirmations", "Confirmations"),
    _ours("POST", "/confirmations/{confirmation}:confirm", "ConfirmationService/Confirm", "Confirmations"),
    _ours("GET", "/revisions", "HistoryService/ListRevisions", "History"),
    _ours("GET", "/revisions:diff", "HistoryService/DiffRevisions", "History"),
    _ours("POST", ":rollback", "HistoryService/Rollback", "History"),
    _ours("GET", "/flow-log", "FlowService/GetFlowLog", "Packets"),
    _ours("PATCH", "/flow-log", "FlowService/SetFlowLog", "Packets"),
    _ours("GET", "/flows", "FlowService/ListFlows", "Packets"),
    _ours("GET", "/flows:watch", "FlowService/WatchFlows", "Packets"),
    _ours("GET", _PORT + ":capture", "CaptureService/CapturePackets", "Packets"),
    _ours("POST", ":explain", "ExplainService/Explain", "Questions"),
    Route("POST", "/v1:batch", _OURS + "BatchService/Batch", "Batches"),
    Route("POST", "/v1:plan", _OURS + "PlanService/Plan", "Questions"),
    _ours("GET", ":watch", "WatchService/Watch", "Watching"),
    _ours("GET", "/conditions:watch", "ConditionService/WatchConditions", "Conditions"),
    Route(
        "GET",
        PROJECT + "/conditions:wait",
        _OURS + "ConditionService/WaitForCondition",
        "Conditions",
        flattened="resource",
    ),
    Route("GET", "/v1/login", _OURS + "AccessService/GetLogin", "Access"),
    Route("GET", "/v1/me", _OURS + "AccessService/WhoAmI", "Access"),
    Route("GET", "/v1/tokens", _OURS + "TokenService/ListTokens", "Access"),
    Route("POST", "/v1/tokens", _OURS + "TokenService/CreateToken", "Access", makes=True),
    Route("DELETE", "/v1/tokens/{token_id}", _OURS + "TokenService/RevokeToken", "Access"),
    Route("GET", "/v1/audit-entries", _OURS + "AuditService/ListAuditEntries", "Access"),
    _ours("GET", "/quota", "QuotaService/GetQuota", "Access"),
    _ours("PATCH", "/quota", "QuotaService/SetQuota", "Access"),
    Route("GET", "/v1/hosts", _OURS + "HostService/ListHosts", "Hosts"),
    Route("POST", "/v1/hosts", _OURS + "HostService/AddHost", "Hosts", makes=True),
    Route("GET", "/v1/hosts/{host}", _OURS + "HostService/GetHost", "Hosts"),
    Route("POST", "/v1/hosts/{host}:drain", _OURS + "HostService/DrainHost", "Hosts"),
    Route("DELETE", "/v1/hosts/{host}", _OURS + "HostService/RemoveHost", "Hosts"),
    Route("GET", "/v1/targets", _OURS + "TargetService/ListTargets", "Targets"),
    Route("GET", "/v1/targets:state", _OURS + "TargetService/GetTarget", "Targets"),
    Route("GET", "/v1/debug:bundle", _OURS + "DebugService/CollectBundle", "Targets"),
    Route("GET", "/v1/leaks", _OURS + "TargetService/ListLeaks", "Targets"),
)
