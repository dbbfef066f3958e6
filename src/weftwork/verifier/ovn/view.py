"""The rows that stand, and whose they are."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from weftwork.base.addresses import Address, Cidr
from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent
from weftwork.program.resource import Resource
from weftwork.verifier.ovn.rows import Rows


class RowsView(Rows):
    """`gateway` is the way out of the external network, which holds `networks`; `has_chassis`: devices are ours."""

    def __init__(
        self,
        program: Iterable[Resource] = (),
        *,
        gateway: Address | None = None,
        networks: Iterable[Cidr] = (),
        has_chassis: bool = True,
    ) -> None:
        self.has_chassis = has_chassis
        self.gateway = gateway if isinstance(gateway, IPv4Address) else None
        self.networks = tuple(one for one in networks if isinstance(one, IPv4Network))
        self._owners: dict[str, ProjectKey] = {}
        super().__init__(program)

    def owner_of(self, scope: str, intent: Intent) -> ProjectKey | None:
        """Whose VPC has the scope. What was found once is asked first."""
        known = self._owners.get(scope)
        if known is None or _scope_of(intent, known) != scope:
            known = next((owner for owner in intent if _scope_of(intent, owner) == scope), None)
            if known is not None:
                self._owners[scope] = known
        return known


def _scope_of(intent: Intent, owner: ProjectKey) -> str:
    project = intent.get(owner)
    return project.vpc.netns if project and project.vpc else ""
