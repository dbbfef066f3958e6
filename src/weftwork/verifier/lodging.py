"""Who reaches whom in one VPC when ports of other projects are in its subnets."""

from collections.abc import Iterator
from itertools import product

from weftwork.base.tenancy import ProjectKey
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.verifier.across import End, Way, end_of, vpc_span
from weftwork.verifier.boxes import Boxes, subtract
from weftwork.verifier.policies import policy_sets
from weftwork.verifier.reach import Groups, Pair, Reach


def lodging(intent: Intent, home: ProjectKey) -> Reach:
    """The pairs with at least one port of another project; the others are in the reach of the project itself.

    Classes are called as in `across`. Every pair that something passes is in `named`.
    """
    here = intent.get(home)
    borrowers = {share.to for share in here.shares.values()} & intent.keys() if here else set()
    if here is None or not borrowers:
        return Reach()
    span = vpc_span(here)
    ends = [end_of(owner, intent[owner], home, span) for owner in (home, *sorted(borrowers))]
    return Reach(
        members={groups: members for end in ends for groups, members in end.members.items()},
        named={
            pair: boxes
            for sender, receiver in product(ends, repeat=2)
            if {sender.owner, receiver.owner} != {home}
            for pair, boxes in _judged(here, home, sender, receiver)
        },
    )


def _judged(here: ProjectIntent, home: ProjectKey, sender: End, receiver: End) -> Iterator[tuple[Pair, Boxes]]:
    """The policies of the VPC judge everybody who is there; their groups are those of its own project."""
    policies = policy_sets(here)
    for (source, destination), boxes in Way(sender, receiver).passing():
        if sender.owner != home:
            boxes = subtract(boxes, policies.denied_out(_known(home, destination)))
        if receiver.owner != home:
            boxes = subtract(boxes, policies.denied_in(_known(home, source)))
        if boxes:
            yield (source, destination), boxes


def _known(home: ProjectKey, groups: Groups) -> tuple[str, ...]:
    own = f"{home}/"
    return tuple(name.removeprefix(own) for name in groups[1:]) if groups[0] == own else ()
