"""The two ends of a DNAT as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.cli.endpoints import External, Internal, parse_external, parse_internal

externals = st.builds(
    External,
    address=st.just("") | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    protocol=st.sampled_from(("tcp", "udp")),
)


@given(externals)
def test_a_printed_external_end_is_read_back_as_itself(external: External) -> None:
    assert parse_external(str(external)) == external


@given(externals.filter(lambda external: "." in external.address))
def test_the_id_of_the_api_is_accepted_too(external: External) -> None:
    assert parse_external(external.id) == external


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("203.0.113.10", "not ADDRESS:PORT"),
        ("203.0.113.10:", "not ADDRESS:PORT"),
        ("203.0.113:80", "not an address"),
        ("203.0.113.10:0", "not a port"),
        ("203.0.113.10:65536", "not a port"),
        ("203.0.113.10:80/icmp", "only tcp and udp"),
        ("web:80", "not ADDRESS:PORT"),
        ("", "not ADDRESS:PORT"),
    ],
)
def test_a_wrong_external_end_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_external(text)


@pytest.mark.parametrize(
    ("text", "internal", "is_address"),
    [
        ("web1:8080", Internal("web1", 8080), False),
        ("web1", Internal("web1", 0), False),
        ("10.0.0.5:8080", Internal("10.0.0.5", 8080), True),
        ("[fd00::5]:8080", Internal("fd00::5", 8080), True),
    ],
)
def test_the_internal_end_is_a_port_or_an_address(text: str, internal: Internal, is_address: bool) -> None:
    assert parse_internal(text) == internal
    assert parse_internal(text).is_address is is_address


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_external, parse_internal):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
