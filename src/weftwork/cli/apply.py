"""`weft apply`, `weft diff`, `weft export` and `weft schema`: a project as files."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weftwork.base.errors import Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.cli.changes import as_told
from weftwork.cli.command import Command
from weftwork.cli.document import API_VERSION, Document, document
from weftwork.cli.history import print_changes, wait_for_changes
from weftwork.cli.options import How, mutating
from weftwork.cli.output import is_text, print_data
from weftwork.cli.plans import leave_with, print_plan
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.session import Session, connected
from weftwork.cli.settings import Output, current

if TYPE_CHECKING:
    from weftwork.client import Mutation

ENDINGS = (".yaml", ".yml", ".json")
STDIN = "-"

_file_option = click.option(
    "-f",
    "--file",
    "paths",
    required=True,
    multiple=True,
    metavar="FILE",
    help="A YAML or JSON file, a directory of such, or - for standard input. Repeatable.",
)
_prune_option = click.option(
    "--prune", is_flag=True, help="Delete what is in none of the sections that the files have."
)
_replace_option = click.option("--replace", is_flag=True, help="Delete and make again what cannot be changed in place.")


@click.command(
    cls=Command,
    examples=(
        "weft apply -f project.yaml",
        "weft apply -f network/ --prune --dry-run",
        "weft apply -f shop.yaml -f ops.yaml --replace",
    ),
)
@_file_option
@_prune_option
@_replace_option
@click.option(
    "--base-revision",
    type=click.IntRange(0),
    default=None,
    metavar="REV",
    help="Only if that is the project's last revision still.  [default: what it is when the command starts]",
)
@mutating
async def apply(paths: tuple[str, ...], prune: bool, replace: bool, base_revision: int | None, how: How) -> None:
    """Make projects what files say: all that is different in one change, or nothing.

    With --dry-run the exit code is 10 when anything would change, and 0 when not.
    """
    async with connected() as session:
        await _apply(session, _read(paths), how, prune=prune, replace=replace, base_revision=base_revision)


@click.command(
    cls=Command,
    examples=("weft diff -f project.yaml", "weft diff -f network/ --prune", "weft diff -f project.yaml -o json"),
)
@_file_option
@_prune_option
@_replace_option
async def diff(paths: tuple[str, ...], prune: bool, replace: bool) -> None:
    """Show what `weft apply` would change, in objects, on the hosts and in who reaches whom; exit code 10 then."""
    how = How(wait=False, timeout_s=0, dry_run=True, exit_code=True, override_reach_tests=False)
    async with connected() as session:
        await _apply(session, _read(paths), how, prune=prune, replace=replace, base_revision=None)


@click.command(
    cls=Command, examples=("weft export", "weft export acme/shop > shop.yaml", "weft -P acme/shop export -o json")
)
@click.argument("where", default="", metavar="[ORG/PROJECT]")
async def export(where: str) -> None:
    """Print a project as a file that `weft apply` reads."""
    async with connected() as session:
        owner = _key(where) if where else session.project
        told = await session.client.export_project(owner)
    if told.unnamed_ports:
        note(f"note: {told.unnamed_ports} ports of {owner} have no name, and are in no file")
    if current().output is Output.JSON:
        import yaml

        return print_data(yaml.safe_load(told.text))
    print(told.text, end="")
    return None


@click.command(cls=Command, examples=("weft schema", "weft schema > project.schema.json", "weft schema -o json"))
def schema() -> None:
    """Print the form of project files as a JSON Schema, for editors."""
    from weftwork.declare.schema import schema_text

    print(schema_text(), end="")


async def _apply(
    session: Session,
    files: Mapping[str, str],
    how: How,
    *,
    prune: bool,
    replace: bool,
    base_revision: int | None,
) -> None:
    projects = _projects(files, session.project)
    if base_revision is not None and len(projects) > 1:
        raise click.UsageError("--base-revision is one project's, and the files are about several")
    bases = {
        owner: await _last_revision(session, owner) if base_revision is None else base_revision for owner in projects
    }
    (owner, texts), *others = projects.items()
    if others:
        mutation: Mutation[Any] = session.client.apply_projects(
            projects, prune=prune, replace=replace, base_revisions=bases
        )
    else:
        mutation = session.client.apply_project(owner, texts, prune=prune, replace=replace, base_revision=bases[owner])
    mutation = as_told(mutation, how)
    if how.dry_run:
        plan = await mutation.plan()
        print_plan(plan)
        return leave_with(plan, exit_code=True)
    answer = await mutation
    done = [one.applied_project for one in answer.results] if others else [answer]
    told = {key: document(one) for key, one in zip(projects, done, strict=True)}
    for owner, one in told.items():
        if how.wait:
            await wait_for_changes(Session(session.client, owner), one, how.timeout_s, what="change")
    _print(told)
    return None


def _print(told: Mapping[ProjectKey, Document]) -> None:
    if not is_text():
        items = [{"project": str(owner), **one} for owner, one in told.items()]
        return print_data(items[0] if len(items) == 1 else {"apiVersion": API_VERSION, "kind": "List", "items": items})
    for owner, one in told.items():
        if one["changes"]:
            print(f"project {owner} is as the files say; this is revision {one['revision']}")
            print_changes(one["changes"])
        else:
            print(f"project {owner} is as the files say already")
    return None


async def _last_revision(session: Session, owner: ProjectKey) -> int:
    """So that nobody's change between our reading and our writing is lost unseen."""
    async for one in session.client.list_revisions(owner):
        return int(one.revision)
    return 0


def _projects(files: Mapping[str, str], default: ProjectKey) -> Mapping[ProjectKey, Mapping[str, str]]:
    """What is to be sent for each project: the files, or when they are about several, each one's part."""
    from weftwork.declare.reading import SourceFile, read_projects
    from weftwork.declare.told import text_of

    try:
        specs = read_projects([SourceFile(name, text) for name, text in files.items()], default)
    except Refusal as refusal:
        mistakes = refusal.details.get("mistakes", refusal.message).split("\n")
        for one in mistakes[1:]:
            note(f"also: {one}")
        raise Problem(ExitCode.USAGE, refusal.code, mistakes[0], hint=refusal.hint) from None
    if len(specs) == 1:
        return {next(iter(specs)): files}
    return {owner: {str(owner): text_of(owner, spec)} for owner, spec in specs.items()}


def _read(paths: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        for file in _files_in(path):
            if file in found:
                raise _invalid(file, "it is named twice")
            try:
                found[file] = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise _invalid(file, str(error)) from None
    return found


def _files_in(path: str) -> list[str]:
    """A directory's own, by name; not those below."""
    if path == STDIN or not Path(path).is_dir():
        return [path]
    found = sorted(str(one) for one in Path(path).iterdir() if one.suffix in ENDINGS and one.is_file())
    if not found:
        raise _invalid(path, f"the directory has no file that ends in {', '.join(ENDINGS)}")
    return found


def _invalid(path: str, message: str) -> Problem:
    return Problem(ExitCode.USAGE, "INVALID_FILE", f"{path}: {message}")


def _key(text: str) -> ProjectKey:
    org, slash, project = text.partition("/")
    if not slash:
        raise click.UsageError(f"{text!r} is no project such as acme/shop")
    return ProjectKey(org, project)
