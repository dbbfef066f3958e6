"""TCP between guests over OVN, beside guests of an OVN that was set up by hand with the tools of OVN."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figure import Figure, interleaved
from bench.rows.throughput import gigabits_per_s
from bench.run import Run
from bench.topology import Trio, offloads, ours
from weftwork.drivers.ovn.private import PrivateOvn, datapath
from weftwork.testing.guests import Guest
from weftwork.testing.guests import run as run_command

NETNS = "hand-ovn"
AGAINST = "same OVN by hand"


def measure(run: Run) -> list[Figure]:
    folder = run.fresh_folder("ovn-throughput")
    with ours(folder, backend="ovn") as mine, by_hand(folder / "hand") as theirs:
        for one, other in ((mine.source, theirs.source), (mine.near, theirs.near), (mine.far, theirs.far)):
            assert offloads(one) == offloads(other), "the two topologies offload differently"
            assert one.mtu_bytes == other.mtu_bytes, "the two topologies have different MTUs"
        return [
            _figure(run, "TCP over OVN, same subnet", mine, theirs, lambda trio: trio.near),
            _figure(run, "TCP over OVN, across subnets", mine, theirs, lambda trio: trio.far),
        ]


def _figure(run: Run, name: str, mine: Trio, theirs: Trio, to: Callable[[Trio], Guest]) -> Figure:
    def of(trio: Trio) -> float:
        return gigabits_per_s(trio.source, to(trio))

    samples, peer = interleaved(run.rounds * run.size(3, 1), lambda: of(mine), lambda: of(theirs))
    return Figure(name, "Gbit/s", samples, peer, AGAINST, must=0.90, aim=0.95, at_least=True)


@contextlib.contextmanager
def by_hand(folder: Path) -> Iterator[Trio]:
    """A router, two switches, three ports with port security, and a group whose members may talk."""
    run_command("ip", "netns", "add", NETNS)
    ovn = PrivateOvn(folder, NETNS, datapath=datapath())
    try:
        ovn.start()
        _lay_out(ovn)
        with contextlib.ExitStack() as stack:
            places = (("source", 1, 10), ("near", 1, 11), ("far", 2, 10))
            yield Trio(*(stack.enter_context(_plugged(ovn, *place)) for place in places))
    finally:
        ovn.stop()
        run_command("ip", "netns", "del", NETNS)


def _nbctl(ovn: PrivateOvn, *words: str) -> None:
    ovn.run("ovn-nbctl", f"--db={ovn.northbound}", *words)


def _lay_out(ovn: PrivateOvn) -> None:
    _nbctl(ovn, "lr-add", "router", "--", "pg-add", "all")
    for number in (1, 2):
        gateway = f"02:49:00:00:00:0{number}"
        _nbctl(ovn, "ls-add", f"s{number}", "--", "lrp-add", "router", f"leg{number}", gateway, f"10.99.{number}.1/24")
        way = f"way{number}"
        _nbctl(ovn, "lsp-add", f"s{number}", way, "--", "lsp-set-type", way, "router")
        _nbctl(ovn, "lsp-set-addresses", way, "router", "--", "lsp-set-options", way, f"router-port=leg{number}")
    for direction, end in (("from-lport", "inport"), ("to-lport", "outport")):
        _nbctl(ovn, "--type=port-group", "acl-add", "all", direction, "1000", f"{end} == @all && ip4", "allow-related")
        _nbctl(ovn, "--type=port-group", "acl-add", "all", direction, "1001", f"{end} == @all && arp", "allow")
        _nbctl(ovn, "--type=port-group", "acl-add", "all", direction, "0", f"{end} == @all", "drop")


@contextlib.contextmanager
def _plugged(ovn: PrivateOvn, name: str, switch: int, number: int) -> Iterator[Guest]:
    port, mac = f"hand{switch}{number}", f"02:59:00:00:{switch:02x}:{number:02x}"
    address = f"10.99.{switch}.{number}"
    with Guest.boot(f"hand-{name}") as one:
        run_command("ip", "-n", NETNS, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", one.name)
        run_command("ip", "-n", one.name, "link", "set", "eth0", "address", mac)
        run_command("ip", "netns", "exec", one.name, "ethtool", "-K", "eth0", "tx", "off")
        run_command("ip", "-n", NETNS, "link", "set", port, "up")
        _nbctl(ovn, "lsp-add", f"s{switch}", port, "--", "lsp-set-addresses", port, f"{mac} {address}")
        _nbctl(ovn, "lsp-set-port-security", port, f"{mac} {address}")
        _nbctl(ovn, "--id=@p", "get", "Logical_Switch_Port", port, "--", "add", "Port_Group", "all", "ports", "@p")
        ovn.vsctl(
            "--no-wait", "add-port", "br-int", port, "--", "set", "Interface", port, f"external_ids:iface-id={port}"
        )
        one.configure(f"{address}/24", f"10.99.{switch}.1")
        _nbctl(ovn, "--wait=hv", "sync")
        yield one
