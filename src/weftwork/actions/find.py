"""From what a person types – a name, a UUID, a full id – to the thing. Whatever is another's is not found."""

from collections.abc import Mapping
from typing import TypeVar

from weftwork.access.decision import no_such_project
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Network
from weftwork.base import codes
from weftwork.base.codes import Code
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
from weftwork.model.network_policy import NetworkPolicy
from weftwork.model.peering import Peering
from weftwork.model.port import Port
from weftwork.model.reach_test import ReachTest
from weftwork.model.security_group import SecurityGroup
from weftwork.model.ssh_key import SshKey
from weftwork.model.subnet import Subnet
from weftwork.model.vm import Vm
from weftwork.model.vpc import Vpc

DEFAULT = "default"

T = TypeVar("T")


def vpc_of(network: Network, owner: ProjectKey) -> tuple[ProjectIndex, Vpc]:
    """The project's index and its VPC. Refusal VPC_NOT_FOUND."""
    here = network.view.project(owner)
    if here is None or here.intent.vpc is None:
        raise no_such_project(owner)
    return here, here.intent.vpc


def subnet_of(here: ProjectIndex, owner: ProjectKey, text: str) -> Subnet:
    """Refusal SUBNET_NOT_FOUND."""
    return _named(here.intent.subnets, owner, text, codes.SUBNET_NOT_FOUND, "subnet")


def usable_subnet(network: Network, here: ProjectIndex, owner: ProjectKey, text: str) -> Subnet:
    """One of the project's, or one that is shared with it, by full id. Refusal SUBNET_NOT_FOUND."""
    lender, _, name = text.rpartition("/")
    if lender.count("/") == 1 and lender != str(owner):
        org, project = lender.split("/")
        whose = ProjectKey(org, project)
        share = ThingKey("subnet-share", whose, f"{name}/{owner}")
        found = network.view.find(ThingKey("subnet", whose, name))
        if share in network.view.shared_with(owner) and isinstance(found, Subnet):
            return found
    return subnet_of(here, owner, text)


def group_of(here: ProjectIndex, owner: ProjectKey, text: str) -> SecurityGroup:
    """Refusal SECURITY_GROUP_NOT_FOUND."""
    return _named(here.intent.groups, owner, text, codes.SECURITY_GROUP_NOT_FOUND, "security group")


def reach_test_of(here: ProjectIndex, owner: ProjectKey, text: str) -> ReachTest:
    """Refusal REACH_TEST_NOT_FOUND."""
    return _named(here.intent.reach_tests, owner, text, codes.REACH_TEST_NOT_FOUND, "reach test")


def port_of(here: ProjectIndex, owner: ProjectKey, text: str) -> Port:
    """Refusal PORT_NOT_FOUND."""
    ports = here.intent.ports
    local = _local(owner, text)
    port = ports.get(local) or ports.get(local.lower()) or ports.get(here.port_by_name.get(local, ""))
    if port is None:
        raise _not_found(codes.PORT_NOT_FOUND, "port", owner, text)
    return port


def peering_of(here: ProjectIndex, owner: ProjectKey, text: str) -> Peering:
    """By its name, its id, or its peer: `acme/shop`. Refusal PEERING_NOT_FOUND."""
    by_peer = here.intent.peerings.get(ProjectKey(*text.split("/"))) if text.count("/") == 1 else None
    found = by_peer or here.peering_named(_local(owner, text))
    if found is None:
        raise _not_found(codes.PEERING_NOT_FOUND, "peering", owner, text)
    return found


def policy_of(here: ProjectIndex, owner: ProjectKey, text: str) -> NetworkPolicy:
    """Refusal NETWORK_POLICY_NOT_FOUND."""
    return _named(here.intent.policies, owner, text, codes.NETWORK_POLICY_NOT_FOUND, "network policy")


def vm_of(here: ProjectIndex, owner: ProjectKey, text: str) -> Vm:
    """By its name or its UUID. Refusal VM_NOT_FOUND."""
    local = _local(owner, text)
    by_id = next((one for one in here.intent.vms.values() if one.id == local), None)
    return by_id or _named(here.intent.vms, owner, text, codes.VM_NOT_FOUND, "VM")


def ssh_key_of(here: ProjectIndex, owner: ProjectKey, text: str) -> SshKey:
    """Refusal SSH_KEY_NOT_FOUND."""
    return _named(here.intent.ssh_keys, owner, text, codes.SSH_KEY_NOT_FOUND, "SSH key")


def _named(things: Mapping[str, T], owner: ProjectKey, text: str, code: Code, noun: str) -> T:
    thing = things.get(_local(owner, text))
    if thing is None:
        raise _not_found(code, noun, owner, text)
    return thing


def _local(owner: ProjectKey, text: str) -> str:
    """The last word of a full id of this project; anything else as it is."""
    return text.removeprefix(f"{owner}/") if "/" in text else text


def _not_found(code: Code, noun: str, owner: ProjectKey, text: str) -> Exception:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return code.refusal(f"project {owner} has no {noun} {shown!r}", project=str(owner))
