"""Pure encoders and decoders of the Linux driver: what goes in comes out."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.drivers.linux import namespaces, nft_notes, sysctls
from weftwork.drivers.linux.netlink import attribute, attributes, each_attribute, nested, u32
from weftwork.drivers.linux.nft_types import read_range, types_of

_IPV4 = 7


@given(st.text(max_size=40))
def test_a_note_gives_its_text_back(text: str) -> None:
    assert nft_notes.decode(nft_notes.encode(text)) == text


@given(st.text())
def test_somebody_elses_comment_is_no_note_of_ours_and_no_crash(text: str) -> None:
    assert nft_notes.decode(text) is None or text.startswith("w1:")
    nft_notes.decode("w1:" + text)


def test_an_ordinary_rule_of_200_characters_fits_and_noise_is_refused() -> None:
    rule = (
        "meta l4proto 6 ct reply proto-src 8000-9000 ct original ip saddr @in.frontend-of-the-shop.6.8000-9000 "
        'limit rate over 10/second burst 20 packets counter name "denied_from_outside" meta mark set 7 goto dropped'
    )
    assert len(rule) > 200
    assert nft_notes.decode(nft_notes.encode(rule)) == rule
    with pytest.raises(nft_notes.TooLongError):
        nft_notes.encode(" ".join(str(IPv4Address(7919 * number**5 % 2**32)) for number in range(40)))


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=6))
def test_attributes_come_back_in_order(pairs: list[tuple[int, bytes]]) -> None:
    packed = b"".join(attribute(*pair) for pair in pairs)
    assert list(each_attribute(packed)) == pairs
    assert attributes(nested(9, attribute(1, u32(7)))) == {9: attribute(1, u32(7))}


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_a_range_that_is_a_prefix_reads_as_one(address: int, length: int) -> None:
    size = 1 << (32 - length)
    first = address // size * size
    types = types_of(_IPV4)
    assert types is not None
    words = read_range(types, first.to_bytes(4, "big"), (first + size - 1).to_bytes(4, "big"))
    assert words == (str(IPv4Address(first)) if length == 32 else f"{IPv4Address(first)}/{length}")


@pytest.mark.parametrize("name", ["kernel/core_pattern", "net/../kernel/core_pattern", "net", "net/a b", "/net/x", ""])
def test_only_names_below_net_are_sysctls(name: str) -> None:
    with pytest.raises(ValueError, match="sysctl"):
        sysctls.note_of(name)


def test_a_sysctl_is_known_again_by_its_note() -> None:
    name = "net/ipv4/conf/br0.10/rp_filter"
    assert sysctls.name_of(sysctls.note_of(name)) == name
    assert sysctls.name_of("enp0s3f0") is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../etc/passwd", "x" * 300])
def test_a_namespace_is_one_path_component(name: str) -> None:
    with pytest.raises(ValueError, match="network namespace"):
        namespaces.path_of(name)
