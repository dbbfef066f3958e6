"""Questions about ports that meet those of other projects in a shared subnet: who stands at which end."""

from collections.abc import Iterator
from ipaddress import IPv4Address

from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Network
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import peers_of
from weftwork.model.port import Port
from weftwork.verifier.beyond_project import Ends
from weftwork.verifier.model import address_of
from weftwork.verifier.packet import Inside, Outside

End = Port | IPv4Address
"""As the asker named it: a port of his own, or an address. An address is one of the VPC in which a borrowed port is."""


def meeting(network: Network, asker: ProjectKey, source: End, destination: End) -> Ends | None:
    """None when no port in a shared subnet is at an end."""
    named = [one for one in (source, destination) if isinstance(one, Port)]
    home = next((one.lender for one in named if one.lender), asker)
    begins, ends = _at(network, home, source), _at(network, home, destination)
    if not any(one is not None and one.lender for one in (begins, ends)):
        return None
    from_address, to_address = _address(source), _address(destination)
    return Ends(
        home=home,
        sender=begins if begins and begins.owner == asker else None,
        receiver=ends if ends and ends.owner == asker else None,
        source=from_address,
        destination=to_address,
        true_source=Inside(begins.owner, begins.id) if begins else Outside(from_address),
    )


def lodger_at(here: ProjectIndex, address: IPv4Address) -> Port | None:
    """Another project's port in the VPC."""
    return here.lodgers.get(here.port_by_address.get(address, ""))


def _at(network: Network, home: ProjectKey, end: End) -> Port | None:
    if isinstance(end, Port):
        return end
    return next((port for there in _near(network, home) if (port := _port_at(there, end))), None)


def _near(network: Network, home: ProjectKey) -> Iterator[ProjectIndex]:
    """The VPC, and those that it is peered with: their addresses do not overlap."""
    for owner in (home, *(peer for peer, _ in peers_of(network.view.intent, home))):
        if there := network.view.project(owner):
            yield there


def _port_at(here: ProjectIndex, address: IPv4Address) -> Port | None:
    port_id = here.port_by_address.get(address, "")
    return here.lodgers.get(port_id) or here.intent.ports.get(port_id)


def _address(end: End) -> IPv4Address:
    address = address_of(end) if isinstance(end, Port) else end
    assert address is not None, "ports have addresses of IPv4"
    return address
