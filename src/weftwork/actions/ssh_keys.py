"""SSH keys of a project: a VM is started with those that are named for it, or with all of them."""

from weftwork.actions import rows
from weftwork.actions.claims import Draft, creation, removal
from weftwork.actions.find import ssh_key_of, vpc_of
from weftwork.actions.index import ProjectIndex
from weftwork.actions.network import Decision, Network, Stored
from weftwork.actions.pages import Page, Sift, page_of
from weftwork.actions.words import check_name
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.ssh_key import SshKey, parse_public_key
from weftwork.seams.store import Unchanged

TEXT_MAX = 4096


async def create_ssh_key(network: Network, *, owner: ProjectKey, name: str, public_key: str) -> Stored[SshKey]:
    """Refusals INVALID_NAME, INVALID_SSH_KEY, VPC_NOT_FOUND, SSH_KEY_ALREADY_EXISTS."""
    check_name(name, "SSH key")
    text = _checked(public_key)

    def decide() -> Decision[SshKey]:
        here, vpc = vpc_of(network, owner)
        existing = here.intent.ssh_keys.get(name)
        if existing is not None:
            if existing.text != text:
                raise codes.SSH_KEY_ALREADY_EXISTS.refusal(f"SSH key {name!r} is {existing.fingerprint}")
            return Decision(existing, revision=network.view.revision_of(rows.key_of(existing)))
        new = SshKey(owner, name, text, network.clock.now_s())
        in_vpc = Unchanged(str(rows.key_of(vpc)), network.view.revision_of(rows.key_of(vpc)))
        return Decision(new, creation(new) + Draft((in_vpc,)))

    return await network.run(owner, decide)


async def delete_ssh_key(network: Network, *, owner: ProjectKey, ssh_key: str) -> None:
    """Refusals VPC_NOT_FOUND, SSH_KEY_NOT_FOUND."""

    def decide() -> Decision[None]:
        gone = ssh_key_of(vpc_of(network, owner)[0], owner, ssh_key)
        return Decision(None, removal(gone, network.view.revision_of(rows.key_of(gone))))

    await network.run(owner, decide)


async def get_ssh_key(network: Network, *, owner: ProjectKey, ssh_key: str) -> Stored[SshKey]:
    """Refusals VPC_NOT_FOUND, SSH_KEY_NOT_FOUND."""
    found = ssh_key_of(vpc_of(network, owner)[0], owner, ssh_key)
    return Stored(found, network.view.revision_of(rows.key_of(found)))


async def list_ssh_keys(
    network: Network, *, owner: ProjectKey, page_size: int = 0, page_token: str = "", sift: Sift[SshKey] | None = None
) -> Page[SshKey]:
    """Refusal INVALID_PAGE_TOKEN."""
    here = network.view.project(owner) or ProjectIndex(owner)

    def stored(name: str) -> Stored[SshKey] | None:
        key = here.intent.ssh_keys.get(name)
        return Stored(key, network.view.revision_of(rows.key_of(key))) if key else None

    return await page_of(sorted(here.intent.ssh_keys), stored, page_size, page_token, sift)


def _checked(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise codes.INVALID_SSH_KEY.refusal(f"it has {len(text)} characters", field="public_key")
    try:
        return parse_public_key(text)
    except ValueError as error:
        raise codes.INVALID_SSH_KEY.refusal(str(error), field="public_key") from None
