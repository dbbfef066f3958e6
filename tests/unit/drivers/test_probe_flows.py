"""The flows that mark a probe and take it where it would go out, and what is read of traces."""

from dataclasses import replace
from ipaddress import IPv4Address

from weftwork.base.addresses import Mac
from weftwork.drivers.chassis.probe_flows import (
    ARRIVED,
    ASTRAY,
    ELSEWHERE,
    ENTERED,
    Marked,
    Place,
    counted,
    flows_for,
)
from weftwork.drivers.chassis.trace_texts import comes_out_at, dropped_by, stages
from weftwork.model.port import Attachment, AttachmentKind
from weftwork.seams.tracer import Injection

DUMP = """ cookie=0x1, priority=100,in_port="port-a" actions=set_field:0x1->metadata,resubmit(,8)
 cookie=0x2, table=39, priority=100,reg15=0x9,metadata=0x1 actions=set_field:0x9->tun_id,output:"genev-2"
 cookie=0x3, table=65, priority=100,reg15=0x2,metadata=0x1 actions=output:"port-b"
 cookie=0x4, table=65, priority=100,reg15=0x3,metadata=0x1 actions=output:port-c
 cookie=0x5, table=65, priority=100,reg15=0x4,metadata=0x1 actions=clone(ct_clear,resubmit(,8))
"""
SENT = Injection(
    scope="weft-101",
    device="port-a",
    attachment=Attachment(AttachmentKind.NETNS, "guest", "eth0"),
    source_mac=Mac("02:57:00:00:00:01"),
    next_mac=Mac("02:57:00:00:00:02"),
    source=IPv4Address("10.0.1.1"),
    destination=IPv4Address("10.0.1.2"),
    protocol=6,
    destination_port=80,
    out="port-b",
    leaves=False,
    ways_out=(),
)
MARKED = Marked(number=0xABC, source_port=61000, ttl=64)
TOLD = """# tcp
ingress(dp="red.subnet.a", inport="a")
--------------------------------------
 0. ls_in_check_port_sec (northd.c:8432): 1, priority 50, uuid ad3482be
    next;
17. ls_in_acl_after_lb (northd.c:6445): reg0[7] == 1 && (inport == @g && ip4), priority 2000, uuid a291480d
    reg0[1] = 1;
    next;

egress(dp="red.subnet.b", inport="way", outport="b")
----------------------------------------------------
 4. ls_out_acl (northd.c:6543): reg0[9] == 1 && (outport == @all), priority 1000, uuid f7eed9c0
    drop;
"""
PHYSICAL = """bridge("br-int")
----------------
 0. in_port=11, priority 100, cookie 0xcd85087e
    resubmit(,8)
 8. icmp, priority 60000
    drop

Final flow: unchanged
"""


def cookies(arrival: Place | None, injection: Injection = SENT) -> dict[str, int]:
    """Of the flows that take the packet, by what they match besides its mark."""
    flows = list(flows_for(injection, MARKED, arrival, DUMP))[1:]
    assert all("pkt_mark=0xabc" in flow and flow.endswith("actions=drop") for flow in flows)
    return {flow.split("pkt_mark=0xabc,")[1].split(",actions=")[0]: int(flow[7:].split(",")[0], 16) for flow in flows}


def test_a_probe_is_marked_where_it_comes_in_and_nothing_else_is() -> None:
    entry = next(flows_for(SENT, MARKED, None, DUMP))

    assert f"cookie={ENTERED:#x},table=0," in entry
    assert 'in_port="port-a",ip,dl_src=02:57:00:00:00:01,nw_src=10.0.1.1' in entry
    assert "nw_dst=10.0.1.2,nw_proto=6,nw_ttl=64,tp_src=61000,tp_dst=80" in entry
    assert entry.endswith("actions=set_field:0xabc->pkt_mark,resubmit(,0)") and "pkt_mark=0," in entry


def test_a_ping_is_known_by_its_ttl_as_it_has_no_port() -> None:
    entry = next(flows_for(replace(SENT, protocol=1), replace(MARKED, ttl=200), None, DUMP))
    assert "nw_ttl=200,icmp_type=8," in entry


def test_it_is_taken_at_every_device_and_told_apart_by_where() -> None:
    assert cookies(None) == {
        "reg15=0x9,metadata=0x1": ELSEWHERE,
        "reg15=0x2,metadata=0x1": ARRIVED,
        "reg15=0x3,metadata=0x1": ASTRAY,
    }


def test_what_leaves_arrives_at_the_routers_port_and_at_no_device() -> None:
    found = cookies(Place(datapath=7, port=5), replace(SENT, leaves=True, out="port-b"))

    assert found["reg15=0x5,metadata=0x7"] == ARRIVED
    assert found["reg15=0x2,metadata=0x1"] == ASTRAY


def test_packets_are_counted_by_cookie() -> None:
    dump = "".join(
        f" cookie={ASTRAY:#x}, duration=1s, table=65, n_packets={n}, n_bytes=9, ip actions=drop\n" for n in (1, 2)
    )
    assert counted(dump) == {ASTRAY: 3}


def test_of_a_trace_the_deciding_stages_are_told() -> None:
    assert list(stages(TOLD)) == [
        "red.subnet.a ls_in_acl_after_lb: (inport == @g && ip4) -> next",
        "red.subnet.b ls_out_acl: (outport == @all) -> drop",
    ]
    assert not comes_out_at(TOLD, "b") and comes_out_at('    /* output to "b", type "" */', "b")


def test_the_flow_that_drops_a_packet_is_named() -> None:
    assert dropped_by(PHYSICAL) == "br-int table 8: icmp -> drop"
    assert dropped_by(PHYSICAL.replace("drop", "output:3")) == ""
