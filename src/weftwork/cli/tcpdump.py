"""`weft tcpdump`: packets of one port, as a pcap stream, or as text by the tcpdump of this machine."""

import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from weftwork.cli.command import Command
from weftwork.cli.completion import complete_kind
from weftwork.cli.problems import ExitCode, Problem, note
from weftwork.cli.session import connected

if TYPE_CHECKING:
    from weftwork.client.messages import CaptureEvent

_ETHERNET = 1
_MAGIC_OF_NANOSECONDS = 0xA1B23C4D
_ENDS = {
    "seconds": "the time is over",
    "packets": "that many packets came",
    "bytes": "that many bytes came",
    "device": "the port's device is gone",
}

Write = Callable[[bytes], None]


@click.command(
    cls=Command,
    examples=(
        "weft tcpdump web1",
        "weft tcpdump web1 tcp port 443 and host 10.0.1.5",
        "weft tcpdump web1 -w web1.pcap --seconds 300 --snap-length 128",
    ),
)
@click.argument("port", shell_complete=complete_kind("port"))
@click.argument("expression", nargs=-1, metavar="[FILTER]...")
@click.option("--write", "-w", default="", metavar="FILE", help="Write pcap there; - is standard output.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="For how long.")
@click.option("--packets", "-c", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="How many.")
@click.option("--bytes", "data_bytes", type=click.IntRange(1, 1 << 30), default=64 << 20, help="How many at most.")
@click.option("--snap-length", "-s", type=click.IntRange(14, 65_535), default=65_535, help="So much of each packet.")
async def tcpdump(
    port: str, expression: tuple[str, ...], write: str, seconds: int, packets: int, data_bytes: int, snap_length: int
) -> None:
    """Show the packets of a port as they pass, chosen by a filter of pcap-filter(7).

    On a terminal they are shown as text, by the tcpdump of this machine; into a file or a pipe they go as pcap.
    The server notes in the audit log that you did.
    """
    async with connected() as session, _sink(write, snap_length) as out:
        missed, ended = 0, ""
        events = session.client.packets.capture(
            session.project,
            port,
            expression=" ".join(expression),
            seconds=seconds,
            packets=packets,
            data_bytes=data_bytes,
            snap_length=snap_length,
        )
        is_first = True
        async for event in events:
            if is_first:
                note(f"listening at {port}")
                is_first = False
            _write_event(out, event)
            missed += event.missed
            ended = event.ended or ended
    note(_ENDS.get(ended, "ended"))
    if missed:
        note(f"{missed} packets found no room and are missing")


def pcap_head(snap_length: int) -> bytes:
    return struct.pack("<IHHiIII", _MAGIC_OF_NANOSECONDS, 2, 4, 0, 0, snap_length, _ETHERNET)


def pcap_packet(at_ns: int, length: int, data: bytes) -> bytes:
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return struct.pack("<IIII", seconds, nanoseconds, len(data), length) + data


def _write_event(out: Write, event: "CaptureEvent") -> None:
    for one in event.packets:
        out(pcap_packet(one.at_ns, one.length, one.data))


@asynccontextmanager
async def _sink(write: str, snap_length: int) -> AsyncIterator[Write]:
    """Where pcap goes, begun with its head."""
    if write in ("", "-") and not sys.stdout.isatty():
        write = "-"
    if write == "":
        async with _as_text() as out:
            out(pcap_head(snap_length))
            yield out
        return
    if write == "-" and sys.stdout.isatty():
        raise Problem(
            ExitCode.USAGE, "USAGE", "pcap is not for a terminal", hint="name a file with -w, or leave it out"
        )
    if write == "-":
        stream = sys.stdout.buffer
        _flushed(stream)(pcap_head(snap_length))
        yield _flushed(stream)
        return
    import asyncio

    try:
        with await asyncio.to_thread(Path(write).open, "wb") as file:
            _flushed(file)(pcap_head(snap_length))
            yield _flushed(file)
    except OSError as error:
        raise Problem(ExitCode.ERROR, "FILE_NOT_WRITTEN", f"{write}: {error.strerror}") from None


def _flushed(stream: BinaryIO) -> Write:
    def out(data: bytes) -> None:
        stream.write(data)
        stream.flush()

    return out


@asynccontextmanager
async def _as_text() -> AsyncIterator[Write]:
    """It reads what we write until there is no more."""
    import asyncio
    from asyncio.subprocess import PIPE

    try:
        reader = await asyncio.create_subprocess_exec("tcpdump", "-n", "-l", "-r", "-", stdin=PIPE)
    except FileNotFoundError:
        hint = "install it, or write pcap into a file with -w FILE"
        raise Problem(ExitCode.ERROR, "NO_TCPDUMP", "this machine has no tcpdump to show packets", hint=hint) from None
    assert reader.stdin is not None
    try:
        yield reader.stdin.write
    finally:
        reader.stdin.close()
        await reader.wait()
