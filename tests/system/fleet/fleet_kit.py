"""A lab as tests use it: its API, and what its guests see."""

import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from weftwork.apps.lab.lab import Lab, wait_until
from weftwork.apps.lab.machine import Machine
from weftwork.client.messages import Port
from weftwork.rpc.generated.weftwork.v1.host_pb2 import Host
from weftwork.testing.cloud import WAIT_S, Cloud
from weftwork.testing.patience import patient

RED, BLUE = "lab/red", "lab/blue"
_JUDGED_WRONG = ("published all the same", "ISOLATION_VIOLATED")
"""What the server logs when its judge has something to say."""
_FORGE = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 4789))
"""


class Fleet:
    def __init__(self, lab: Lab, cloud: Cloud) -> None:
        self.lab = lab
        self.cloud = cloud

    @classmethod
    @contextmanager
    def up(cls, folder: Path, *, hosts: int) -> Iterator["Fleet"]:
        lab = Lab(folder / "lab", start_s=patient(60))
        lab.up(hosts)
        try:
            with Cloud(lab.address) as cloud:
                yield cls(lab, cloud)
        finally:
            lab.down()

    def whole(self) -> None:
        """Everything runs, is ready, and nothing is held for nobody."""
        self.lab.heal()
        self.cloud.reconnect()
        self.lab.wait_ready(list(self.lab.state.hosts))
        self.until(lambda: self.cloud.leaks() == [], "no leak")
        said = (self.lab.folder / "server" / "server.log").read_text()
        assert not [line for line in said.splitlines() if any(one in line for one in _JUDGED_WRONG)]

    def until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        wait_until(is_so, what, self.lab.folder / "h1" / "agent.log", patient(timeout_s))

    def guest(self, name: str, project: str, host: str, *, subnet: str = "default") -> str:
        """A new one, with its address by DHCP."""
        port = self.cloud.port(project, name, subnet=subnet)
        self.lab.guest(name, project, host, port.ip_address)
        self.plug(name, project, host)
        assert self.lab.lease(name), f"{name} gets no address"
        return port.ip_address

    def plug(self, name: str, project: str, host: str) -> Port:
        plugged = self.cloud.do(self.cloud.client.plug_port(project, name, name, host=host))
        self.cloud.wait_programmed("port", project, plugged.id, plugged.revision, WAIT_S)
        return plugged

    def remove(self, name: str) -> None:
        guest = self.lab.state.guests.pop(name)
        self.cloud.do(self.cloud.client.delete_port(guest.project, name))
        self.lab.state.hosts[guest.host].machine.run("ip", "netns", "del", name)

    def echoes(self, name: str) -> int:
        """Pings that came to a guest."""
        lines = self.lab.in_guest(name, "cat", "/proc/net/snmp").splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Icmp:"))
        return int(dict(zip(names, values, strict=True))["InEchos"])

    def ready(self, host: str) -> bool:
        return self.host(host).ready

    def host(self, name: str) -> Host:
        (found,) = self.cloud.gather(self.cloud.client.hosts.get(name))
        return found

    def forge(self, by: str, to: str, inner: bytes, vni: int) -> None:
        """VXLAN by a machine of the lab that nobody asked for it."""
        packet = struct.pack("!II", 0x08000000, vni << 8) + inner
        machine = self.lab.state.hosts[by].machine if by != "server" else self.server_machine
        machine.run(sys.executable, "-c", _FORGE, self.lab.state.hosts[to].underlay, packet.hex())

    @property
    def server_machine(self) -> Machine:
        return Machine("server", self.lab.state.server_host)


def echo_request(source: Port, destination: Port) -> bytes:
    """A frame as it comes out of a tunnel."""
    icmp = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"weft" * 8
    icmp = icmp[:2] + struct.pack("!H", _checksum(icmp)) + icmp[4:]
    ends = IPv4Address(source.ip_address).packed + IPv4Address(destination.ip_address).packed
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 1, 0, 64, socket.IPPROTO_ICMP, 0) + ends
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    macs = bytes.fromhex((destination.mac_address + source.mac_address).replace(":", ""))
    return macs + b"\x08\x00" + ip + icmp


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@contextmanager
def pinging(fleet: Fleet, source: str, destination: str) -> Iterator[list[int]]:
    """Every 20 ms meanwhile; afterwards the list holds how many got lost, and how many there were."""
    machine = fleet.lab.state.hosts[fleet.lab.state.guests[source].host].machine
    target = fleet.lab.state.guests[destination].address
    command = ("nsenter", f"--net=/run/netns/{source}", "--", "ping", "-n", "-i", "0.02", "-W", "1", target)
    running = subprocess.Popen(machine.inside(*command), stdout=subprocess.PIPE, text=True)
    counted: list[int] = []
    time.sleep(0.1)
    yield counted
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=10)
    summary = next(line for line in said.splitlines() if "packets transmitted" in line).split()
    sent, received = int(summary[0]), int(summary[3])
    counted += [sent - received, sent]
