"""The command `weft`: the API's commands from `cli/`, and those of this machine, imported only when called."""

import os
from importlib.util import find_spec

from weftwork.cli.command import LocalCommand, Root
from weftwork.cli.root import make_weft

LOCAL = {
    "up": LocalCommand("weftwork.apps.up", "Run the server and the agent of this machine, in the foreground."),
    "agent": LocalCommand("weftwork.apps.agent", "Run the agent of this host of a fleet, in the foreground."),
    "lab": LocalCommand("weftwork.apps.lab.command", "Make a fleet on this machine, to try and to break."),
    "server": LocalCommand("weftwork.apps.server", "Run the API server alone."),
    "down": LocalCommand("weftwork.apps.down", "Take everything of ours off this machine."),
    "store": LocalCommand("weftwork.apps.store", "Move everything from one store to another."),
    "image": LocalCommand("weftwork.apps.image", "Pull, list and remove the container images of this machine."),
    "doctor": LocalCommand(
        "weftwork.apps.doctor", "Say what this machine's kernel and tools offer, and what will be used."
    ),
}


def weft() -> Root:
    return make_weft({name: command for name, command in LOCAL.items() if find_spec(command.module)})


def main() -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say, our errors say
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # our forks do not call: see controller/halves.py
    weft().main(prog_name="weft")


if __name__ == "__main__":
    main()
