"""`weft explain`: why one reaches another or not, for people, and the commands that would change it."""

import re
from dataclasses import dataclass

import click

from weftwork.cli.calls import command_of
from weftwork.cli.command import Command
from weftwork.cli.completion import complete_kind
from weftwork.cli.document import Document, document
from weftwork.cli.options import Parsed
from weftwork.cli.output import is_text, print_data
from weftwork.cli.problems import printable
from weftwork.cli.session import connected
from weftwork.cli.settings import Output, current

EXIT_UNREACHABLE = 1

_SERVICE = re.compile(r"(?P<protocol>tcp|udp)[/:](?P<port>[0-9]{1,5})|icmp|ping", re.IGNORECASE)
_MARKS = {"passes": "✓", "stops": "✗", "unknown": "?"}
_DIFFERS = {"ports": "for other ports", "peer": "for somebody else", "protocol": "for another protocol"}


@dataclass(frozen=True, slots=True)
class Service:
    """Port 0 for icmp."""

    protocol: str
    port: int


def parse_service(text: str) -> Service:
    """`tcp/443`, `udp/53`, `icmp`. ValueError says what is wrong."""
    match = _SERVICE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a service such as tcp/443, udp/53 or icmp")
    if match["port"] is None:
        return Service("icmp", 0)
    if not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"{text!r}: {match['port']} is not a port from 1 to 65535")
    return Service(match["protocol"].lower(), int(match["port"]))


@click.command(
    cls=Command,
    examples=(
        "weft explain web1 db1 tcp/5432",
        "weft explain web1 db1 icmp --live",
        "weft explain web1 192.0.2.1 udp/53 --both -o json",
    ),
)
@click.argument("source", metavar="FROM", shell_complete=complete_kind("port"))
@click.argument("destination", metavar="TO", shell_complete=complete_kind("port"))
@click.argument("service", type=Parsed("service", parse_service), metavar="SERVICE")
@click.option("--both", is_flag=True, help="Also the other way round.")
@click.option("--live", is_flag=True, help="Also send a packet, and follow it through the data plane.")
async def explain(source: str, destination: str, service: Service, both: bool, live: bool) -> None:
    """Say why one reaches another or not, everything that stops it, and the smallest change.

    FROM and TO are each a port (name or id), an address, or `internet`; one of them is the project's. SERVICE is
    tcp/PORT, udp/PORT or icmp. For a port it is the guest's own, whatever it is called outside.

    Exit code 0: it is reachable; 1: it is not, or with --live the data plane disagrees. A code such as NO_INGRESS_RULE
    has a page in docs/reference/reasons.
    """
    async with connected() as session:
        answer = await session.client.explain(
            session.project, source, destination, protocol=service.protocol, port=service.port, both=both, live=live
        )
    data = document(answer)
    told = [one for one in (data["there"], data["back"]) if one]
    for one in told:
        _add_commands(one)
    if is_text():
        print("\n\n".join("\n".join(_lines(one)) for one in told))
    elif current().output is Output.NAME:
        print("\n".join("reachable" if one["reachable"] else "unreachable" for one in told))
    else:
        print_data({"apiVersion": data["apiVersion"], "kind": "Explanation", "items": told})
    if not all(one["reachable"] and not _disagrees(one) for one in told):
        click.get_current_context().exit(EXIT_UNREACHABLE)


def _disagrees(one: Document) -> bool:
    return bool(one["live"] and one["live"]["outcome"] == "disagrees")


def _lines(one: Document) -> list[str]:
    lines = [printable(one["summary"]), "", *_hops(one)]
    if one["blockers"]:
        lines += ["", "What stops it:", *_blockers(one)]
        lines += _changes(one)
    lines += ["", printable(one["replies"]) + "."]
    if one["live"]:
        lines += ["", *_live(one["live"])]
    return lines


def _hops(one: Document) -> list[str]:
    width = max((len(hop["name"]) for hop in one["hops"]), default=0)
    lines = []
    for hop in one["hops"]:
        said = f"{hop['detail']}  {' '.join(hop['codes'])}".rstrip()
        lines.append(printable(f"  {_MARKS[hop['passage']]} {hop['station']:<8} {hop['name']:<{width}}  {said}"))
    return lines


def _blockers(one: Document) -> list[str]:
    lines = []
    for blocker in one["blockers"]:
        reason = blocker["reason"]
        where = f" ({reason['thing']})" if reason["thing"] else ""
        lines.append(printable(f"  {reason['code']}{where}: {reason['meaning']}"))
        for near in blocker["near_misses"]:
            lines.append(printable(f"      {near['security_group']} has {near['rule']!r}, {_DIFFERS[near['differs']]}"))
    return lines


def _no_change(one: Document) -> str:
    """Of a packet that another project judges, too, no change is told, though one of this side may be needed."""
    is_beyond = any(hop["station"] == "beyond" for hop in one["hops"])
    if is_beyond and any(blocker["reason"]["code"] != "REFUSED_BY_OTHER_SIDE" for blocker in one["blockers"]):
        return "This project's side stops it. Whether the other side would, too, shows when this one does not."
    return "No change of this project alone would help."


def _changes(one: Document) -> list[str]:
    if not one["changes"]:
        reasons = dict.fromkeys(blocker["reason"]["what_to_do"] for blocker in one["blockers"])
        return ["", _no_change(one), *(printable(f"  {reason}") for reason in reasons)]
    lines = []
    for number, change in enumerate(one["changes"]):
        lines += ["", "Or:" if number else "The smallest change:"]
        lines += [printable(f"  {command}") for command in change["commands"]]
        lines.append(printable(f"      {_opens(change)}"))
    return lines


def _opens(change: Document) -> str:
    count = change["opens_beside"]
    if not count:
        return "opens just this"
    examples = [
        f"{_end(pair['source'])} to {_end(pair['destination'])} {pair['services']}" for pair in change["examples"]
    ]
    more = ", …" if count > len(examples) else ""
    return f"opens more than this, for {count} pair{'s' if count > 1 else ''}: {'; '.join(examples)}{more}"


def _end(name: str) -> str:
    return name or "outside"


def _live(live: Document) -> list[str]:
    heads = {
        "agrees": "Live: the data plane agrees",
        "disagrees": "Live: THE DATA PLANE DISAGREES",
        "not-tried": "Live: not tried",
    }
    return [
        printable(f"{heads[live['outcome']]}. {live['detail']}"),
        *(printable(f"  {line}") for line in live["trace"]),
    ]


def _add_commands(one: Document) -> None:
    """The commands stand beside the calls; and of each call only what it says."""
    for change in one["changes"]:
        calls = [next((kind, call) for kind, call in mutation.items() if call) for mutation in change["mutations"]]
        change["mutations"] = [{kind: call} for kind, call in calls]
        change["commands"] = [command_of(kind, call) for kind, call in calls]
