"""The settings of a command: from its flags, the environment, the project's file, the user's and the machine's.

Global options may stand before the noun or after the verb; the last place wins.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from weftwork.base.tenancy import NAME, ProjectKey
from weftwork.cli.config_files import read_files
from weftwork.cli.precedence import DEFAULTS, TLS, Context, Level, Said, Source, choose
from weftwork.cli.problems import ExitCode, Problem

DEFAULT_SERVER = DEFAULTS["server"]
DEFAULT_PROJECT = DEFAULTS["project"]

_META = "weftwork.cli"
_RESOLVED = "weftwork.cli.settings"
_HOST_PORT = re.compile(r"\S+:[0-9]{1,5}")
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_VARIABLES = {
    "server": "WEFT_SERVER",
    "context": "WEFT_CONTEXT",
    "project": "WEFT_PROJECT",
    "output": "WEFT_OUTPUT",
    "ca": "WEFT_CA",
    "certificate": "WEFT_CERTIFICATE",
    "key": "WEFT_KEY",
}


class Output(Enum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Color(Enum):
    AUTO = "auto"
    """On a terminal."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Settings:
    """`said` has every setting as it was said, and where; `context` is the one whose server is in force."""

    server: str
    project: ProjectKey
    output: Output
    color: Color
    context: Context | None
    said: Mapping[str, Said]

    @property
    def project_given(self) -> bool:
        """False when nobody named a project and the default stands in."""
        return self.said["project"].level is not Level.DEFAULT

    @property
    def server_level(self) -> Level:
        return self.said["server"].level

    def path(self, key: str) -> str:
        """Of ca, certificate or key; empty when nobody named one."""
        assert key in TLS
        return self.said[key].value if key in self.said else ""


class ServerType(click.ParamType[str]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return checked_server(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ProjectType(click.ParamType[ProjectKey]):
    name = "org/project"

    def convert(self, value: str | ProjectKey, param: click.Parameter | None, ctx: click.Context | None) -> ProjectKey:
        if isinstance(value, ProjectKey):
            return value
        try:
            return parse_project(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def checked_server(text: str) -> str:
    if not text.startswith(("unix:", "/", "./")) and not _HOST_PORT.fullmatch(text):
        raise ValueError(f"{text!r} is neither unix:PATH nor HOST:PORT, such as 127.0.0.1:8081")
    return text


def parse_project(text: str) -> ProjectKey:
    parts = text.split("/")
    if len(parts) != 2 or not all(NAME.fullmatch(part) for part in parts):
        raise ValueError(f"{text!r} is not ORG/PROJECT, such as acme/web")
    return ProjectKey(*parts)


def shared_options() -> list[click.Option]:
    """New options each time, because click ties an option to its command."""
    return [
        click.Option(
            ["--server"],
            type=ServerType(),
            metavar="ADDRESS",
            help=f"Where the server listens: unix:PATH or HOST:PORT.  [env: WEFT_SERVER; default: {DEFAULT_SERVER}]",
            **_remembered(),
        ),
        click.Option(
            ["--context"],
            metavar="NAME",
            help="The server by the name that `weft context add` gave it.  [env: WEFT_CONTEXT]",
            shell_complete=_complete_context,
            **_remembered(),
        ),
        click.Option(
            ["-P", "--project"],
            type=ProjectType(),
            metavar="ORG/PROJECT",
            help=f"The project to work in.  [env: WEFT_PROJECT; default: {DEFAULT_PROJECT}]",
            **_remembered(),
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice([output.value for output in Output]),
            help="How to print data.  [env: WEFT_OUTPUT; default: table]",
            **_remembered(),
        ),
        click.Option(
            ["--color"],
            type=click.Choice([color.value for color in Color]),
            help="When to colour; auto is on a terminal, without NO_COLOR.  [default: auto]",
            **_remembered(),
        ),
        click.Option(
            ["--no-color", "color"],
            flag_value=Color.NEVER.value,
            help="As --color never.",
            **_remembered(),
        ),
    ]


def _complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        return [name for name in read_files().contexts if name.startswith(incomplete)]
    except Exception:
        # As with every completion: an error text in the middle of somebody's command line helps nobody.
        return []


def _remembered() -> dict[str, Any]:
    return {"expose_value": False, "callback": _remember}


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """What stands on the command line; the verb's own place beats the noun's."""
    assert param.name is not None
    if value is not None and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
        ctx.meta.setdefault(_META, {})[param.name] = str(value)
    return value


def current() -> Settings:
    """The settings of the running command. Problems of files, and USAGE for a value that cannot be."""
    return of_context(click.get_current_context())


def of_context(ctx: click.Context) -> Settings:
    if _RESOLVED not in ctx.meta:
        ctx.meta[_RESOLVED] = _resolved(ctx.meta.get(_META, {}))
    settings: Settings = ctx.meta[_RESOLVED]
    return settings


def _resolved(flags: Mapping[str, str]) -> Settings:
    environment = {key: value for key, name in _VARIABLES.items() if (value := os.environ.get(name))}
    files = read_files()
    sources = (
        Source(Level.FLAG, "--{key}", flags),
        Source(Level.ENVIRONMENT, "WEFT_{KEY}", environment),
        Source(Level.ENVIRONMENT, "NO_COLOR", {"color": Color.NEVER.value} if os.environ.get("NO_COLOR") else {}),
        *files.sources,
    )
    chosen = choose(sources, files.contexts)
    said = chosen.said
    return Settings(
        server=_checked(said["server"], checked_server),
        project=_checked(said["project"], parse_project),
        output=_checked(said["output"], Output),
        color=_checked(said["color"], Color),
        context=chosen.context,
        said=said,
    )


T = TypeVar("T")


def _checked(said: Said, parse: Callable[[str], T]) -> T:
    try:
        return parse(said.value)
    except ValueError as error:
        raise Problem(ExitCode.USAGE, "USAGE", f"{said.place}: {error}", hint="weft config show --origin") from None
