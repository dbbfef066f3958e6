"""The name of each thing in the store (N §5.2), which is also its identity everywhere inside.

Beside the things stand claims, which make a choice exclusive by one compare each: addresses, MACs, names, VNIs.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey

Kind = Literal[
    "vpc",
    "subnet",
    "port",
    "security-group",
    "snat",
    "dnat",
    "peering",
    "network-policy",
    "reach-test",
    "subnet-share",
    "vm",
    "ssh-key",
]

ROOT = "/networks/"
JOURNAL = "/journal/"
REQUESTS = "/requests/"
CONFIRMATIONS = "/confirmations/"
ROOT_OF_MARKS = "/journal_marks/"
BEHIND_ALL = "~"
"""Sorts behind every stamp."""
_LAST = 10**16 - 1
DEPLOYMENT = "/deployment"
"""Which deployment the store is: what stands for it carries this in its marks."""

_FOLDERS: dict[Kind, str] = {
    "vpc": "vpcs",
    "subnet": "subnets",
    "port": "ports",
    "security-group": "security_groups",
    "snat": "snats",
    "dnat": "dnats",
    "peering": "peerings",
    "network-policy": "network_policies",
    "reach-test": "reach_tests",
    "subnet-share": "subnet_shares",
    "vm": "vms",
    "ssh-key": "ssh_keys",
}
KINDS = tuple(_FOLDERS)
_KINDS = {folder: kind for kind, folder in _FOLDERS.items()}
_PARTS: dict[Kind, tuple[int, ...]] = {"peering": (5,), "subnet-share": (6,)}
"""How many words a key has, below the root; else three or four."""


@dataclass(frozen=True, slots=True)
class ThingKey:
    """`name` is empty for a VPC and its SNAT, of which a project has one; a port's is its UUID,
    a peering's its peer, a share's its subnet and who it is shared with."""

    kind: Kind
    owner: ProjectKey
    name: str = ""

    def __str__(self) -> str:
        tail = f"/{self.name}" if self.name else ""
        return f"{ROOT}{_FOLDERS[self.kind]}/{self.owner}{tail}"


@lru_cache(maxsize=4096)
def parse_thing_key(key: str) -> ThingKey | None:
    """The thing a store key names; None for claims and whatever else. A change's guards ask again and again."""
    parts = key.removeprefix(ROOT).split("/")
    kind = _KINDS.get(parts[0])
    if kind is None or len(parts) not in _PARTS.get(kind, (3, 4)):
        return None
    return ThingKey(kind, ProjectKey(parts[1], parts[2]), "/".join(parts[3:]))


def peer_in(key: ThingKey) -> ProjectKey:
    """The project that a half of a peering is towards."""
    org, project = key.name.split("/")
    return ProjectKey(org, project)


def things(kind: Kind, owner: ProjectKey | None = None) -> str:
    """The prefix of all things of a kind, or of one project's."""
    return f"{ROOT}{_FOLDERS[kind]}/" + (f"{owner}/" if owner else "")


def allocated(owner: ProjectKey, subnet: str, address: Address | None = None) -> str:
    """The claim on one address of a subnet; without an address, the prefix of all."""
    return f"{ROOT}ipam/{owner}/{subnet}/allocated/" + (str(address) if address else "")


def mac_claim(owner: ProjectKey, mac: str = "") -> str:
    return f"{ROOT}macs/{owner}/{mac}"


def mac_counter(owner: ProjectKey) -> str:
    """The next block of MACs of a VPC; it only grows, so that no MAC is given twice."""
    return f"{ROOT}mac_blocks/{owner}"


def port_name(owner: ProjectKey, name: str = "") -> str:
    return f"{ROOT}port_names/{owner}/{name}"


def member(owner: ProjectKey, group: str, port_id: str = "") -> str:
    """A port's membership in a group: a group with members cannot be deleted."""
    return f"{ROOT}members/{owner}/{group}/{port_id}"


def group_reference(owner: ProjectKey, group: str, by_group: str = "") -> str:
    """A rule of `by_group` names `group`."""
    return f"{ROOT}group_references/{owner}/{group}/{by_group}"


def peer_group_reference(owner: ProjectKey, peer: ProjectKey, by_group: str = "") -> str:
    """A rule of `by_group` names some group of a peer: the half towards it cannot be deleted without the rule."""
    return f"{ROOT}peer_group_references/{owner}/{peer}/{by_group}"


def policy_reference(owner: ProjectKey, to: ThingKey, by_policy: str = "") -> str:
    """A policy names a group or a subnet, which cannot be deleted without that."""
    return f"{ROOT}policy_references/{owner}/{to.kind}/{to.name}/{by_policy}"


def peering_name(owner: ProjectKey, name: str) -> str:
    return f"{ROOT}peering_names/{owner}/{name}"


def peering_offer(to: ProjectKey, by: ProjectKey | None = None) -> str:
    """A half of `by` towards `to`; without `by`, the prefix of all halves towards `to`."""
    return f"{ROOT}peering_offers/{to}/" + (str(by) if by else "")


def lodger(home: ProjectKey, subnet: str = "", owner: ProjectKey | None = None, port_id: str = "") -> str:
    """A port of another project's in a subnet of the home's VPC; the prefix of all, of a subnet's, of a project's."""
    of_project = f"{owner}/{port_id}" if owner else ""
    return f"{ROOT}lodgers/{home}/" + (f"{subnet}/{of_project}" if subnet else "")


def plug(netns: str, interface: str) -> str:
    """The claim on one interface name inside a network namespace of the host."""
    return f"{ROOT}plugs/{netns}/{interface}"


def host_plug(host: str, netns: str = "", interface: str = "") -> str:
    """The claim on one interface name in a network namespace of a host of the fleet; the prefix of all of a host's."""
    return f"{ROOT}host_plugs/{host}/" + (f"{netns}/{interface}" if netns else "")


def host_tap(host: str, port_id: str) -> str:
    """The claim of a port that is a TAP on a host of the fleet. No interface has so long a name as a port's id."""
    return host_plug(host, "tap", port_id)


def host(name: str = "") -> str:
    """A host of the fleet; without a name, the prefix of all."""
    return f"{ROOT}hosts/{name}"


def outbox(stamp: str = "") -> str:
    """What is to be said on the bus, in the order of stamps; without one, the prefix of all."""
    return f"/outbox/{stamp}"


def guest_secret() -> str:
    """What the host keys of all VMs are derived from."""
    return "/access/guest_secret"


def fleet_authority() -> str:
    """The key and the certificate of the authority that the hosts' certificates are of."""
    return "/access/fleet_authority"


def cidr_allocation(owner: ProjectKey) -> str:
    return f"{ROOT}cidr/allocations/{owner}"


def cidr_used(cidr: Cidr) -> str:
    """The claim on one CIDR of the pool, when it was allocated from the pool."""
    return f"{ROOT}cidr/pool/used/{str(cidr).replace('/', '-')}"


def vni_claim(vni: int | None = None) -> str:
    return f"{ROOT}vnis/" + (f"{vni:08d}" if vni is not None else "")


def external_claim(address: Address | None = None) -> str:
    """An external address belongs to one VPC."""
    return f"{ROOT}external/" + (str(address) if address else "")


def external_use(address: Address, use: str = "") -> str:
    """What uses an external address (`snat`, or a DNAT's name): with the last use the claim goes."""
    return f"{ROOT}external_uses/{address}/{use}"


def dnat_target(owner: ProjectKey, address: Address, name: str = "") -> str:
    """A DNAT that points at an internal address: its port cannot be deleted without it."""
    return f"{dnat_targets(owner)}{address}/{name}"


def dnat_targets(owner: ProjectKey) -> str:
    return f"{ROOT}dnat_targets/{owner}/"


def quota(owner: ProjectKey | None = None) -> str:
    """What the operator said of one project; it stays when the project's network goes."""
    return f"{ROOT}quotas/" + (str(owner) if owner else "")


def token(token_id: str = "") -> str:
    """An API token; without an id, the prefix of all."""
    return f"/access/tokens/{token_id}"


def audit(stamp: str = "") -> str:
    """A line of the audit log that is no change of a network: those are in the journals."""
    return f"/audit/{stamp}"


def reach_guard(owner: ProjectKey | None = None) -> str:
    """Written by every change of reach in a project that has reach tests, so that none is decided on an old view."""
    return f"{ROOT}reach_guards/" + (str(owner) if owner else "")


def journal(owner: ProjectKey, stamp: str = "") -> str:
    """A line of a project's journal, which is not below the root: what was is no part of what is."""
    return f"{JOURNAL}{owner}/{stamp}"


def journal_stamp(revision: int) -> str:
    """What the stamps of lines begin with that were decided at the revision: the later, the further in front."""
    return f"{_LAST - revision:016d}"


def journal_base(key: str) -> int:
    """The revision that the change of a line was decided on: somewhat before its own."""
    return _LAST - int(key.rpartition("/")[2].partition("-")[0])


def journal_mark(at_s: int | None = None) -> str:
    """What was the newest revision at that time; without one, the prefix of all marks."""
    return f"{ROOT_OF_MARKS}{at_s:012d}" if at_s is not None else ROOT_OF_MARKS


def marked_at(key: str) -> int:
    return int(key.removeprefix(ROOT_OF_MARKS))


def journal_owner(key: str) -> ProjectKey:
    org, project, _ = key.removeprefix(JOURNAL).split("/")
    return ProjectKey(org, project)


def confirmation(owner: ProjectKey | None = None, name: str = "") -> str:
    """A change that undoes itself unless it is confirmed; the prefix of a project's, or of all."""
    return CONFIRMATIONS + (f"{owner}/{name}" if owner else "")


def request(name: str) -> str:
    """The answer to a request that is carried out once; `name` is a digest of whose it is and of its key."""
    return f"{REQUESTS}{name}"
