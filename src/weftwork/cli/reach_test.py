"""`weft reach-test`: who must reach whom, or must not, whatever else changes in the project."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weftwork.cli.changes import as_told, change, remove, show_plan
from weftwork.cli.command import Group
from weftwork.cli.completion import complete_kind
from weftwork.cli.document import API_VERSION, Document, document, fields_of
from weftwork.cli.listing import watched_listing
from weftwork.cli.nouns import REACH_TEST, Column, field
from weftwork.cli.options import How, mutating, named
from weftwork.cli.output import is_text, print_data, print_list, print_one, print_rows
from weftwork.cli.problems import ExitCode, Problem
from weftwork.cli.session import connected

if TYPE_CHECKING:
    from weftwork.client.messages import ReachTestSpec

FIELDS = ("name", "must", "source", "destination", "service")
"""What a test in a file has; all texts, and all needed."""
_TOLD = frozenset({"apiVersion", "kind", "id", "org_id", "project_id", "created_at", "revision", "conditions"})
"""What `-o yaml` prints beside them, and `apply` does not look at."""


@click.group("reach-test", cls=Group)
def reach_test() -> None:
    """What must reach whom and what must not, whatever changes."""


@reach_test.command(
    examples=(
        "weft reach-test create shop-is-open --from internet --to group:web --service tcp/443",
        "weft reach-test create db-is-private --from internet --to subnet:data --must not-reach --service all",
        "weft reach-test create web-to-db --from group:web --to port:db1 --service tcp/5432 --dry-run",
    )
)
@click.argument("name")
@click.option(
    "--from",
    "source",
    required=True,
    metavar="END",
    help="port:NAME, group:NAME, subnet:NAME, an address, a CIDR or internet; a word alone is a port.",
)
@click.option("--must", type=click.Choice(["reach", "not-reach"]), default="reach", help="[default: reach]")
@click.option("--to", "destination", required=True, metavar="END", help="As --from.")
@click.option(
    "--service",
    required=True,
    metavar="PROTOCOL[/PORTS]",
    help="tcp/443, tcp/80-90, udp/53, icmp, all: as the packets arrive (behind a DNAT, the guest's own port).",
)
@mutating
async def create(name: str, source: str, must: str, destination: str, service: str, how: How) -> None:
    """Store a test that holds now. Changes that would make it fail are refused from then on."""
    async with connected() as session:
        mutation = session.client.create_reach_test(
            session.project, name, must=must, source=source, destination=destination, service=service
        )
        await change(session, REACH_TEST, mutation, how)


@reach_test.command(
    "list", examples=("weft reach-test list", "weft reach-test list -o json", "weft -P acme/shop reach-test list")
)
@watched_listing(REACH_TEST)
async def list_tests() -> None:
    """List the project's reach tests."""
    async with connected() as session:
        print_list(REACH_TEST, await session.list(REACH_TEST))


@reach_test.command(
    examples=(
        "weft reach-test show web-to-db",
        "weft reach-test show web-to-db -o yaml",
        "weft -P a/b reach-test show t",
    )
)
@named(REACH_TEST)
async def show(name: str) -> None:
    """Show a reach test."""
    async with connected() as session:
        print_one(REACH_TEST, await session.get(REACH_TEST, name))


@reach_test.command(
    examples=(
        "weft reach-test delete web-to-db",
        "weft reach-test delete web-to-db --dry-run",
        "weft -P acme/shop reach-test delete web-to-db",
    )
)
@named(REACH_TEST)
@mutating
async def delete(name: str, how: How) -> None:
    """Delete a reach test: from then on, nothing is held against it."""
    async with connected() as session:
        found = await session.get(REACH_TEST, name)
        await remove(session, REACH_TEST, found, session.client.delete_reach_test(session.project, name), how)


@reach_test.command(
    examples=("weft reach-test run", "weft reach-test run shop-is-open db-is-private", "weft reach-test run -o json")
)
@click.argument("names", metavar="[REACH-TEST]...", nargs=-1, shell_complete=complete_kind("reach-test"))
async def run(names: tuple[str, ...]) -> None:
    """Say which tests hold now. Exit code 10 when one does not."""
    async with connected() as session:
        results = [fields_of(one) for one in await session.client.run_reach_tests(session.project, names)]
    print_rows("ReachTestResult", _RESULT_COLUMNS, results, nothing="no reach tests")
    if not all(one["holds"] for one in results):
        click.get_current_context().exit(ExitCode.DIFFERENCE)


@reach_test.command(
    examples=(
        "weft reach-test apply -f tests.yaml",
        "weft reach-test apply -f tests.yaml --prune",
        "weft reach-test apply -f tests.yaml --prune --dry-run",
    )
)
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="A YAML or JSON file; - is standard input.")
@click.option("--prune", is_flag=True, help="Delete the project's tests that are not in the file.")
@mutating
async def apply(path: str, prune: bool, how: How) -> None:
    """Make the project's tests those of a file: all of them, or on a refusal none."""
    async with connected() as session:
        specs = _read(path)
        mutation = session.client.apply_reach_tests(session.project, specs, prune=prune)
        mutation = as_told(mutation, how)
        if how.dry_run:
            return await show_plan(mutation, how)
        applied = document(await mutation)
    _print_applied(applied)
    return None


@reach_test.command(
    examples=(
        "weft reach-test export",
        "weft reach-test export -o json",
        "weft -P acme/shop reach-test export",
    )
)
async def export() -> None:
    """Print the project's tests in the form that `apply` reads."""
    async with connected() as session:
        tests = await session.list(REACH_TEST)
    data = {
        "apiVersion": API_VERSION,
        "kind": "ReachTestList",
        "items": [{name: one[name] for name in FIELDS} for one in tests],
    }
    if is_text():
        import yaml

        print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
    else:
        print_data(data)


_RESULT_COLUMNS = (
    Column("NAME", lambda one: str(one["test"]["name"])),
    Column("HOLDS", field("holds")),
    Column("TEST", lambda one: "{source} must {must} {destination} {service}".format(**one["test"])),
    Column("WHY", field("why")),
)


def _print_applied(applied: Document) -> None:
    if not is_text():
        return print_data(applied)
    for verb in ("created", "changed", "deleted", "unchanged"):
        for name in applied[verb]:
            print(f"reach-test {name} {verb}")
    return None


def _read(path: str) -> list["ReachTestSpec"]:
    import sys

    import yaml

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Problem(ExitCode.USAGE, "INVALID_FILE", f"{path}: {str(error).splitlines()[0]}") from None
    return [_spec(path, number, item) for number, item in enumerate(_items(path, data), 1)]


def _items(path: str, data: Any) -> Sequence[Any]:
    """Of a list, or of one test alone."""
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        return list(data["items"])
    if isinstance(data, list):
        return data
    if isinstance(data, dict) and "name" in data:
        return [data]
    raise _invalid(path, "it holds no reach tests: a list of them under `items` is expected")


def _spec(path: str, number: int, item: Any) -> "ReachTestSpec":
    from weftwork.client import reach_test_spec

    if not isinstance(item, dict):
        raise _invalid(path, f"item {number} is not a reach test")
    unknown = [str(name) for name in item if name not in (*FIELDS, *_TOLD)]
    missing = [name for name in FIELDS if not item.get(name)]
    if unknown or missing:
        raise _invalid(
            path, f"item {number}: {_listed('unknown field', unknown)}{_listed('no field', missing)}".rstrip()
        )
    if item["must"] not in ("reach", "not-reach"):
        raise _invalid(path, f"item {number}: must is `reach` or `not-reach`, not {item['must']!r}")
    return reach_test_spec(**{name: str(item[name]) for name in FIELDS})


def _listed(what: str, names: Iterable[str]) -> str:
    told = ", ".join(names)
    return f"{what} {told} " if told else ""


def _invalid(path: str, message: str) -> Problem:
    return Problem(ExitCode.USAGE, "INVALID_FILE", f"{path}: {message}", hint="`weft reach-test export` shows the form")
