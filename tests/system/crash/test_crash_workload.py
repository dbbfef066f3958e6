"""Killed at random times under a random load: what was acknowledged is there, what was under way is whole or absent."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from crash_cases import DNAT_IP, LAB, SNAT_IP, delete_dnat, found, has_dnat, has_interface, has_snat, has_vpc
from crash_choice import ROUNDS
from crash_world import PROBE, World

from weftwork.client.client import Client
from weftwork.testing.guests import Guest

ABSENT = "absent"
"""A state: nothing of it is there."""

Call = Callable[[Client], Awaitable[object]]


@dataclass
class Machine:
    """Something with states, and calls that lead from one to another. `possible` are the states it may be in now."""

    name: str
    moves: dict[str, dict[str, Call]]
    read: Callable[[World], str]
    possible: set[str] = field(default_factory=lambda: {ABSENT})
    acknowledged: int = 0

    async def run(self, client: Client, chance: random.Random) -> None:
        """One move after the other, until the node is gone."""
        (state,) = self.possible
        while True:
            following = chance.choice(sorted(self.moves[state]))
            self.possible = {state, following}
            await self.moves[state][following](client)
            state = following
            self.possible = {state}
            self.acknowledged += 1
            await asyncio.sleep(chance.uniform(0, 0.02))


def port_machine(name: str, guest: Guest) -> Machine:
    def read(world: World) -> str:
        port = found(world, world.cloud.client.get_port(PROBE, name))
        if port is None:
            return ABSENT
        return "plugged" if port.attachment.netns else "tapped" if port.vm_id else "loose"

    def delete(client: Client) -> Awaitable[object]:
        return client.delete_port(PROBE, name)

    moves: dict[str, dict[str, Call]] = {
        ABSENT: {"loose": lambda c: c.create_port(PROBE, name=name, subnet="default", groups=["web"])},
        "loose": {
            ABSENT: delete,
            "tapped": lambda c: c.attach_port(PROBE, name, f"vm-{name}"),
            "plugged": lambda c: c.plug_port(PROBE, name, guest.name),
        },
        "tapped": {ABSENT: delete, "loose": lambda c: c.detach_port(PROBE, name)},
        "plugged": {ABSENT: delete, "loose": lambda c: c.unplug_port(PROBE, name)},
    }
    return Machine(name, moves, read)


def group_machine(name: str) -> Machine:
    def read(world: World) -> str:
        group = found(world, world.cloud.client.get_security_group(PROBE, name))
        return ABSENT if group is None else f"{len(group.ingress_rules)} rules"

    def delete(client: Client) -> Awaitable[object]:
        return client.delete_security_group(PROBE, name)

    moves: dict[str, dict[str, Call]] = {
        ABSENT: {"0 rules": lambda c: c.create_security_group(PROBE, name)},
        "0 rules": {ABSENT: delete, "2 rules": lambda c: c.add_rules(PROBE, name, ingress=LAB)},
        "2 rules": {ABSENT: delete, "0 rules": lambda c: c.update_security_group(PROBE, name, ingress=[])},
    }
    return Machine(name, moves, read)


def there_or_not(name: str, create: Call, delete: Call, is_there: Callable[[World], bool]) -> Machine:
    moves = {ABSENT: {"there": create}, "there": {ABSENT: delete}}
    return Machine(name, moves, lambda world: "there" if is_there(world) else ABSENT)


def vpc_machine(project: str) -> Machine:
    return there_or_not(
        project,
        lambda c: c.create_vpc(project, cidr="10.30.0.0/16"),
        lambda c: c.delete_vpc(project, cascade=True),
        has_vpc(project),
    )


@pytest.fixture
def machines(world: World) -> Iterator[list[Machine]]:
    with ExitStack() as stack:
        guests = [stack.enter_context(Guest.boot(f"wc-w{number}")) for number in range(4)]
        yield [
            *(port_machine(guest.name, guest) for guest in guests),
            *(group_machine(f"g{number}") for number in range(3)),
            *(vpc_machine(f"crash/v{number}") for number in range(3)),
            there_or_not(
                "subnet",
                lambda c: c.create_subnet(PROBE, "more", cidr="10.30.8.0/24"),
                lambda c: c.delete_subnet(PROBE, "more"),
                lambda w: found(w, w.cloud.client.get_subnet(PROBE, "more")) is not None,
            ),
            there_or_not(
                "SNAT",
                lambda c: c.create_snat(PROBE, external_ip=SNAT_IP),
                lambda c: c.delete_snat(PROBE),
                has_snat,
            ),
            there_or_not(
                "DNAT",
                lambda c: c.create_dnat(
                    PROBE,
                    external_ip=DNAT_IP,
                    external_port=8080,
                    protocol="tcp",
                    internal_ip=world.b.address,
                    internal_port=80,
                ),
                delete_dnat,
                has_dnat,
            ),
        ]


def test_killed_at_any_moment_under_load(world: World, machines: list[Machine], chance: random.Random) -> None:
    for number in range(ROUNDS):
        work_until_killed(world, machines, chance, after_s=chance.uniform(0.02, 0.5))
        world.restart()
        for machine in machines:
            state = machine.read(world)
            assert state in machine.possible, f"round {number}: {machine.name} is {state}, not {machine.possible}"
            machine.possible = {state}
        world.check()
        for machine in machines:
            if machine.name.startswith("wc-w"):
                assert has_interface(Guest(machine.name)) == (machine.possible == {"plugged"}), machine.name
    acknowledged = sum(machine.acknowledged for machine in machines)
    print(f"\n{ROUNDS} kills, {acknowledged} calls acknowledged, none lost")
    assert acknowledged > 10 * ROUNDS


def work_until_killed(world: World, machines: list[Machine], chance: random.Random, after_s: float) -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            for machine in machines:
                tasks.create_task(machine.run(world.cloud.client, random.Random(chance.randrange(2**32))))

    load = world.cloud.begin(work())
    with contextlib.suppress(TimeoutError):
        load.result(after_s)  # a call that is refused ends the load
    world.node.kill()
    load.cancel()
    with contextlib.suppress(ExceptionGroup, CancelledError):
        load.result(5)
