"""The key that this user comes into VMs by when they name no other: made once, and kept for them alone."""

import getpass
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from weftwork.cli.credentials import kept_in
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.session import Session

NAME = "id_ed25519"


def own_key() -> Path:
    """The private one; the public one is beside it, with `.pub`."""
    key = kept_in().parent / NAME
    if key.exists():
        return key
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [_ssh_keygen(), "-q", "-t", "ed25519", "-N", "", "-C", f"weft {_name()}", "-f", str(key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(ExitCode.ERROR, "NO_SSH_KEY", f"ssh-keygen: {done.stderr.strip()}")
    return key


def known_keys() -> list[Path]:
    """Those that ssh is to try: ours, and those that ssh itself would."""
    usual = (Path.home() / ".ssh" / name for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
    return [one for one in (kept_in().parent / NAME, *usual) if one.exists()]


async def register(session: Session, key: Path) -> None:
    """Known to the project, under this user's and this machine's name."""
    text = key.with_suffix(".pub").read_text().strip()
    words = text.split()[:2]
    names = set()
    async for one in session.client.list_ssh_keys(session.project):
        if one.public_key.split()[:2] == words:
            return
        names.add(one.name)
    name = _name()
    number = 2
    while name in names:
        name, number = f"{_name()}-{number}", number + 1
    await session.client.create_ssh_key(session.project, name, text)
    note(f"note: SSH key {name} of {key} is one of {session.project}'s now")


def _name() -> str:
    """Of this user on this machine, as a label."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return re.sub("[^a-z0-9]+", "-", f"{user}-{socket.gethostname()}".lower()).strip("-")[:40].strip("-")


def _ssh_keygen() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise Problem(ExitCode.ERROR, "NO_SSH", "this machine has no ssh-keygen", hint="install openssh-client")
    return found
