"""Shell completion: the script for each shell, and names asked from the server.

A completion never fails and never prints an error: without a server there are simply no names.
"""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from weftwork.cli.command import Command
from weftwork.cli.nouns import NOUNS
from weftwork.cli.settings import Settings, of_context

PATIENCE_S = 0.25
"""For all the server has to say: whoever presses a key does not wait for a network that is slow."""
NAMES_MAX = 500
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

    from weftwork.cli.credentials import address, bearer_for, tls_for
    from weftwork.cli.session import Session
    from weftwork.client import Client

    noun = NOUNS[kind]
    bearer = bearer_for(settings, renew=False)
    connecting = Client.connect(
        address(settings.server), timeout_s=PATIENCE_S, bearer=bearer, tls=tls_for(settings), page_size=NAMES_MAX
    )
    found: list[str] = []
    async with asyncio.timeout(PATIENCE_S), await connecting as client:
        async for one in Session(client, settings.project).each(noun):
            found.append(noun.name(one))
            if len(found) == NAMES_MAX:
                break
    return found


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
