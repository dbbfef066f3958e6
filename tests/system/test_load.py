"""A hundred clients at once in one subnet: in the end none has what another has, and the kernel has what is stored."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence

from weftwork.client.client import Client
from weftwork.client.errors import ApiError
from weftwork.client.rules import rule
from weftwork.testing.node import Node

CLIENTS = 100
LOAD_S = float(os.environ.get("WEFT_LOAD_S", "60"))
PROMISED = {
    "IN_USE",
    "PORT_NOT_FOUND",
    "PORT_ALREADY_EXISTS",
    "PORT_ALREADY_ATTACHED",
    "IP_ALREADY_ALLOCATED",
    "SECURITY_GROUP_NOT_FOUND",
    "SECURITY_GROUP_ALREADY_EXISTS",
    "SUBNET_EXHAUSTED",
    "TOO_MANY_CONFLICTS",
    "RESOURCE_EXHAUSTED",
}
"""What a call may be refused with when others change the same things."""


class Visitor:
    """One client: makes, changes and deletes ports and groups, its own and sometimes another's."""

    def __init__(self, client: Client, project: str, number: int, seed: int) -> None:
        self.client = client
        self.project = project
        self.number = number
        self.dice = random.Random(f"{seed}/{number}")
        self.mine: list[str] = []
        self.made = 0

    async def act(self, everybody: Sequence["Visitor"]) -> str:
        """One change; the reason code when it was refused, else the change's name."""
        change = self.dice.choices(("create", "delete", "group", "groups", "attach", "fixed"), (5, 4, 1, 2, 2, 1))[0]
        try:
            await self._change(change, everybody)
        except ApiError as error:
            return error.reason
        return change

    async def _change(self, change: str, everybody: Sequence["Visitor"]) -> None:
        project = self.project
        victim = self._somebodys_port(everybody)
        match change:
            case "create":
                self.made += 1
                name = f"p{self.number}-{self.made}"
                await self.client.create_port(project, name=name, vm=self.dice.choice(("", f"vm-{name}")))
                self.mine.append(name)
            case "fixed":
                self.made += 1
                name = f"f{self.number}-{self.made}"
                await self.client.create_port(project, name=name, ip=f"10.20.0.{self.dice.randrange(2, 250)}")
                self.mine.append(name)
            case "delete" if victim:
                for visitor in everybody:
                    if victim in visitor.mine:
                        visitor.mine.remove(victim)
                await self.client.delete_port(project, victim)
            case "group":
                group = f"g{self.dice.randrange(5)}"
                rules = [rule("tcp", "10.20.0.0/16", self.dice.randrange(1, 60000))]
                if self.dice.random() < 0.3:
                    await self.client.delete_security_group(project, group, cascade=True)
                else:
                    await self.client.create_security_group(project, group)
                    await self.client.add_rules(project, group, ingress=rules)
            case "groups" if victim:
                groups = self.dice.sample(("default", "g0", "g1", "g2"), self.dice.randrange(3))
                await self.client.set_security_groups(project, victim, groups)
            case "attach" if victim:
                if self.dice.random() < 0.5:
                    await self.client.attach_port(project, victim, f"vm-{self.number}")
                else:
                    await self.client.detach_port(project, victim)

    def _somebodys_port(self, everybody: Sequence["Visitor"]) -> str:
        whose = self if self.dice.random() < 0.7 else self.dice.choice(everybody)
        return self.dice.choice(whose.mine) if whose.mine else ""


async def rush(address: str, project: str, seed: int, for_s: float) -> Counter[str]:
    clients = await asyncio.gather(*(Client.connect(address, connect_timeout_s=30) for _ in range(CLIENTS)))
    visitors = [Visitor(client, project, number, seed) for number, client in enumerate(clients)]
    outcomes: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    end = loop.time() + for_s

    async def stay(visitor: Visitor) -> None:
        while loop.time() < end:
            outcomes[await visitor.act(visitors)] += 1

    await asyncio.gather(*map(stay, visitors))
    await asyncio.gather(*(client.close() for client in clients))
    return outcomes


def test_a_hundred_clients_in_one_subnet_leave_no_contradiction(tenant: Callable, node: Node) -> None:
    mine = tenant()
    seed = random.randrange(1 << 32)
    outcomes = asyncio.run(rush(node.address, mine.project, seed, LOAD_S))
    print(f"seed {seed}: {sum(outcomes.values())} calls in {LOAD_S:.0f} s: {dict(outcomes.most_common())}")
    done = {"create", "delete", "group", "groups", "attach", "fixed"}
    assert set(outcomes) <= done | PROMISED
    assert all(outcomes[change] for change in done), "every kind of change got through"
    mine.cloud.settle()
    ports = mine.cloud.collect(mine.cloud.client.list_ports(mine.project))
    assert len({port.ip_address for port in ports}) == len(ports), "two ports have one address"
    assert len({port.mac_address for port in ports}) == len(ports), "two ports have one MAC"
    assert mine.cloud.leaks() == []
    assert mine.cloud.drift() == [], "the kernel holds what is stored"
