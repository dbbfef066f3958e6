"""The API's messages, in one place for those who import no generated code."""

from weftwork.rpc.generated.overlay_network.v1.network_pb2 import (
    Attachment,
    Condition,
    DnatConfig,
    Port,
    PortRange,
    Protocol,
    SecurityGroup,
    SecurityRule,
    SnatConfig,
    SourceType,
    Subnet,
    Vpc,
)
from weftwork.rpc.generated.weftwork.v1.capture_pb2 import CapturedPacket, CaptureEvent
from weftwork.rpc.generated.weftwork.v1.confirmation_pb2 import Confirmation
from weftwork.rpc.generated.weftwork.v1.explain_pb2 import ExplainResponse, Explanation
from weftwork.rpc.generated.weftwork.v1.history_pb2 import ObjectChange, Revision, RollbackResponse
from weftwork.rpc.generated.weftwork.v1.network_policy_pb2 import NetworkPolicy, PolicyRule
from weftwork.rpc.generated.weftwork.v1.peering_pb2 import Peering, PeeringOffer
from weftwork.rpc.generated.weftwork.v1.project_file_pb2 import ApplyProjectResponse, ExportProjectResponse
from weftwork.rpc.generated.weftwork.v1.reach_test_pb2 import (
    ApplyReachTestsResponse,
    ReachTest,
    ReachTestResult,
    ReachTestSpec,
)
from weftwork.rpc.generated.weftwork.v1.sharing_pb2 import SubnetShare
from weftwork.rpc.generated.weftwork.v1.vm_pb2 import (
    NetworkSpec,
    Placement,
    SshKey,
    Vm,
    VmEvent,
    VmServicePort,
)
from weftwork.rpc.generated.weftwork.v1.watch_pb2 import WatchedChange, WatchEvent
from weftwork.rpc.generated.weftwork.v1.weftwork_pb2 import (
    ConditionEvent,
    Leak,
    PlanResponse,
    PlanStep,
    ResourceRef,
    Target,
    TargetState,
)

__all__ = [
    "ApplyProjectResponse",
    "ApplyReachTestsResponse",
    "Attachment",
    "CaptureEvent",
    "CapturedPacket",
    "Condition",
    "ConditionEvent",
    "Confirmation",
    "DnatConfig",
    "ExplainResponse",
    "Explanation",
    "ExportProjectResponse",
    "Leak",
    "NetworkPolicy",
    "NetworkSpec",
    "ObjectChange",
    "Peering",
    "PeeringOffer",
    "Placement",
    "PlanResponse",
    "PlanStep",
    "PolicyRule",
    "Port",
    "PortRange",
    "Protocol",
    "ReachTest",
    "ReachTestResult",
    "ReachTestSpec",
    "ResourceRef",
    "Revision",
    "RollbackResponse",
    "SecurityGroup",
    "SecurityRule",
    "SnatConfig",
    "SourceType",
    "SshKey",
    "Subnet",
    "SubnetShare",
    "Target",
    "TargetState",
    "Vm",
    "VmEvent",
    "VmServicePort",
    "Vpc",
    "WatchEvent",
    "WatchedChange",
]
