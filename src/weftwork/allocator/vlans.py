"""VLAN numbers: one per subnet of a VPC."""

from collections.abc import Iterable

from weftwork.allocator.bitmap import Bitmap

FIRST = 1
LAST = 4094


def lowest_free_vlan(taken: Iterable[int]) -> int | None:
    used = Bitmap()
    for vlan in taken:
        used.add(vlan)
    return used.first_free(FIRST, LAST + 1)
