"""Who speaks BGP with whom in a fleet: everybody with two reflectors, which run on management hosts.

Two, always: a host whose only reflector is gone forgets all that it heard from it.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from weftwork.compiler.settings import Routing
from weftwork.model.host import Host, Role

REFLECTORS = 2


def reflectors_of(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """The first by name; none while there are too few."""
    able = sorted((one for one in hosts if Role.MANAGEMENT in one.roles and one.identity), key=lambda one: one.name)
    return tuple(able[:REFLECTORS]) if len(able) >= REFLECTORS else ()


def routing_of(
    host: Host, hosts: Iterable[Host], asn: int, foreign: frozenset[IPv4Address] = frozenset()
) -> Routing | None:
    """`foreign` are speakers that are not ours. None when nobody could reflect: programs alone say where ports are."""
    all_hosts = tuple(hosts)
    reflectors = reflectors_of(all_hosts)
    if not reflectors:
        return None
    reflecting = frozenset(one.underlay for one in reflectors)
    if host.underlay not in reflecting:
        return Routing(asn, reflecting)
    others = frozenset(one.underlay for one in all_hosts) - {host.underlay} | foreign
    return Routing(asn, others, clients=others - reflecting)
