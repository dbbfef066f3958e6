"""Who reaches whom, and why not: from what a person types to a question, and the verifier's answer to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from weftwork.actions.find import port_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.meeting import lodger_at, meeting
from weftwork.actions.network import Network
from weftwork.allocator.external import next_external
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import ProjectIntent, peers_of
from weftwork.model.port import Port
from weftwork.model.vpc import Vpc
from weftwork.verifier.at_home import at_home
from weftwork.verifier.beyond_project import explain_beyond
from weftwork.verifier.explain import Explanation, explain
from weftwork.verifier.packet import Inside, Outside
from weftwork.verifier.question import Question

INTERNET = "internet"
_FAR = tuple(map(IPv4Address, ("192.0.2.1", "198.51.100.1", "203.0.113.1", "1.1.1.1")))
"""Who stands for the internet: the first that is neither the VPC's nor the operator's."""


@dataclass(frozen=True, slots=True)
class Explained:
    """`project` is the asker's."""

    explanation: Explanation
    project: ProjectIntent
    source: str
    destination: str


async def explain_flow(
    network: Network, *, owner: ProjectKey, source: str, destination: str, protocol: int, destination_port: int
) -> Explained:
    """Each end is a port's name or id, an address, or `internet`.

    Refusals VPC_NOT_FOUND, PORT_NOT_FOUND, IPV6_NOT_SUPPORTED, INVALID_ARGUMENT when no end is the project's.
    """
    here, vpc = vpc_of(network, owner)
    named = (_named(network, here, vpc, source, "source"), _named(network, here, vpc, destination, "destination"))
    ends = meeting(network, owner, *named)
    if ends is not None and (ends.sender or ends.receiver):
        source_end = _inside(ends.sender) if ends.sender else Outside(ends.source)
        question = Question(owner, source_end, ends.destination, protocol, destination_port)
        explanation = explain_beyond(network.view.intent, question, ends)
        return Explained(explanation, here.intent, _shown(here, source), _shown(here, destination))
    question = Question(
        project=owner,
        source=_source(network, here, vpc, source),
        destination=_destination(network, here, vpc, destination),
        protocol=protocol,
        destination_port=destination_port,
        anyone=INTERNET in (source, destination),
    )
    _check_ours(here, vpc, question)
    spare = next_external(
        network.settings.external, network.settings.external_gateway, network.view.external.__contains__
    )
    intent = at_home(network.view.intent) if ends is not None else network.view.intent
    explanation = explain(intent, question, spare=spare, standing=lambda: network.reach.of(owner))
    return Explained(explanation, here.intent, _shown(here, source), _shown(here, destination))


def _named(network: Network, here: ProjectIndex, vpc: Vpc, text: str, field: str) -> Port | IPv4Address:
    if text == INTERNET:
        return _far(network, vpc)
    return _address(text, field) or port_of(here, vpc.owner, text)


def _source(network: Network, here: ProjectIndex, vpc: Vpc, text: str) -> Inside | Outside:
    if text == INTERNET:
        return Outside(_far(network, vpc))
    address = _address(text, "source")
    if address is None:
        return _inside(port_of(here, vpc.owner, text))
    if port := _port_at(here, address):
        return _inside(port)
    if at_peer := _port_of_peer(network, vpc, address):
        return at_peer
    if address in vpc.cidr:
        message = f"no port of project {vpc.owner} has the address {address}, so nobody sends from it"
        raise codes.PORT_NOT_FOUND.refusal(message, field="source")
    return Outside(address)


def _destination(network: Network, here: ProjectIndex, vpc: Vpc, text: str) -> Inside | IPv4Address:
    if text == INTERNET:
        return _far(network, vpc)
    address = _address(text, "destination")
    if address is None:
        return _inside(port_of(here, vpc.owner, text))
    port = _port_at(here, address)
    return _inside(port) if port else address


def _check_ours(here: ProjectIndex, vpc: Vpc, question: Question) -> None:
    ends = (question.source, question.destination)
    if any(isinstance(end, Inside) and end.owner == vpc.owner for end in ends):
        return
    if question.destination in vpc.cidr or question.destination in set(_external(here)):
        return
    raise codes.INVALID_ARGUMENT.refusal(
        f"neither end is of project {vpc.owner}",
        hint="Name a port, or an address that is inside the VPC or is one of its external addresses.",
        field="destination",
    )


def _external(here: ProjectIndex) -> Iterator[object]:
    yield from (dnat.external_ip for dnat in here.intent.dnats.values())
    if here.intent.snat:
        yield here.intent.snat.external_ip


def _far(network: Network, vpc: Vpc) -> IPv4Address:
    taken = (vpc.cidr, *network.settings.external)
    return next((one for one in _FAR if not any(one in cidr for cidr in taken)), _FAR[-1])


def _address(text: str, field: str) -> IPv4Address | None:
    """None for what is no address, and so a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if not isinstance(address, IPv4Address):
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{address}: VPCs carry IPv4 for now", field=field)
    return address


def _port_at(here: ProjectIndex, address: IPv4Address) -> Port | None:
    port_id = here.port_by_address.get(address)
    return here.intent.ports.get(port_id) if port_id else None


def _port_of_peer(network: Network, vpc: Vpc, address: IPv4Address) -> Inside | None:
    """Whoever sends from an address of a peered VPC, as a port of that VPC's; nothing but its address is told of it."""
    for owner, peer in peers_of(network.view.intent, vpc.owner):
        there = network.view.project(owner)
        if there is not None and peer.vpc and address in peer.vpc.cidr:
            port = _port_at(there, address) or lodger_at(there, address)
            return Inside(owner, port.id) if port else None
    return None


def _inside(port: Port) -> Inside:
    return Inside(port.owner, port.id)


def _shown(here: ProjectIndex, text: str) -> str:
    """The port's name, when an address or an id was typed."""
    try:
        address = ip_address(text)
    except ValueError:
        port = here.intent.ports.get(text)
        return port.name or port.id if port else text
    port_id = here.port_by_address.get(address)
    port = here.intent.ports.get(port_id) if port_id else None
    return (port.name or port.id) if port else text
