"""External addresses: each belongs to one VPC from its first use to its last.

Every change of the uses also writes the claim, so that two changes at the same time cannot both miss each other.
"""

from collections.abc import Collection, Iterator

from weftwork.actions.claims import Draft, joined
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Network
from weftwork.allocator.external import why_not_offered
from weftwork.base import codes
from weftwork.base.addresses import Address
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.nat import Dnat, Snat
from weftwork.seams.store import Put, Remove, Unchanged


def use(network: Network, owner: ProjectKey, address: Address) -> Draft:
    """The VPC makes use of the address. Refusals IPV6_NOT_SUPPORTED, EXTERNAL_IP_NOT_OFFERED, EXTERNAL_IP_NOT_ALLOWED,
    EXTERNAL_IP_IN_USE.
    """
    settings = network.settings
    if address.version != 4:
        raise codes.IPV6_NOT_SUPPORTED.refusal(f"{address} is an IPv6 address; NAT is for IPv4", field="external_ip")
    if refused := why_not_offered(settings.external, settings.external_gateway, address):
        raise codes.EXTERNAL_IP_NOT_OFFERED.refusal(f"{address} {refused}", field="external_ip")
    network.quota_guard.of(owner).check_external(owner, address)
    claim = network.view.external.get(address)
    if claim is not None and claim.owner != str(owner):
        raise codes.EXTERNAL_IP_IN_USE.refusal(f"{address} belongs to another VPC", field="external_ip")
    key = keys.external_claim(address)
    return Draft((Unchanged(key, claim.revision if claim else 0),), (Put(key, str(owner).encode()),))


def release(network: Network, here: ProjectIndex, gone: Collection[Snat | Dnat]) -> Draft:
    """The VPC stops using the addresses of what is `gone`; those that nothing else of it uses are free again."""
    leaving = frozenset(gone)
    left = {one.external_ip for one in _uses(here) if one not in leaving}
    return joined(
        _release(network, owner, address, stays=address in left)
        for owner, address in sorted({(one.owner, one.external_ip) for one in gone})
    )


def exchanged(network: Network, owner: ProjectKey, here: ProjectIndex, wanted: Collection[Snat | Dnat]) -> Draft:
    """The VPC uses the addresses of what is `wanted` instead of those it uses. Refusals as of `use`."""
    before, after = ({one.external_ip for one in uses} for uses in (_uses(here), wanted))
    stay = before & after if set(_uses(here)) != set(wanted) else set()
    return joined(
        (
            *(use(network, owner, address) for address in sorted(after - before)),
            *(_release(network, owner, address, stays=False) for address in sorted(before - after)),
            *(_release(network, owner, address, stays=True) for address in sorted(stay)),
        )
    )


def _release(network: Network, owner: ProjectKey, address: Address, *, stays: bool) -> Draft:
    key = keys.external_claim(address)
    claim = network.view.external.get(address)
    return Draft(
        (Unchanged(key, claim.revision if claim else 0),),
        (Put(key, str(owner).encode()) if stays else Remove(key),),
    )


def _uses(here: ProjectIndex) -> Iterator[Snat | Dnat]:
    if here.intent.snat:
        yield here.intent.snat
    yield from here.intent.dnats.values()
