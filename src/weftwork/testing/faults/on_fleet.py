"""Programs of hosts of a fleet, to seed faults in: the judge sees them as it sees those of one machine."""

from collections.abc import Iterator

from weftwork.actions import rows
from weftwork.compiler.hosts import seen_from
from weftwork.model.intent import Intent, ProjectIntent
from weftwork.model.keys import ThingKey
from weftwork.model.port import Port
from weftwork.model.subnet import Subnet
from weftwork.program.resource import Program
from weftwork.testing.equivalence.cases import draw_case
from weftwork.testing.faults import of_remotes, run
from weftwork.testing.faults.draw import KINDS
from weftwork.testing.faults.tally import Faults
from weftwork.testing.fleets import GATEWAYS, HOSTS, profile_of, spread, things_of
from weftwork.verifier.linux.view import ProgramView

REMOTE_KINDS = {
    "a VTEP is another": of_remotes.vtep_wrong,
    "a VTEP is missing": of_remotes.vtep_gone,
    "a port is looked for on another host": of_remotes.entry_wrong,
    "a port on another host is missing": of_remotes.entry_gone,
    "a port on another host is foreign": of_remotes.entry_foreign,
    "a host is known that should not be, or is not": of_remotes.known_host_wrong,
}


def host_of_fleet(seed: int) -> run.World:
    """One of three hosts, by turns."""
    case = draw_case(seed)
    host = sorted(HOSTS)[seed % len(HOSTS)]

    def view(program: Program) -> ProgramView:
        return ProgramView(program, underlay=HOSTS[host].underlay, gateway_address=GATEWAYS.address)

    return run.World(seen_by(host, case.before), seen_by(host, case.after or {}), profile_of(host), view)


def seed_faults(count: int, first_seed: int = 0) -> Faults:
    """Every second fault is one that only a fleet has a place for."""
    half = count // 2
    common = run.seed_faults(half, first_seed, world_of=host_of_fleet, kinds=KINDS)
    return common + run.seed_faults(count - half, first_seed, world_of=host_of_fleet, kinds=REMOTE_KINDS)


def false_alarms(count: int, first_seed: int = 0) -> Iterator[str]:
    return run.false_alarms(count, first_seed, world_of=host_of_fleet)


def seen_by(host: str, intent: Intent) -> Intent:
    """The whole intent, its ports on hosts of the fleet, as one that holds every project sees it."""
    underlays = {name: one.underlay for name, one in HOSTS.items()}
    things = [spread(thing) for project in intent.values() for thing in things_of(project)]
    subnets = {rows.key_of(one): one for one in things if isinstance(one, Subnet)}
    seen: Intent = {owner: ProjectIntent() for owner in intent}
    for thing in things:
        key = rows.key_of(thing)
        subnet = subnets.get(ThingKey("subnet", thing.home, thing.subnet)) if isinstance(thing, Port) else None
        seen[key.owner].put(key, seen_from(host, thing, subnet, underlays))
    return seen
