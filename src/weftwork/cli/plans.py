"""A dry run as text: the objects of the intent, the steps on each host, and who may talk to whom."""

from itertools import groupby
from typing import TYPE_CHECKING

import click

from weftwork.cli.document import Document, document
from weftwork.cli.output import is_text, print_data
from weftwork.cli.problems import ExitCode, printable

if TYPE_CHECKING:
    from weftwork.client.messages import PlanResponse

_REACH = {
    "pairs": ("pair of ports", "pairs of ports"),
    "outwards": ("port to the internet", "ports to the internet"),
    "forwards": ("DNAT from the internet", "DNATs from the internet"),
}
_SIGNS = {"create": "+", "replace": "~", "delete": "-"}


def print_plan(plan: "PlanResponse") -> None:
    data = {**document(plan), "kind": "Plan"}
    if not is_text():
        return print_data(data)
    if not data["objects"] and not data["steps"]:
        print("nothing would change")
    else:
        print("objects:" if data["objects"] else "objects: none")
        for line in data["objects"]:
            print(f"  {printable(line)}")
        print("steps:" if data["steps"] else "steps: none")
        print_steps(data["steps"])
        print("reach:" if data["reach"] else "reach: unchanged")
        _print_reach(data["reach"])
    return None


def _print_reach(projects: list[Document]) -> None:
    for project in projects:
        print(f"  {printable(project['org_id'])}/{printable(project['project_id'])}")
        for sign, share in (("+", project["gained"]), ("-", project["lost"])):
            counts = [_counted(share[field], *words) for field, words in _REACH.items() if share[field]]
            if counts:
                print(f"    {sign} {', '.join(counts)}")
            for one in share["examples"]:
                print(f"      {printable(one['source'])} -> {printable(one['destination'])} {one['packets']}")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def print_steps(steps: list[Document]) -> None:
    """Grouped by host and scope, in their order."""
    for (host, scope), group in groupby(steps, key=lambda step: (step["host"], step["scope"])):
        print(f"  {printable(host)} {printable(scope)}".rstrip())
        for step in group:
            if step["old_text"]:
                print(f"    - {printable(step['old_text'])}")
            sign = "+" if step["old_text"] else _SIGNS.get(step["action"], "?")
            print(f"    {sign} {printable(step['text'])}")


def leave_with(plan: "PlanResponse", exit_code: bool) -> None:
    """With --exit-code, 10 says that there is a difference."""
    if exit_code and (plan.objects or plan.steps):
        click.get_current_context().exit(ExitCode.DIFFERENCE)
