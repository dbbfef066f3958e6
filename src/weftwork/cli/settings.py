"""The global options. They may stand before the noun or after the verb; the last place wins."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from weftwork.base.tenancy import NAME, ProjectKey

DEFAULT_SERVER = "unix:/run/weftwork/api.sock"
DEFAULT_PROJECT = "default/default"

_META = "weftwork.cli"
_HOST_PORT = re.compile(r"\S+:[0-9]{1,5}")
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class Output(Enum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Settings:
    """`project_given` is false when nobody named a project and the default stands in."""

    server: str
    project: ProjectKey
    project_given: bool
    output: Output
    no_color: bool


class ServerType(click.ParamType[str]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.startswith(("unix:", "/", "./")) and not _HOST_PORT.fullmatch(value):
            self.fail(f"{value!r} is neither unix:PATH nor HOST:PORT, such as 127.0.0.1:8081", param, ctx)
        return value


class ProjectType(click.ParamType[ProjectKey]):
    name = "org/project"

    def convert(self, value: str | ProjectKey, param: click.Parameter | None, ctx: click.Context | None) -> ProjectKey:
        if isinstance(value, ProjectKey):
            return value
        parts = value.split("/")
        if len(parts) != 2 or not all(NAME.fullmatch(part) for part in parts):
            self.fail(f"{value!r} is not ORG/PROJECT, such as acme/web", param, ctx)
        return ProjectKey(*parts)


def shared_options() -> list[click.Option]:
    """New options each time, because click ties an option to its command."""
    return [
        click.Option(
            ["--server"],
            default=DEFAULT_SERVER,
            type=ServerType(),
            envvar="WEFT_SERVER",
            metavar="ADDRESS",
            help=f"Where the server listens: unix:PATH or HOST:PORT.  [env: WEFT_SERVER; default: {DEFAULT_SERVER}]",
            **_remembered(),
        ),
        click.Option(
            ["-P", "--project"],
            default=DEFAULT_PROJECT,
            type=ProjectType(),
            envvar="WEFT_PROJECT",
            metavar="ORG/PROJECT",
            help=f"The project to work in.  [env: WEFT_PROJECT; default: {DEFAULT_PROJECT}]",
            **_remembered(),
        ),
        click.Option(
            ["-o", "--output"],
            default=Output.TABLE.value,
            type=click.Choice([output.value for output in Output]),
            help="How to print data.  [default: table]",
            **_remembered(),
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            default=False,
            help="Never colour. Colour also needs a terminal and no NO_COLOR.",
            **_remembered(),
        ),
    ]


def _remembered() -> dict[str, Any]:
    return {"expose_value": False, "callback": _remember}


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Said on the command line beats what an outer command, the environment or a default said."""
    assert param.name is not None
    said = ctx.meta.setdefault(_META, {})
    source = ctx.get_parameter_source(param.name)
    if source is ParameterSource.COMMANDLINE or param.name not in said:
        said[param.name] = value
        said[f"{param.name}_given"] = source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return value


def current() -> Settings:
    """The settings of the running command."""
    return of_context(click.get_current_context())


def of_context(ctx: click.Context) -> Settings:
    said = ctx.meta.get(_META, {})
    return Settings(
        server=said.get("server", DEFAULT_SERVER),
        project=said.get("project", ProjectKey("default", "default")),
        project_given=said.get("project_given", False),
        output=Output(said.get("output", Output.TABLE.value)),
        no_color=said.get("no_color", False),
    )
