"""What a project has logged of its packets: a property of its VPC."""

from dataclasses import replace

from weftwork.actions import rows
from weftwork.actions.claims import Draft
from weftwork.actions.find import vpc_of
from weftwork.actions.network import Decision, Network, Stored
from weftwork.base import codes
from weftwork.base.tenancy import ProjectKey
from weftwork.model.vpc import FlowLog, Vpc
from weftwork.seams.store import Put, Unchanged

SAMPLE_MAX = 65536


def get_flow_log(network: Network, owner: ProjectKey) -> Stored[Vpc]:
    """Refusal VPC_NOT_FOUND."""
    _, vpc = vpc_of(network, owner)
    return Stored(vpc, network.view.revision_of(rows.key_of(vpc)))


async def set_flow_log(network: Network, owner: ProjectKey, flow_log: FlowLog | None) -> Stored[Vpc]:
    """Refusals VPC_NOT_FOUND, INVALID_ARGUMENT, BACKEND_UNSUPPORTED."""
    if flow_log is not None and not 1 <= flow_log.sample <= SAMPLE_MAX:
        message = f"sample: one of {flow_log.sample} is not one of 1 to {SAMPLE_MAX}"
        raise codes.INVALID_ARGUMENT.refusal(message, field="sample")

    def decide() -> Decision[Vpc]:
        _, vpc = vpc_of(network, owner)
        key = rows.key_of(vpc)
        revision = network.view.revision_of(key)
        new = replace(vpc, flow_log=flow_log)
        if new == vpc:
            return Decision(vpc, revision=revision)
        return Decision(new, Draft((Unchanged(str(key), revision),), (Put(str(key), rows.encode(new)),)))

    return await network.run(owner, decide)
