"""Shell completion: the script for each shell, and names asked from the server.

A completion never fails and never prints an error: without a server there are simply no names.
"""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from weftwork.cli.command import Command
from weftwork.cli.nouns import NOUNS
from weftwork.cli.settings import Settings, of_context

PATIENCE_S = 1.0
COMPLETE_VARIABLE = "_WEFT_COMPLETE"

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_kind(kind: str) -> Completer:
    """Completes with the names of the project's things of a kind."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        import asyncio

        try:
            names = asyncio.run(_names(of_context(ctx), kind))
        except Exception:
            # Whatever it is: an error text in the middle of somebody's command line helps nobody.
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


async def _names(settings: Settings, kind: str) -> list[str]:
    import asyncio

    from weftwork.cli.session import Session, address
    from weftwork.client import Client

    noun = NOUNS[kind]
    async with asyncio.timeout(PATIENCE_S):
        async with await Client.connect(address(settings.server), timeout_s=PATIENCE_S) as client:
            return [noun.name(one) for one in await Session(client, settings.project).list(noun)]


@click.command(
    cls=Command,
    examples=(
        "weft completion bash > /etc/bash_completion.d/weft",
        "weft completion zsh > ~/.zfunc/_weft",
        "weft completion fish > ~/.config/fish/completions/weft.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that teaches a shell to complete weft, with the names the server knows."""
    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(click.get_current_context().find_root().command, {}, "weft", COMPLETE_VARIABLE).source())
