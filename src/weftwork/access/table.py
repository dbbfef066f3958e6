"""What every call asks for: the least role, and where in the request it says for which project.

A call that is not in the table is refused to everybody; a test compares the table with the registry of calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from weftwork.access.roles import Role


class Where(Enum):
    """What a request is about."""

    PROJECT = "project"
    """`org_id` and `project_id`."""
    RESOURCE = "resource"
    """The same two, of its `resource`."""
    PLANNED = "planned"
    """What the mutation in it is about; the least role is the mutation's."""
    BATCH = "batch"
    """What all of the mutations in it are about; each asks for its own role."""
    SCOPE = "scope"
    """`org_id` and `project_id`; without the latter all of an organisation, without both everything."""
    FILTERED = "filtered"
    """Nothing in particular: the answer leaves out what the caller may not see."""
    CALLER = "caller"
    """Whoever calls, once it is known who that is."""
    FLEET = "fleet"
    """The deployment and its hosts."""
    ANYBODY = "anybody"
    """Also who has not said who they are."""


@dataclass(frozen=True, slots=True)
class Rule:
    least: Role
    where: Where = Where.PROJECT


_NETWORK = "/overlay_network.v1.NetworkService/"
_WEFT = "/weftwork.v1."


def _rules(prefix: str, least: Role, *names: str, where: Where = Where.PROJECT) -> dict[str, Rule]:
    return {f"{prefix}{name}": Rule(least, where) for name in names}


TABLE: Mapping[str, Rule] = {
    **_rules(_NETWORK, Role.VIEWER, "GetVpc", "GetSubnet", "ListSubnets", "GetPort", "ListPorts"),
    **_rules(_NETWORK, Role.VIEWER, "GetSecurityGroup", "ListSecurityGroups"),
    **_rules(_NETWORK, Role.VIEWER, "ListVpcs", where=Where.FILTERED),
    **_rules(_NETWORK, Role.MEMBER, "CreatePort", "DeletePort", "AttachPort", "DetachPort"),
    **_rules(_NETWORK, Role.OPERATOR, "CreateSubnet", "DeleteSubnet"),
    **_rules(_NETWORK, Role.OPERATOR, "CreateSecurityGroup", "UpdateSecurityGroup", "DeleteSecurityGroup"),
    **_rules(_NETWORK, Role.OPERATOR, "CreateSnat", "DeleteSnat", "CreateDnat", "DeleteDnat"),
    **_rules(_NETWORK, Role.ADMIN, "CreateVpc", "DeleteVpc"),
    **_rules(_WEFT + "PortService/", Role.MEMBER, "SetSecurityGroups"),
    # Into namespaces of the host, whosever they are.
    **_rules(_WEFT + "PortService/", Role.FLEET_ADMIN, "PlugPort", "UnplugPort"),
    **_rules(_WEFT + "SecurityGroupService/", Role.OPERATOR, "AddRules", "RemoveRules"),
    **_rules(_WEFT + "NatService/", Role.VIEWER, "ListSnats", "ListDnats"),
    **_rules(_WEFT + "ConditionService/", Role.VIEWER, "WatchConditions"),
    **_rules(_WEFT + "ConditionService/", Role.VIEWER, "WaitForCondition", where=Where.RESOURCE),
    **_rules(_WEFT + "WatchService/", Role.VIEWER, "Watch"),
    **_rules(_WEFT + "PlanService/", Role.VIEWER, "Plan", where=Where.PLANNED),
    **_rules(_WEFT + "BatchService/", Role.MEMBER, "Batch", where=Where.BATCH),
    **_rules(_WEFT + "TargetService/", Role.FLEET_ADMIN, "ListTargets", "GetTarget", "ListLeaks", where=Where.FLEET),
    **_rules(_WEFT + "ExplainService/", Role.VIEWER, "Explain"),
    **_rules(_WEFT + "FlowService/", Role.VIEWER, "GetFlowLog", "ListFlows", "WatchFlows"),
    **_rules(_WEFT + "FlowService/", Role.OPERATOR, "SetFlowLog"),
    **_rules(_WEFT + "DebugService/", Role.FLEET_ADMIN, "CollectBundle", where=Where.FLEET),
    # What guests say to each other, word by word.
    **_rules(_WEFT + "CaptureService/", Role.OPERATOR, "CapturePackets"),
    **_rules(_WEFT + "HistoryService/", Role.VIEWER, "ListRevisions", "DiffRevisions"),
    # It can bring back, or take away, all that an admin made.
    **_rules(_WEFT + "HistoryService/", Role.ADMIN, "Rollback"),
    **_rules(_WEFT + "SubnetService/", Role.OPERATOR, "UpdateSubnet"),
    **_rules(_WEFT + "ConfirmationService/", Role.VIEWER, "ListConfirmations"),
    # It lets stand what somebody made who may make it.
    **_rules(_WEFT + "ConfirmationService/", Role.MEMBER, "Confirm"),
    **_rules(_WEFT + "ProjectFileService/", Role.VIEWER, "ExportProject"),
    # What of a file only an admin may do is asked for by the action.
    **_rules(_WEFT + "ProjectFileService/", Role.OPERATOR, "ApplyProject"),
    **_rules(_WEFT + "PeeringService/", Role.VIEWER, "GetPeering", "ListPeerings", "ListPeeringOffers"),
    **_rules(_WEFT + "PeeringService/", Role.ADMIN, "CreatePeering", "DeletePeering"),
    **_rules(_WEFT + "SharingService/", Role.VIEWER, "ListSubnetShares", "ListSharedSubnets"),
    **_rules(_WEFT + "SharingService/", Role.ADMIN, "ShareSubnet", "UnshareSubnet"),
    **_rules(_WEFT + "NetworkPolicyService/", Role.VIEWER, "GetNetworkPolicy", "ListNetworkPolicies"),
    **_rules(
        _WEFT + "NetworkPolicyService/",
        Role.OPERATOR,
        *("CreateNetworkPolicy", "UpdateNetworkPolicy", "DeleteNetworkPolicy", "AddPolicyRules", "RemovePolicyRules"),
    ),
    **_rules(_WEFT + "ReachTestService/", Role.VIEWER, "GetReachTest", "ListReachTests", "RunReachTests"),
    **_rules(_WEFT + "AccessService/", Role.VIEWER, "GetLogin", where=Where.ANYBODY),
    **_rules(_WEFT + "AccessService/", Role.VIEWER, "WhoAmI", where=Where.CALLER),
    **_rules(_WEFT + "TokenService/", Role.ADMIN, "CreateToken", "ListTokens", "RevokeToken", where=Where.SCOPE),
    **_rules(
        _WEFT + "HostService/",
        Role.FLEET_ADMIN,
        *("AddHost", "GetHost", "ListHosts", "DrainHost", "RemoveHost"),
        where=Where.FLEET,
    ),
    **_rules(_WEFT + "VmService/", Role.VIEWER, "GetVm", "ListVms", "WatchVms"),
    # What a guest prints is not for everybody who may look at a list.
    **_rules(_WEFT + "VmService/", Role.MEMBER, "CreateVm", "DeleteVm", "ResizeVm", "ReadConsole"),
    **_rules(_WEFT + "VmService/", Role.MEMBER, "StartVm", "StopVm", "RestartVm"),
    **_rules(_WEFT + "VmTunnelService/", Role.MEMBER, "Connect"),
    **_rules(_WEFT + "SshKeyService/", Role.VIEWER, "GetSshKey", "ListSshKeys"),
    **_rules(_WEFT + "SshKeyService/", Role.MEMBER, "CreateSshKey", "DeleteSshKey"),
    **_rules(_WEFT + "QuotaService/", Role.VIEWER, "GetQuota"),
    **_rules(_WEFT + "QuotaService/", Role.FLEET_ADMIN, "SetQuota"),
    **_rules(_WEFT + "AuditService/", Role.ADMIN, "ListAuditEntries", where=Where.SCOPE),
    **_rules(_WEFT + "ReachTestService/", Role.OPERATOR, "CreateReachTest", "DeleteReachTest", "ApplyReachTests"),
}
"""By method."""
