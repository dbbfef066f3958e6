"""May they? A project in which the caller has no role is, to them, one that is not there."""

from weftwork.access.caller import Principal
from weftwork.access.roles import Role
from weftwork.base import codes
from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey


def no_such_project(owner: ProjectKey) -> Refusal:
    """What is said of a project that is not there, and of one that the caller may not see: the same to the byte."""
    return codes.VPC_NOT_FOUND.refusal(f"project {owner} has no VPC", project=str(owner))


def check_project(principal: Principal, owner: ProjectKey, least: Role) -> None:
    """Refusals VPC_NOT_FOUND for who has no role there, ROLE_TOO_LOW."""
    held = principal.role_in(owner)
    if held is None:
        raise no_such_project(owner)
    if held < least:
        raise _too_low(held, least, f"in project {owner}")


def check_scope(principal: Principal, org: str, project: str, least: Role) -> None:
    """Over a project, all of an organisation, or with neither, everything. Refusals as of `check_project`."""
    if org and project:
        check_project(principal, ProjectKey(org, project), least)
        return
    held = principal.role_over(org, project)
    where = f"over the organisation {org}" if org else "over the whole deployment"
    if held is None:
        raise codes.ROLE_TOO_LOW.refusal(f"this needs the role {_wanted(least, org).word} {where}")
    if held < least:
        raise _too_low(held, least, where)


def check_fleet(principal: Principal) -> None:
    """Refusal ROLE_TOO_LOW."""
    if not principal.is_fleet_admin:
        raise codes.ROLE_TOO_LOW.refusal("this needs the role fleet-admin")


def _wanted(least: Role, org: str) -> Role:
    return least if org else Role.FLEET_ADMIN


def _too_low(held: Role, least: Role, where: str) -> Refusal:
    return codes.ROLE_TOO_LOW.refusal(f"this needs the role {least.word} {where}, and yours is {held.word}")
