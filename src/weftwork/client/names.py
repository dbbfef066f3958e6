"""What people write for projects, protocols and things, as the API's messages have it."""

from collections.abc import Sequence
from typing import Any

from weftwork.base.tenancy import ProjectKey
from weftwork.client import messages
from weftwork.client.messages import ResourceRef, SecurityRule
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2, weftwork_pb2

Project = ProjectKey | str
"""`acme/web`, or the same as a value."""


def project_key(project: Project) -> ProjectKey:
    if isinstance(project, ProjectKey):
        return project
    org, _, name = project.partition("/")
    return ProjectKey(org, name)


def in_project(project: Project) -> dict[str, Any]:
    key = project_key(project)
    return {"org_id": key.org, "project_id": key.project}


def resource_ref(kind: str, project: Project, id: str = "") -> ResourceRef:
    """`kind` is vpc, subnet, port, security-group, snat, dnat, peering, network-policy, subnet-share, vm or
    ssh-key; `id` a name or id.

    A VPC and its SNAT need none.
    """
    key = project_key(project)
    return ResourceRef(kind=kind, org_id=key.org, project_id=key.project, id=id)


def reach_test_spec(name: str, *, must: str, source: str, destination: str, service: str) -> messages.ReachTestSpec:
    """ValueError when `must` is neither `reach` nor `not-reach`."""
    value = reach_test_pb2.Must.Value(f"MUST_{must.upper().replace('-', '_')}")
    return messages.ReachTestSpec(name=name, must=value, source=source, destination=destination, service=service)


def protocol_of(text: str) -> messages.Protocol.ValueType:
    """ValueError for an unknown one."""
    return messages.Protocol.Value(f"PROTOCOL_{text.upper()}")


def change_rules(
    project: Project, group: str, ingress: Sequence[SecurityRule], egress: Sequence[SecurityRule]
) -> weftwork_pb2.ChangeRulesRequest:
    return weftwork_pb2.ChangeRulesRequest(
        **in_project(project), security_group_id=group, ingress_rules=ingress, egress_rules=egress
    )
