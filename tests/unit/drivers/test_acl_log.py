"""Lines of ovn-controller 23.03, and the end of the file in which they stand."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from weftwork.drivers.chassis import flow_log
from weftwork.drivers.chassis.acl_log import seen_in
from weftwork.drivers.chassis.flow_log import OvnFlowSource
from weftwork.seams.flows import Seen

ENDS = "vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.20.0.2,nw_dst=10.20.0.3"
REST = "nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no"


def line(packet: str, name: str = "weft-7/1 in denied_in", verdict: str = "drop") -> str:
    at = "2026-11-25T03:00:00.250Z|00042|acl_log(ovn_pinctrl0)|INFO|"
    return f'{at}name="{name}", verdict={verdict}, severity=info, direction=to-lport: {packet}'


TCP = line(f"tcp,{ENDS},{REST},tp_src=40000,tp_dst=7001,tcp_flags=syn")


def test_a_packet_is_read_with_its_ends() -> None:
    found = seen_in(TCP)
    assert found is not None
    seen, sample = found
    assert (seen.scope, seen.side, seen.reason, seen.policy, sample) == ("weft-7", "in", "denied_in", "", 1)
    assert (seen.protocol, seen.source, seen.source_port) == ("tcp", "10.20.0.2", 40000)
    assert (seen.destination, seen.destination_port) == ("10.20.0.3", 7001)
    assert seen.at_ns == 1795575600_250_000_000


@pytest.mark.parametrize(
    ("said", "protocol", "reason"),
    [
        (line(f"icmp,{ENDS},{REST},icmp_type=8,icmp_code=0"), "icmp", "denied_in"),
        (line(f"ip,{ENDS},nw_proto=253,{REST}"), "253", "denied_in"),
        (line(f"udp,{ENDS},{REST},tp_src=68,tp_dst=67", "weft-7/1 out tunnel"), "udp", "rogue_dhcp"),
        (line(f"udp,{ENDS},{REST},tp_src=9,tp_dst=4789", "weft-7/1 out tunnel"), "udp", "tunnel"),
        (line(f"tcp,{ENDS},{REST},tp_src=9,tp_dst=80", "weft-7/10 in allowed", "allow"), "tcp", "allowed"),
    ],
)
def test_what_else_there_is(said: str, protocol: str, reason: str) -> None:
    found = seen_in(said)
    assert found is not None and (found[0].protocol, found[0].reason) == (protocol, reason)


@pytest.mark.parametrize(
    "said",
    [
        "",
        TCP.replace("acl_log", "binding"),
        TCP.replace("weft-7/1 in denied_in", "the operator's"),
        TCP.replace("verdict=drop", "verdict=allow"),
        TCP.replace("tp_src=40000", "tp_src=x"),
        TCP.replace("2026-11-25", "yesterday"),
    ],
)
def test_what_is_not_ours_or_makes_no_sense_is_left_out(said: str) -> None:
    assert seen_in(said) is None


class Heard:
    """What a source tells, one after the other."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[Seen] = asyncio.Queue()

    def take(self, seen: Sequence[Seen]) -> None:
        for one in seen:
            self._told.put_nowait(one)

    async def port(self) -> int:
        async with asyncio.timeout(10):
            return (await self._told.get()).destination_port

    @property
    def is_empty(self) -> bool:
        return self._told.empty()


def write(path: Path, *ports: int, scope: str = "weft-7") -> None:
    with path.open("a") as file:
        for port in ports:
            file.write(TCP.replace("tp_dst=7001", f"tp_dst={port}").replace("weft-7", scope) + "\n")


async def test_only_what_comes_and_is_wanted_is_told_also_of_a_log_begun_anew(tmp_path: Path) -> None:
    path, heard = tmp_path / "ovn-controller.log", Heard()
    write(path, 1)
    source = OvnFlowSource(path, heard.take)
    try:
        source.follow(frozenset({"weft-7"}))
        write(path, 2, scope="weft-8")
        write(path, 3)
        assert await heard.port() == 3
        path.rename(path.with_suffix(".log.1"))
        write(path, 4)
        assert await heard.port() == 4
        path.write_text("")
        await_look(source)
        write(path, 5)
        assert await heard.port() == 5
    finally:
        source.close()
    assert heard.is_empty


def await_look(source: OvnFlowSource) -> None:
    """Until the file is known to be shorter."""
    source.follow(frozenset())
    source.follow(frozenset({"weft-7"}))


async def test_of_a_flood_the_newest_is_told_and_a_log_of_ours_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, heard, begun = tmp_path / "ovn-controller.log", Heard(), asyncio.Event()
    monkeypatch.setattr(flow_log, "KEPT_BYTES", 1000)
    loop = asyncio.get_running_loop()
    write(path)
    source = OvnFlowSource(path, heard.take, begin_anew=lambda: (loop.call_soon_threadsafe(begun.set), None)[1])
    many = flow_log.BEHIND_BYTES // len(TCP) + 1000
    try:
        write(path, *range(1, 10))
        with path.open("a") as file:
            file.write("\n".join([TCP.replace("tp_dst=7001", "tp_dst=7")] * many) + "\n")
        source.follow(frozenset({"weft-7"}))
        with path.open("a") as file:
            file.write("\n".join([TCP.replace("tp_dst=7001", "tp_dst=8")] * many) + "\n")
        write(path, 9)
        told = 0
        while await heard.port() != 9:
            told += 1
        assert told <= flow_log.READ_BYTES // len(TCP) + 1
        async with asyncio.timeout(10):
            await begun.wait()
    finally:
        source.close()
