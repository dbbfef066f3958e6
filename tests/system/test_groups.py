"""Security groups: what they allow passes, and nothing else, in both directions."""

from collections.abc import Callable

import pytest

from weftwork.testing.cloud import allow

ALL_OUT = allow("all", None, "0.0.0.0/0")


@pytest.mark.stock
def test_members_of_the_default_group_talk_and_strangers_do_not(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "closed", egress=[ALL_OUT])
    a, b = mine.boot("a"), mine.boot("b")
    stranger = mine.boot("stranger", groups=("closed",))
    b.serve(tcp=[80], udp=[53])
    assert a.ping(b.address, tries=3) and b.ping(a.address)
    assert a.tcp(b.address, 80) and a.udp(b.address, 53)
    assert not stranger.ping(b.address, timeout_s=0.4)
    assert stranger.tcp(b.address, 80, timeout_s=0.4) is None
    assert not a.ping(stranger.address, timeout_s=0.4)


@pytest.mark.parametrize("other_subnet", [False, True], ids=["same subnet", "across subnets"])
def test_ports_and_protocols_are_exact(tenant: Callable, other_subnet: bool) -> None:
    mine = tenant()
    if other_subnet:
        mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    rules = [allow("tcp", (8000, 8002), "10.20.0.0/16"), allow("udp", 53, "10.20.0.0/16")]
    mine.cloud.group(mine.project, "server", ingress=rules)
    mine.cloud.group(mine.project, "client", egress=[ALL_OUT])
    client = mine.boot("client", groups=("client",))
    server = mine.boot("server", groups=("server",), subnet="far" if other_subnet else "default")
    ports = [7999, 8000, 8001, 8002, 8003]
    server.serve(tcp=[*ports, 53], udp=[52, 53, 8000])
    client.serve(tcp=[80])
    assert [port for port in ports if client.tcp(server.address, port, timeout_s=0.4)] == [8000, 8001, 8002]
    assert [port for port in (52, 53, 8000) if client.udp(server.address, port, timeout_s=0.4)] == [53]
    assert client.tcp(server.address, 53, timeout_s=0.4) is None
    assert not client.ping(server.address, timeout_s=0.4)
    assert server.tcp(client.address, 80, timeout_s=0.4) is None, "the server's group allows nothing out"


@pytest.mark.stock
def test_egress_rules_bind_the_sender(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "open", ingress=[allow("all", None, "0.0.0.0/0")])
    mine.cloud.group(mine.project, "narrow", egress=[allow("tcp", 80, "open")])
    server = mine.boot("server", groups=("open",))
    other = mine.boot("other", groups=("open",))
    client = mine.boot("client", groups=("narrow",))
    server.serve(tcp=[80, 81])
    other.serve(udp=[80])
    assert client.tcp(server.address, 80)
    assert client.tcp(server.address, 81, timeout_s=0.4) is None
    assert client.udp(other.address, 80, timeout_s=0.4) is None
    assert not client.ping(server.address, timeout_s=0.4)


def test_several_groups_add_up(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "web", ingress=[allow("tcp", 80, "0.0.0.0/0")])
    mine.cloud.group(mine.project, "ssh", ingress=[allow("tcp", 22, "0.0.0.0/0")])
    mine.cloud.group(mine.project, "out", egress=[ALL_OUT])
    server = mine.boot("server", groups=("web", "ssh"))
    client = mine.boot("client", groups=("out",))
    server.serve(tcp=[22, 80, 443])
    assert client.tcp(server.address, 22) and client.tcp(server.address, 80)
    assert client.tcp(server.address, 443, timeout_s=0.4) is None
    mine.cloud.set_groups(mine.project, "server", ["web"])
    assert client.tcp(server.address, 22, timeout_s=0.4) is None
    assert client.tcp(server.address, 80)


def test_a_port_without_groups_gets_nothing(tenant: Callable) -> None:
    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    a.serve(tcp=[80])
    mine.cloud.set_groups(mine.project, "a", [])
    assert not b.ping(a.address, timeout_s=0.4) and not a.ping(b.address, timeout_s=0.4)
    assert b.tcp(a.address, 80, timeout_s=0.4) is None


def test_a_group_as_source_follows_its_members(tenant: Callable) -> None:
    mine = tenant()
    mine.cloud.group(mine.project, "client", egress=[ALL_OUT])
    mine.cloud.group(mine.project, "friend", egress=[ALL_OUT])
    mine.cloud.group(mine.project, "server", ingress=[allow("tcp", 80, "friend")])
    server, client = mine.boot("server", groups=("server",)), mine.boot("client", groups=("client",))
    server.serve(tcp=[80])
    assert client.tcp(server.address, 80, timeout_s=0.4) is None
    mine.cloud.set_groups(mine.project, "client", ["client", "friend"])
    assert client.tcp(server.address, 80)
    flow = client.connect(server.address, 80)
    assert flow.echo()
    mine.cloud.set_groups(mine.project, "client", ["client"])
    assert not flow.echo(timeout_s=0.4), "no longer a member, no longer connected"
    flow.close()


@pytest.mark.stock
def test_revoking_a_rule_ends_its_flows_and_only_those(tenant: Callable) -> None:
    mine = tenant()
    one, two = allow("tcp", 80, "10.20.0.0/16"), allow("tcp", 81, "10.20.0.0/16")
    also_one = allow("tcp", (80, 90), "10.20.0.0/17")
    mine.cloud.group(mine.project, "server", ingress=[one, two])
    mine.cloud.group(mine.project, "client", egress=[ALL_OUT])
    server, client = mine.boot("server", groups=("server",)), mine.boot("client", groups=("client",))
    server.serve(tcp=[80, 81])
    doomed, spared = client.connect(server.address, 80), client.connect(server.address, 81)
    mine.cloud.add_rules(mine.project, "server", ingress=[also_one])
    mine.cloud.remove_rules(mine.project, "server", ingress=[one])
    assert doomed.echo() and spared.echo(), "another rule still allows both"
    mine.cloud.remove_rules(mine.project, "server", ingress=[also_one])
    assert not doomed.echo(timeout_s=0.4)
    assert spared.echo()
    doomed.close()
    spared.close()


def test_replies_pass_without_a_rule_and_unasked_packets_do_not(tenant: Callable) -> None:
    from weftwork.testing.guests import ethernet, ipv4, tcp

    mine = tenant()
    mine.cloud.group(mine.project, "server", ingress=[allow("tcp", 80, "0.0.0.0/0")])
    mine.cloud.group(mine.project, "client", egress=[ALL_OUT])
    server, client = mine.boot("server", groups=("server",)), mine.boot("client", groups=("client",))
    server.serve(tcp=[80])
    assert client.tcp(server.address, 80)
    segment = tcp(80, 4444, 16, server.address, client.address)
    with client.sniff() as tap:
        server.send_frame(ethernet(server.mac, client.mac, 0x0800, ipv4(server.address, client.address, 6, segment)))
        assert not any(segment in frame for frame in tap.frames()), "a reply to nothing"


def test_path_mtu_errors_come_back_to_the_sender(tenant: Callable) -> None:
    """An ICMP error belongs to the flow it speaks of (RFC 792): a closed UDP port is told to the client."""
    import socket

    from weftwork.testing.inside import open_socket

    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    with open_socket(a.name, socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.settimeout(2)
        datagram.connect((b.address, 9))
        datagram.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            datagram.recv(10)


@pytest.mark.linux  # OVN over the datapath in user space refuses parts: its rules cannot see their ports.
def test_fragments_of_a_permitted_flow_pass(tenant: Callable) -> None:
    mine = tenant()
    a, b = mine.boot("a"), mine.boot("b")
    assert a.ping(b.address, size_bytes=4000, tries=3)
    mine.cloud.subnet(mine.project, "far", "10.20.9.0/24")
    c = mine.boot("c", subnet="far")
    assert a.ping(c.address, size_bytes=4000, tries=3)
