"""ovn-trace(8), asked what becomes of frames: it follows them through the logical flows of the southbound.

A daemon reads the southbound once, when it starts, and has its states of connection tracking from its command line; so
there is one per state and version of the southbound, started when it is first asked.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

from weftwork.drivers.chassis.microflow import microflow
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.testing.equivalence import frames
from weftwork.testing.equivalence.opinion import Foretold, Tracked, Untold
from weftwork.testing.unixctl import call
from weftwork.verifier.packet import Seen

_STATES = 1200
"""Told to a daemon: each look into connection tracking takes one, and they are not told anew with the next question."""
_USED_UP = "use --ct to customize"
_NO_MAC = "/* No MAC binding. */"
"""The router may have learned it since the daemon began, by the very packet that is asked about."""
_NOT_CARRIED_OUT = "/* nat(src="
"""What it says of `ct_snat_to_vip`, which it only writes down: the rules then see a source that the packet has not."""
_MADE_BY_THE_ROUTER = ("icmp4 {", "icmp4_error {", "tcp_reset {", "arp {", "reject {")
"""Packets other than the one that is asked about."""
_HIDDEN = re.compile(r"ct_snat\w*\(ip4\.src=([\d.]+)\)")
_FORWARDED = re.compile(r"ct_lb_mark\(backends=([\d.]+):(\d+)\);")
_WRITTEN = re.compile(r"ip4\.(src|dst) = ([\d.]+);")
_OUTPUT = re.compile(r'/\* output to "([^"]+)", type "(\w*)" \*/;')
_EXCHANGED = "ip4.dst <-> ip4.src;"
_TURNED = "icmp4.type = 0;"
_INDENT = 4


@dataclass
class OvnTrace:
    """Implements `opinion.Opinion` for what the southbound holds now; `inports` are the logical ports of interfaces."""

    ovn: PrivateOvn
    inports: Mapping[str, str]
    asked: int = 0
    _daemons: dict[Tracked, Path] = field(default_factory=dict)
    _started: int = 0

    def close(self) -> None:
        for socket in self._daemons.values():
            call(socket, "exit")
        self._daemons.clear()

    def of(self, interface: str, frame: bytes, tracked: Tracked) -> tuple[Foretold, ...] | Untold:
        self.asked += 1
        question = microflow(self.inports[interface], frame)
        told = self._ask(question, tracked)
        if _NO_MAC in told:
            self._end(tracked)
            told = self._ask(question, tracked)
        if _NO_MAC in told:
            return Untold.NO_MAC
        if _NOT_CARRIED_OUT in told:
            return Untold.CALLS_ITSELF
        arrival = frames.read(interface, frame)
        assert arrival is not None, "it has a number of ours"
        names = {port: name for name, port in self.inports.items()}
        found = outcomes(told, arrival.seen)
        return tuple(replace(one, interface=names.get(one.interface, one.interface)) for one in found)

    def _ask(self, question: str, tracked: Tracked) -> str:
        if tracked not in self._daemons:
            self._daemons[tracked] = self._start(tracked)
        told = call(self._daemons[tracked], "trace", "--summary", question)
        assert told.startswith("# "), f"{question}: {told}"
        if _USED_UP not in told:
            return told
        self._end(tracked)
        return self._ask(question, tracked)

    def _end(self, tracked: Tracked) -> None:
        call(self._daemons.pop(tracked), "exit")

    def _start(self, tracked: Tracked) -> Path:
        self._started += 1
        socket = self.ovn.folder / f"ovn-trace.{self._started}.ctl"
        words = ("--detach", "--no-chdir", f"--db={self.ovn.southbound}", f"--unixctl={socket}")
        self.ovn.run("ovn-trace", *words, *[f"--ct={tracked.value}"] * _STATES)
        return socket


def outcomes(told: str, sent: Seen) -> Iterator[Foretold]:
    """What a summary says comes out, by logical port. What a packet is made in a block, it is not behind that block.
    What becomes of a router's answer is another question, for it is no new flow."""
    path: list[Seen | None] = [sent]
    for line in told.splitlines()[1:]:
        words = line.strip()
        depth = (len(line) - len(line.lstrip())) // _INDENT
        del path[depth + 1 :]
        seen = path[-1]
        if seen is None:
            continue
        if (found := _OUTPUT.fullmatch(words)) and found[2] != "patch":
            yield Foretold(found[1], seen)
        path[-1] = seen = _changed(seen, words)
        if words == _TURNED:
            yield Foretold("", seen)
            path[-1] = None
        if words.endswith("{"):
            path.append(None if words in _MADE_BY_THE_ROUTER else _hidden(seen, words))


def _changed(seen: Seen, words: str) -> Seen:
    if found := _FORWARDED.fullmatch(words):
        return replace(seen, destination=IPv4Address(found[1]), destination_port=int(found[2]))
    if words == _EXCHANGED:
        return seen.reversed
    if found := _WRITTEN.fullmatch(words):
        address = IPv4Address(found[2])
        return replace(seen, source=address) if found[1] == "src" else replace(seen, destination=address)
    return seen


def _hidden(seen: Seen, words: str) -> Seen:
    found = _HIDDEN.match(words)
    return replace(seen, source=IPv4Address(found[1])) if found else seen
