"""`weft context`: servers by name, each with its TLS, its token and the project one usually works in."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from weftwork.cli.command import Group
from weftwork.cli.config_files import CONTEXT_NAME, ContextsFile, check_secret, read_files, user_folder
from weftwork.cli.credentials import address, keep, login_at
from weftwork.cli.document import API_VERSION, Document
from weftwork.cli.listing import listing
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import is_text, print_card, print_data, print_rows
from weftwork.cli.precedence import Context, Level
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.settings import current

TOKEN_MAX = 16 * 1024

_COLUMNS = (
    Column("NAME", field("name")),
    Column("CURRENT", field("current")),
    Column("SERVER", field("server")),
    Column("PROJECT", field("project")),
    Column("SHOWS", field("shows")),
    Column("CA", field("ca"), wide=True),
    Column("CERTIFICATE", field("certificate"), wide=True),
    Column("KEY", field("key"), wide=True),
    Column("FILE", field("file"), wide=True),
)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in _all() if name.startswith(incomplete)]
    except Exception:
        # As with every completion: an error text in the middle of somebody's command line helps nobody.
        return []


@click.group(cls=Group)
def context() -> None:
    """Servers by name: where each listens, what is shown to it, and the project to work in."""


@context.command(
    "list", examples=("weft context list", "weft context list -o wide", "weft context list --columns name,server")
)
@listing(_COLUMNS)
def list_contexts() -> None:
    """List the contexts, and say which is the current one."""
    print_rows("Context", _COLUMNS, [_told(one) for one in _all().values()], nothing="no contexts")


@context.command(examples=("weft context show", "weft context show prod", "weft context show prod -o json"))
@click.argument("name", default="", shell_complete=_complete)
def show(name: str) -> None:
    """Show a context, or the current one. Its token is not shown."""
    found = _all().get(name) if name else current().context
    if found is None:
        raise (
            _unknown(name)
            if name
            else Problem(ExitCode.NOT_FOUND, "NO_CONTEXT", "no context is in force", hint="weft config show --origin")
        )
    if is_text():
        print_card(_COLUMNS, _told(found))
    else:
        print_data({"apiVersion": API_VERSION, "kind": "Context", **_told(found)})


@context.command(examples=("weft context use prod", "weft context use lab", "weft context use -"))
@click.argument("name", shell_complete=_complete)
def use(name: str) -> None:
    """Work with this context from now on; - works without one."""
    file = ContextsFile(user_folder())
    if name != "-" and name not in read_files().contexts:
        raise _unknown(name)
    file.current = "" if name == "-" else name
    file.write()
    _say_what_counts(file.current)


@context.command(
    examples=(
        "weft context add prod --server api.example.net:8081 --ca /etc/weft/ca.pem -P acme/web",
        "weft context add ci --server api.example.net:8081 --token-file ~/.config/weft/ci.token",
        "weft context add lab --server unix:/run/weftwork/api.sock --use",
    )
)
@click.argument("name")
@click.option(
    "--ca", default="", metavar="FILE", help="The authority of the server's certificate, if not the system's."
)
@click.option("--certificate", default="", metavar="FILE", help="One's own certificate, for mTLS.")
@click.option("--key", default="", metavar="FILE", help="Its private key.")
@click.option("--token-stdin", is_flag=True, help="Read an API token from stdin and keep it.")
@click.option(
    "--token-file", default="", metavar="FILE", help="Where an API token stands, to be read when it is shown."
)
@click.option("--use", "use_it", is_flag=True, help="Work with it from now on.")
@click.option("--replace", "replaces", is_flag=True, help="In the place of one of that name.")
def add(
    name: str,
    ca: str,
    certificate: str,
    key: str,
    token_stdin: bool,
    token_file: str,
    use_it: bool,
    replaces: bool,
) -> None:
    """Give a server a name: the one that --server says, with the project of -P to work in.

    A login is kept by server: `weft --context NAME login` makes one, if the server knows logins.
    """
    if not CONTEXT_NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is no name: letters, digits, dot, dash and underscore, at most 63")
    if not _flag("server"):
        raise click.UsageError("say where it listens: --server ADDRESS")
    if bool(certificate) != bool(key):
        raise click.UsageError("a certificate needs its --key, and the other way round")
    if token_stdin and token_file:
        raise click.UsageError("say --token-stdin or --token-file")
    paths = {"ca": ca, "certificate": certificate, "key": key, "token_file": token_file}
    absolute = {one: _existing(path, is_secret=one == "token_file") for one, path in paths.items() if path}
    made = Context(name, _flag("server"), _flag("project"), **absolute)
    file = ContextsFile(user_folder())
    if name in file.contexts and not replaces:
        raise Problem(
            ExitCode.CONFLICT,
            "CONTEXT_EXISTS",
            f"there is a context {name} already",
            hint="add --replace, or choose another name",
        )
    file.contexts[name] = replace(made, token=_token() if token_stdin else "")
    if use_it:
        file.current = name
    file.write()
    note(f"context {name} is {made.server}")
    if use_it:
        _say_what_counts(name)


@context.command(
    examples=("weft context remove lab", "weft context remove prod", "weft context remove ci --keep-login")
)
@click.argument("name", shell_complete=_complete)
@click.option("--keep-login", is_flag=True, help="Do not forget the login at its server.")
def remove(name: str, keep_login: bool) -> None:
    """Forget a context, with its token and the login at its server."""
    file = ContextsFile(user_folder())
    if name not in file.contexts:
        raise _unknown(name)
    gone = file.contexts.pop(name)
    if file.current == name:
        file.current = ""
        note("it was the current one; there is none now")
    file.write()
    server = address(gone.server)
    is_shared = any(address(one.server) == server for one in file.contexts.values())
    if not keep_login and not is_shared and login_at(server):
        keep(server, None)
    note(f"context {name} removed")


def _flag(key: str) -> str:
    """What this command line says itself."""
    said = current().said[key]
    return said.value if said.level is Level.FLAG else ""


def _all() -> dict[str, Context]:
    return dict(sorted(read_files().contexts.items()))


def _told(one: Context) -> Document:
    """Without its secrets."""
    token = "a token" if one.token or one.token_file else ""
    login = "a login" if login_at(address(one.server)) else ""
    return {
        "name": one.name,
        "current": current().context == one,
        "server": one.server,
        "project": one.project,
        "shows": token or ("a certificate" if one.certificate and not login else login),
        "ca": one.ca,
        "certificate": one.certificate,
        "key": one.key,
        "file": one.place,
    }


def _existing(path: str, *, is_secret: bool) -> str:
    """Absolute, so that it is the same file wherever one works."""
    found = Path(path).expanduser().absolute()
    try:
        if is_secret:
            check_secret(found)
        found.read_bytes()
    except OSError as error:
        raise Problem(ExitCode.USAGE, "USAGE", f"{path}: {error.strerror}", hint="weft context add --help") from None
    return str(found)


def _token() -> str:
    token = sys.stdin.read(TOKEN_MAX + 1).strip()
    if not token or len(token) > TOKEN_MAX or not token.isascii() or not token.isprintable() or " " in token:
        raise click.UsageError("what comes from stdin is no token")
    return token


def _say_what_counts(name: str) -> None:
    """What somebody nearer says beats the current context: one should not find that out later."""
    said = current().said["server"]
    in_force = current().context
    if name and (in_force is None or in_force.name != name) and Level.FLAG < said.level < Level.USER:
        note(f"note: here, {said.place} says another server, {said.value}")
    note(f"the current context is {name}" if name else "there is no current context")


def _unknown(name: str) -> Problem:
    import difflib

    near = difflib.get_close_matches(name, list(_all()), 1)
    return Problem(
        ExitCode.NOT_FOUND,
        "CONTEXT_NOT_FOUND",
        f"there is no context {name}" + (f". Did you mean {near[0]}?" if near else ""),
        hint="weft context list",
    )
