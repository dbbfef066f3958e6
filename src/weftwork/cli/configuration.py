"""`weft config show`: every setting in force, and who said it."""

import click

from weftwork.cli.command import Group
from weftwork.cli.credentials import shown_by
from weftwork.cli.document import Document
from weftwork.cli.nouns import Column, field
from weftwork.cli.output import print_rows
from weftwork.cli.precedence import KEYS
from weftwork.cli.settings import current

_SHORT = (Column("SETTING", field("setting")), Column("VALUE", field("value")))
_WITH_ORIGIN = (*_SHORT, Column("ORIGIN", field("origin")))


@click.group(cls=Group)
def config() -> None:
    """What the command line itself is told: by flags, variables and files."""


@config.command(
    examples=("weft config show", "weft config show --origin", "weft -P acme/web config show --origin -o json")
)
@click.option("--origin", is_flag=True, help="Also say who said each: a flag, a variable, a file, a context.")
def show(origin: bool) -> None:
    """Show the settings in force.

    A flag beats the environment, and that the project's .weft.toml, the user's ~/.config/weft, and /etc/weft. A
    project's file may name a context, a project, an output and colours: never a server, certificates or a token.
    """
    print_rows("Setting", _WITH_ORIGIN if origin else _SHORT, list(_told()), nothing="")


def _told() -> list[Document]:
    """The token is said to be there, and no more."""
    settings = current()
    told = []
    for key in KEYS:
        said = settings.said.get(key)
        told.append({"setting": key, "value": said.value if said else "", "origin": said.place if said else ""})
    shown = shown_by(settings)
    return [*told, {"setting": "token", "value": "(set)" if shown else "", "origin": shown}]
