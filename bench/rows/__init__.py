"""The rows of the table, each in a module of its own with one function `measure`."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.figure import Figure
from bench.rows import (
    api_calls,
    etcd_creates,
    first_packet,
    fleet_first_packet,
    fleet_moves,
    fleet_simulated,
    fleet_throughput,
    group_size,
    guest_boot,
    onboarding,
    ovn_ports,
    ovn_rule_change,
    ovn_throughput,
    ovn_up,
    packets,
    port_creates,
    programming,
    reach,
    restart,
    rule_change,
    scale,
    throughput,
)
from bench.run import Run


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measure: Callable[[Run], list[Figure]]


ROWS = {
    "port-creates": Row("durable port creates per second, beside raw SQLite commits", port_creates.measure),
    "api-calls": Row("calls per second through gRPC and REST, beside the bare frameworks", api_calls.measure),
    "etcd-creates": Row("port creates per second over etcd, beside raw transactions", etcd_creates.measure),
    "first-packet": Row("port create to first packet, with few and with many other ports", first_packet.measure),
    "throughput": Row("TCP between guests, beside a topology by hand without rules", throughput.measure),
    "packets": Row("64-byte UDP packets between guests, beside a topology by hand without rules", packets.measure),
    "group-size": Row("round trip behind a group of 10,000 entries, beside an empty one", group_size.measure),
    "rule-change": Row("rule change until packets obey, beside nft -f", rule_change.measure),
    "programming": Row("1,000 ports in 100 VPCs from nothing, beside ip -batch and nft -f", programming.measure),
    "onboarding": Row("200 tenants until programmed, beside a shell script", onboarding.measure),
    "ovn-ports": Row("ports into OVN's northbound, beside a raw transaction and ovn-nbctl", ovn_ports.measure),
    "ovn-up": Row("port create until up over OVN, and our own cost of it, at 100 and 2,000 ports", ovn_up.measure),
    "ovn-rule-change": Row("rule change over OVN until packets obey, beside ovn-nbctl", ovn_rule_change.measure),
    "ovn-throughput": Row("TCP between guests over OVN, beside the same OVN by hand", ovn_throughput.measure),
    "fleet-throughput": Row("TCP and round trips across hosts, beside VXLAN by hand", fleet_throughput.measure),
    "fleet-moves": Row("a port moved to another host: the gap", fleet_moves.measure),
    "fleet-first-packet": Row("port create to first packet from another host", fleet_first_packet.measure),
    "fleet-simulated": Row("1,000 hosts without kernels: one change, memory, CPU", fleet_simulated.measure),
    "scale": Row("memory, start and one change of a server with up to 1,000,000 ports", scale.measure),
    "reach": Row("who reaches whom among 10,000 ports, beside asking pair by pair", reach.measure),
    "guest-boot": Row("a guest until its init's first line, beside a bare script; its disk", guest_boot.measure),
    "restart": Row("agent restart with 1,000 ports: packets lost, writes to the kernel", restart.measure),
}
