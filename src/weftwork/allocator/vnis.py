"""Virtual network identifiers: one per VPC of the deployment."""

from weftwork.allocator.bitmap import Bitmap

FIRST = 1001
LAST = 16_777_215
"""24 bits (RFC 7348)."""


def next_vni(taken: Bitmap, after: int) -> int | None:
    """The next free one behind `after`, going round: a VNI rests after its VPC was deleted."""
    return taken.next_free(after, FIRST, LAST + 1)
