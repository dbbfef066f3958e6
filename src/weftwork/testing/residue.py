"""What this machine's network looked like before, to say afterwards what was left behind."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_READINGS: dict[str, tuple[str, ...]] = {
    "link": ("ip", "-o", "link", "show"),
    "address": ("ip", "-o", "addr", "show"),
    "route": ("ip", "route", "show", "table", "all"),
    "rule": ("ip", "rule", "show"),
    "nft": ("nft", "list", "ruleset"),
}


@dataclass(frozen=True, slots=True)
class Residue:
    """The host's own namespace in the words of `ip` and `nft`, the names of all namespaces, and guests that run."""

    seen: frozenset[tuple[str, str]]

    @classmethod
    def look(cls) -> Self:
        seen = {(kind, line) for kind, command in _READINGS.items() for line in _lines(command)}
        folder = Path("/run/netns")
        seen |= {("namespace", entry.name) for entry in (folder.iterdir() if folder.exists() else ())}
        seen |= {("guest", folder) for folder in _guests()}
        return cls(frozenset(seen))

    def left_over(self) -> list[str]:
        """What is there now and was not before, in words."""
        now = type(self).look()
        return sorted(f"{kind} {text}" for kind, text in now.seen - self.seen)


def _guests() -> Iterator[str]:
    """The folders of guests whose machines run, as their command lines name them."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            if "qemu-system" in words:
                yield from re.findall(r"/[^\0,]*/guests/[0-9a-f-]{36}", words)


def _lines(command: tuple[str, ...]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [" ".join(line.split()) for line in done.stdout.splitlines() if line.strip()]
