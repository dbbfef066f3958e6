#!/usr/bin/env python3
"""Run a command in a network of its own: no interfaces but loopback, no named namespaces but those it makes.

So test runs beside each other do not meet, and the machine's own network is out of reach.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_NETNS = "/run/netns"


def main(command: list[str]) -> NoReturn:
    if not command:
        sys.exit("usage: private_network.py COMMAND [ARGUMENT ...]")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        sys.exit(f"private_network: {os.strerror(ctypes.get_errno())} (it needs root)")
    Path(_NETNS).mkdir(parents=True, exist_ok=True)
    for arguments in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "tmpfs", _NETNS),
        ("ip", "link", "set", "lo", "up"),
    ):
        subprocess.run(arguments, check=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
