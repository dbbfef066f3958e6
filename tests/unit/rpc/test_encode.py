"""What is told of a thing is what the thing is."""

from ipaddress import ip_address, ip_network

from weftwork.base.addresses import Mac
from weftwork.base.tenancy import ProjectKey
from weftwork.model.port import Attachment, AttachmentKind, Port
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule, SecurityGroup
from weftwork.rpc import decode, encode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb

ACME = ProjectKey("acme", "web")
PORT = Port(
    owner=ACME,
    id="7f3c2b1a-0000-4000-8000-000000000001",
    name="web1",
    subnet="default",
    vm="",
    mac=Mac("02:57:00:00:00:01"),
    addresses=(ip_address("10.1.0.10"),),
    groups=("default", "web"),
    attachment=None,
    created_at=7,
)


def test_a_detached_port_has_no_vm_and_no_device() -> None:
    message = encode.port(PORT, 3, (), netns="weft-1001", mtu_bytes=1450)

    assert not message.HasField("vm_id")
    assert not message.HasField("attachment")
    assert (message.device, message.device_netns) == ("", "")
    assert message.subnet_id == "acme/web/default"
    assert list(message.security_group_ids) == ["acme/web/default", "acme/web/web"]
    assert (message.ip_address, message.mtu_bytes, message.revision) == ("10.1.0.10", 1450, 3)


def test_a_plugged_port_says_where_its_device_is() -> None:
    attachment = Attachment(AttachmentKind.NETNS, "guest1", "eth0")
    port = Port(**{name: getattr(PORT, name) for name in Port.__slots__} | {"attachment": attachment})

    message = encode.port(port, 3, (), netns="weft-1001", mtu_bytes=1450)

    assert message.attachment == pb.Attachment(kind=pb.Attachment.KIND_NETNS, netns="guest1", interface="eth0")
    assert (message.device, message.device_netns) == ("tap7f3c2b1a0000", "weft-1001")


def test_rules_come_back_as_they_went() -> None:
    """decode(encode(x)) == x, with groups told by their full id."""
    rules = (
        Rule(Protocol.TCP, PortRange(0, 65535), ip_network("10.0.0.0/8")),
        Rule(Protocol.UDP, PortRange(53, 53), ip_network("::/0")),
        Rule(Protocol.ICMP, None, GroupRef("web")),
        Rule(Protocol.ALL, None, ip_network("0.0.0.0/0")),
    )
    group = SecurityGroup(ACME, "web", "", rules, rules[::-1], 1)

    message = encode.security_group(group, 1, ())

    assert message.ingress_rules[2].source == "acme/web/web"
    assert decode.rules(message.ingress_rules, "ingress_rules", ACME) == group.ingress
    assert decode.rules(message.egress_rules, "egress_rules", ACME) == group.egress
