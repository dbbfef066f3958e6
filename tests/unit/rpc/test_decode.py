"""What decode lets through, and in which words it refuses the rest."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.base.errors import Kind, Refusal
from weftwork.base.tenancy import ProjectKey
from weftwork.model.keys import ThingKey
from weftwork.model.security_group import GroupRef, PortRange, Protocol, Rule
from weftwork.rpc import decode
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

ACME = ProjectKey("acme", "web")


@pytest.mark.parametrize(
    "text",
    [
        *("10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "010.0.0.0/8", " 10.0.0.0/8"),
        *(
            "10.0.0.0/8\n",
            "10.0.0.0/",
            "/8",
            "fe80::%eth0/64",
            "\u0661\u0660.0.0.0/8",
            "10.0.0.0/\u0668",
            "10.0.0.0/8/8",
            "x" * 9000,
        ),
    ],
)
def test_a_cidr_is_an_address_and_a_prefix_without_host_bits(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode.cidr(text, "cidr")

    assert (refused.value.code, refused.value.details["field"]) == ("INVALID_CIDR", "cidr")
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("text", ["", "Web", "a_b", "-a", "a-", "a" * 64, "a.b", "a/b", "ä", "a\n", "a b", "\x00"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode.name(text, "name")

    assert refused.value.code == ("INVALID_NAME" if text else "MISSING_FIELD")


@pytest.mark.parametrize("text", ["fe80::1%eth0", "10.0.0.256", "1", "0x1", "10.0.0.01", "10.0.0.1 ", "10.0.0.1/32"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode.address(text, "ip_address")

    assert refused.value.code == "INVALID_IP"


@given(st.ip_addresses())
def test_an_address_is_what_it_was(address: object) -> None:
    assert decode.address(str(address), "ip_address") == address


@given(st.text())
def test_any_text_is_a_reference_or_an_invalid_name(text: str) -> None:
    try:
        assert decode.reference(text, "port_id") == text
    except Refusal as refusal:
        assert refusal.kind is Kind.INVALID
        assert refusal.message.isprintable()


def test_a_vpc_id_may_be_left_out_but_not_be_anothers() -> None:
    assert decode.vpc_owner("acme", "web", "") == ACME
    assert decode.vpc_owner("acme", "web", "acme/web") == ACME
    with pytest.raises(Refusal) as refused:
        decode.vpc_owner("acme", "web", "rival/lab")
    assert refused.value.code == "VPC_NOT_FOUND"


def test_rules_become_values() -> None:
    by_cidr = pb.SecurityRule(
        protocol=pb.PROTOCOL_TCP,
        port_range=pb.PortRange(min=80, max=90),
        source_type=pb.SOURCE_TYPE_CIDR,
        source="0.0.0.0/0",
    )
    by_group = pb.SecurityRule(
        protocol=pb.PROTOCOL_ALL, source_type=pb.SOURCE_TYPE_SECURITY_GROUP, source="acme/web/db"
    )

    by_peer = pb.SecurityRule(protocol=pb.PROTOCOL_ALL, source_type=pb.SOURCE_TYPE_SECURITY_GROUP, source="lab/web/db")

    assert decode.rules([by_cidr, by_group, by_peer], "ingress_rules", ACME) == (
        Rule(Protocol.TCP, PortRange(80, 90), ip_network("0.0.0.0/0")),
        Rule(Protocol.ALL, None, GroupRef("db")),
        Rule(Protocol.ALL, None, GroupRef("db", ProjectKey("lab", "web"))),
    )


@pytest.mark.parametrize(
    ("rule", "code", "field"),
    [
        (pb.SecurityRule(source_type=pb.SOURCE_TYPE_CIDR, source="::/0"), "INVALID_PROTOCOL", "protocol"),
        (pb.SecurityRule(protocol=pb.PROTOCOL_TCP, source="::/0"), "INVALID_SOURCE", "source_type"),
        (pb.SecurityRule(protocol=pb.PROTOCOL_TCP, source_type=pb.SOURCE_TYPE_CIDR), "MISSING_FIELD", "source"),
        (
            pb.SecurityRule(protocol=pb.PROTOCOL_TCP, port_range=pb.PortRange(min=2, max=1)),
            "INVALID_PORT_RANGE",
            "port_range",
        ),
        (
            pb.SecurityRule(protocol=pb.PROTOCOL_TCP, source_type=pb.SOURCE_TYPE_SECURITY_GROUP, source="lab/db"),
            "INVALID_NAME",
            "source",
        ),
    ],
)
def test_a_bad_rule_is_refused_by_its_place_in_the_list(rule: pb.SecurityRule, code: str, field: str) -> None:
    good = pb.SecurityRule(protocol=pb.PROTOCOL_UDP, source_type=pb.SOURCE_TYPE_CIDR, source="::/0")

    with pytest.raises(Refusal) as refused:
        decode.rules([good, rule], "egress_rules", ACME)

    assert (refused.value.code, refused.value.details["field"]) == (code, f"egress_rules[1].{field}")


def test_a_page_has_a_size() -> None:
    assert [decode.page_size(size) for size in (0, 1, 1000, 1001, 2**32 - 1)] == [100, 1, 1000, 1000, 1000]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.1, 3600.5])
def test_a_wait_has_a_bound(seconds: float) -> None:
    with pytest.raises(Refusal) as refused:
        decode.wait_s(seconds, "timeout_s")

    assert refused.value.code == "INVALID_ARGUMENT"


def test_a_dnat_is_named_in_one_way_only() -> None:
    ref = weft.ResourceRef(kind="dnat", org_id="acme", project_id="web", id="2001:db8:0::1:080:tcp")

    assert decode.resource(ref, "resource") == ThingKey("dnat", ACME, f"{ip_address('2001:db8::1')}:80:tcp")


def test_an_update_without_a_mask_replaces_everything() -> None:
    all_of_it = frozenset({"description", "ingress_rules"})

    assert decode.update_paths([], all_of_it) == all_of_it
    assert decode.update_paths(["description"], all_of_it) == {"description"}
    with pytest.raises(Refusal):
        decode.update_paths(["name"], all_of_it)
