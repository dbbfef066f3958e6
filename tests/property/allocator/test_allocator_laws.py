"""Laws of choosing: never reserved, never taken, in range, and exhausted exactly when nothing is left."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weftwork.allocator import macs, vlans, vnis
from weftwork.allocator.addresses import address_at, capacity, gateway_of, next_address, offset_of, why_reserved
from weftwork.allocator.bitmap import Bitmap
from weftwork.allocator.cidrs import lowest_free_range, next_vpc_range, why_unusable
from weftwork.allocator.external import next_external, why_not_offered
from weftwork.base.addresses import parse_mac


def bitmap(numbers: set[int]) -> Bitmap:
    made = Bitmap()
    for number in numbers:
        made.add(number)
    return made


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000))), st.integers(0, 5000), st.integers(0, 5000))
def test_a_bitmap_is_a_set_of_numbers(steps: list[tuple[bool, int]], start: int, end: int) -> None:
    bits, numbers = Bitmap(), set[int]()
    for adds, number in steps:
        if adds:
            bits.add(number)
            numbers.add(number)
        else:
            bits.discard(number)
            numbers.discard(number)

    assert len(bits) == len(numbers)
    assert all(number in bits for number in numbers)
    free = [number for number in range(start, end) if number not in numbers]
    assert bits.first_free(start, end) == (free[0] if free else None)


@given(st.sets(st.integers(0, 40)), st.integers(-1, 45), st.integers(0, 20), st.integers(0, 20))
def test_next_free_goes_round_and_finds_whatever_is_free(taken: set[int], after: int, start: int, size: int) -> None:
    end = start + size
    free = [number for number in range(start, end) if number not in taken]
    behind = [number for number in free if number > after]

    assert bitmap(taken).next_free(after, start, end) == next(iter(behind or free), None)


def test_a_large_range_costs_no_more_than_what_is_taken_of_it() -> None:
    taken = bitmap(set(range(3000)))

    assert taken.first_free(0, 1 << 64) == 3000
    assert taken.first_free(1 << 60, 1 << 64) == 1 << 60


@given(st.integers(24, 30), st.integers(0, 300), st.data())
def test_addresses_until_the_subnet_is_full_each_once_and_none_reserved(
    prefix: int, after: int, data: st.DataObject
) -> None:
    cidr = IPv4Network(("10.1.0.0", prefix))
    hosts = range(2, cidr.num_addresses - 1)
    taken = bitmap(data.draw(st.sets(st.sampled_from(hosts))) if hosts else set())
    free = capacity(cidr) - len(taken)

    for _ in range(free):
        offset = next_address(cidr, taken, after)
        assert offset is not None
        assert offset not in taken
        address = address_at(cidr, offset)
        assert address in cidr
        assert not why_reserved(cidr, address)
        assert offset_of(cidr, address) == offset
        taken.add(offset)
        after = offset
    assert next_address(cidr, taken, after) is None


def test_network_gateway_and_broadcast_are_reserved_and_nothing_else() -> None:
    cidr = IPv4Network("10.1.0.0/29")

    assert {int(address) & 7: why_reserved(cidr, address) for address in cidr if why_reserved(cidr, address)} == {
        0: "network address",
        1: "gateway",
        7: "broadcast address",
    }
    assert gateway_of(cidr) == IPv4Address("10.1.0.1")
    assert capacity(cidr) == 5


def test_the_pool_gives_10_1_first_and_10_0_last_and_skips_what_is_reserved() -> None:
    pool = IPv4Network("10.0.0.0/8")
    reserved = [IPv4Network("10.2.128.0/20")]
    taken: list[IPv4Network] = []
    while (chosen := next_vpc_range(pool, taken.__contains__, reserved)) is not None:
        taken.append(chosen)

    assert taken[:2] == [IPv4Network("10.1.0.0/16"), IPv4Network("10.3.0.0/16")]
    assert taken[-1] == IPv4Network("10.0.0.0/16")
    assert len(set(taken)) == 255


def test_a_pool_smaller_than_a_16_is_one_range() -> None:
    pool = IPv4Network("172.30.0.0/20")

    assert next_vpc_range(pool, lambda _: False, []) == pool
    assert next_vpc_range(pool, lambda _: True, []) is None


ranges = st.builds(
    lambda start, prefix: IPv4Network((int(IPv4Address("10.1.0.0")) + start, prefix), strict=False),
    st.integers(-300, 70000),
    st.integers(18, 30),
)


@given(st.lists(ranges, max_size=12), st.integers(18, 26))
def test_the_lowest_free_range_is_the_first_that_overlaps_nothing(taken: list[IPv4Network], prefix: int) -> None:
    within = IPv4Network("10.1.0.0/17")
    free = (one for one in within.subnets(new_prefix=prefix) if not any(one.overlaps(other) for other in taken))

    assert lowest_free_range(within, prefix, taken) == next(free, None)


@given(st.sets(st.integers(vlans.FIRST, vlans.LAST)))
def test_vlans_are_the_lowest_free_ones(taken: set[int]) -> None:
    assert vlans.lowest_free_vlan(taken) == min(set(range(1, 4095)) - taken, default=None)


def test_vlans_end_with_the_4094th() -> None:
    assert vlans.lowest_free_vlan(range(1, 4094)) == 4094
    assert vlans.lowest_free_vlan(range(1, 4095)) is None


def test_vnis_start_at_1001_and_rest_after_their_vpc() -> None:
    assert vnis.next_vni(Bitmap(), vnis.FIRST - 1) == 1001
    assert vnis.next_vni(bitmap({1002}), 1001) == 1003
    assert vnis.next_vni(bitmap(set()), vnis.LAST) == 1001


@given(st.integers(0, macs.END - 1))
def test_macs_are_unicast_locally_administered_and_each_number_has_its_own(number: int) -> None:
    mac = macs.mac_at(number)

    assert parse_mac(mac) == mac
    assert mac.startswith("02:57:")
    assert int(mac[6:].replace(":", ""), 16) == number


@pytest.mark.parametrize(("start", "size"), [(0, 1024), (macs.END - 10, 10), (macs.END, 0)])
def test_blocks_of_macs_end_with_the_counter(start: int, size: int) -> None:
    assert macs.next_block(start) == range(start, start + size)


@given(st.sets(st.integers(0, 15)), st.integers(0, 15), st.integers(28, 32))
def test_external_addresses_are_offered_and_free(taken: set[int], gateway: int, prefix: int) -> None:
    pool = IPv4Network((int(IPv4Address("198.51.100.0")), prefix))
    used = {IPv4Address("198.51.100.0") + number for number in taken}
    way_out = IPv4Address("198.51.100.0") + gateway
    offered = [one for one in pool if not why_not_offered([pool], way_out, one)]

    assert next_external([pool], way_out, used.__contains__) == next((one for one in offered if one not in used), None)
    assert way_out not in offered
    if prefix <= 30:
        assert pool.network_address not in offered and pool.broadcast_address not in offered


@pytest.mark.parametrize("text", ["0.0.0.0/8", "127.0.0.0/24", "169.254.7.0/24", "224.0.0.0/8", "255.255.0.0/16"])
def test_ranges_that_guests_cannot_use(text: str) -> None:
    assert why_unusable(IPv4Network(text))


@pytest.mark.parametrize("text", ["10.0.0.0/8", "100.64.0.0/10", "192.168.0.0/16", "203.0.113.0/24", "1.0.0.0/8"])
def test_ranges_that_guests_can_use(text: str) -> None:
    assert why_unusable(IPv4Network(text)) == ""
