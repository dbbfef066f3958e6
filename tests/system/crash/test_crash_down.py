"""`weft down` killed at every step: run again it ends with nothing left, and `weft up` instead brings all back."""

import random
from pathlib import Path

from crash_cases import full_vpc
from crash_choice import chosen
from crash_world import World


def test_down_killed_at_every_step(world: World, chance: random.Random) -> None:
    full_vpc(world)
    world.node.stop()
    world.node.points.arm(0)
    assert world.node.take_down()
    steps = world.node.points.names
    assert namespaces_of_ours() == []
    for number, fatal in enumerate(chosen(steps, chance)):
        world.restart()
        world.cloud.settle()
        world.node.stop()
        world.node.points.arm(fatal)
        if not world.node.take_down():
            world.deaths.append(world.node.points.names[-1])
        world.node.points.disarm()
        if number % 2:
            assert world.node.take_down()
            assert namespaces_of_ours() == []
        world.restart()
        world.cloud.settle()
        world.rewire()
        world.check()


def namespaces_of_ours() -> list[str]:
    return [path.name for path in Path("/run/netns").iterdir() if path.name.startswith("weft-")]
