"""Roles, and where one holds. Each role may everything that those below it may."""

from dataclasses import dataclass
from enum import IntEnum

from weftwork.base.tenancy import NAME, ProjectKey


class Role(IntEnum):
    """In a project, or in every project of an organisation. `FLEET_ADMIN` holds everywhere, and over the hosts."""

    VIEWER = 1
    """Sees everything of the project."""
    MEMBER = 2
    """Makes, attaches and deletes ports: what somebody needs who runs guests."""
    OPERATOR = 3
    """Shapes the network: subnets, security groups, policies, NAT, reach tests."""
    ADMIN = 4
    """Makes and deletes the VPC, lets other projects in, gives out tokens, reads the audit log."""
    FLEET_ADMIN = 5

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")


WORDS = {role.word: role for role in Role}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in one project; without a project in all of the organisation; a fleet admin's without either."""

    role: Role
    org: str = ""
    project: str = ""

    def covers(self, owner: ProjectKey) -> bool:
        return self.role is Role.FLEET_ADMIN or (self.org == owner.org and self.project in ("", owner.project))

    def covers_scope(self, org: str, project: str) -> bool:
        """All of an organisation, or with neither, of the deployment."""
        if self.role is Role.FLEET_ADMIN:
            return True
        return bool(org) and self.org == org and self.project in ("", project)

    def __str__(self) -> str:
        """`operator@acme/web`, `viewer@acme`, `fleet-admin`: what `parse_grant` reads."""
        where = "/".join(filter(None, (self.org, self.project)))
        return f"{self.role.word}@{where}" if where else self.role.word


def parse_grant(text: str) -> Grant:
    """ValueError when it is none."""
    word, at, where = text.partition("@")
    role = WORDS.get(word)
    if role is None:
        raise ValueError(f"{word!r} is none of {', '.join(WORDS)}")
    if role is Role.FLEET_ADMIN:
        if at:
            raise ValueError("a fleet-admin is one everywhere: leave out what follows the @")
        return Grant(role)
    org, slash, project = where.partition("/")
    if not NAME.fullmatch(org) or (slash and not NAME.fullmatch(project)):
        raise ValueError(f"{text!r} is not ROLE@ORG or ROLE@ORG/PROJECT")
    return Grant(role, org, project)
