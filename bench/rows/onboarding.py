"""New tenants (VPC, subnet, group, port) per second until Programmed, beside a script with a process per command."""

import asyncio
import time
from pathlib import Path

from bench import by_hand, programs
from bench.figure import Figure
from bench.run import Run
from bench.world import IN_FLIGHT, PATIENCE_S, node, together
from weftwork.client.client import Client, resource_ref
from weftwork.client.rules import rule
from weftwork.model.intent import Intent
from weftwork.model.security_group import PortRange, Protocol, Rule, SecurityGroup
from weftwork.program.resource import Program

TENANTS = 200
SCRIPTED = 20
"""Tenants that the script is timed for, on an empty machine; it does not get faster with more."""


def measure(run: Run) -> list[Figure]:
    tenants, scripted = run.size(TENANTS, 4), run.size(SCRIPTED, 2)
    program = programs.compiled(_intent(scripted), programs.profile())
    ours, one_by_one, nft_at_once = [], [], []
    for _ in range(run.rounds):
        one_by_one.append(_scripted_per_s(run, program, scripted, nft_at_once=False))
        ours.append(_onboarded_per_s(run, tenants))
        nft_at_once.append(_scripted_per_s(run, program, scripted, nft_at_once=True))
    what = f"onboarding {tenants} tenants until Programmed"
    each = f"script, a process per command ({scripted} tenants)"
    kinder = f"script, rules in one nft -f per tenant ({scripted} tenants)"
    return [
        Figure(what, "tenants/s", tuple(ours), tuple(one_by_one), each, must=3.0, aim=10.0, at_least=True),
        Figure(what, "tenants/s", tuple(ours), tuple(nft_at_once), kinder),
    ]


def _onboarded_per_s(run: Run, tenants: int) -> float:
    with node(run.fresh_folder("onboarding")) as running:
        return tenants / asyncio.run(_onboard(running.address, tenants))


async def _onboard(address: str, tenants: int) -> float:
    async with await Client.connect(address) as client:

        async def tenant(number: int) -> None:
            project = f"bench/p{number}"
            await client.create_vpc(project, cidr="10.0.0.0/16")
            await client.create_subnet(project, "web", cidr="10.0.8.0/24")
            await client.create_security_group(
                project, "web", ingress=[rule("tcp", "0.0.0.0/0", 80)], egress=[rule("all", "0.0.0.0/0")]
            )
            port = await client.create_port(project, name="web", subnet="web", vm="web", groups=["web"])
            event = await client.wait_programmed(resource_ref("port", project, port.id), port.revision, PATIENCE_S)
            assert event.met, f"{project} was not programmed: {event.conditions}"

        began = time.perf_counter()
        await together([lambda n=number: tenant(n) for number in range(tenants)], IN_FLIGHT)  # type: ignore[misc]
        return time.perf_counter() - began


def _scripted_per_s(run: Run, program: Program, tenants: int, *, nft_at_once: bool) -> float:
    script: Path = by_hand.write_one_by_one(program, run.fresh_folder("script"), nft_at_once=nft_at_once)
    began = time.perf_counter()
    by_hand.run_script(script)
    took_s = time.perf_counter() - began
    _remove(program)
    return tenants / took_s


def _remove(program: Program) -> None:
    """What the script made carries no mark of ours, so it goes by name."""
    names = sorted({one.scope for one in program})
    for name in names:
        programs.remove_namespace(name)


def _intent(tenants: int) -> Intent:
    """What the API makes of the calls above: the default subnet and group, and those asked for."""
    intent: Intent = {}
    for number in range(tenants):
        owner = programs.owner_of(number)
        web = SecurityGroup(
            owner,
            "web",
            "",
            (Rule(Protocol.TCP, PortRange(80, 80), programs.ANYWHERE),),
            (Rule(Protocol.ALL, None, programs.ANYWHERE),),
            0,
        )
        port = programs.port(number, 0, ("web",), subnet="web")
        project = programs.project(number, [port], [web])
        project.subnets["web"] = programs.subnet(number, "web", "10.0.32.0/24", vlan=2)
        intent[owner] = project
    return intent
