"""The command `weft`: the API's commands from `cli/`, and those of this machine, imported only when called."""

from importlib.util import find_spec

from weftwork.cli.command import LocalCommand, Root
from weftwork.cli.root import make_weft

LOCAL = {
    "up": "Run server and agent on this machine, in one process.",
    "server": "Run the server.",
    "agent": "Run the agent of this host.",
    "down": "Stop what `up` started, and remove what it made.",
    "doctor": "Say what this machine's kernel and tools offer, and what will be used.",
}


def weft() -> Root:
    """A local command's module has its name, and so has the click command inside."""
    local = {name: LocalCommand(f"weftwork.apps.{name}", help) for name, help in LOCAL.items()}
    return make_weft({name: command for name, command in local.items() if find_spec(command.module)})


def main() -> None:
    weft().main(prog_name="weft")


if __name__ == "__main__":
    main()
