"""An empty qcow2 image (version 3): what a guest writes, over a disk that stays as it is.

Its size does not depend on the disk's: a table entry per 512 MiB. As in QEMU's docs/interop/qcow2.txt.
"""

import struct

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_COVERED_BY_L1_ENTRY = _CLUSTER * (_CLUSTER // 8)
_REFCOUNT_ORDER = 4
HEADER_BYTES = 104
_SIZE_AT, _L1_ENTRIES_AT = 24, 36
_SPARE_ENTRIES = 8192
"""Entries of the table of an image, at least, so that it may grow in place."""
SIZE_MAX_BYTES = _SPARE_ENTRIES * _COVERED_BY_L1_ENTRY
"""4 TiB."""


def empty(size_bytes: int) -> bytes:
    """For a disk of that size, a multiple of 512 and at most `SIZE_MAX_BYTES`; what lies under it is named by who opens
    it, not in here."""
    assert size_bytes % 512 == 0, "a disk has whole sectors"
    entries = -(-size_bytes // _COVERED_BY_L1_ENTRY)
    l1_clusters = -(-max(entries, _SPARE_ENTRIES) * 8 // _CLUSTER)
    # Cluster 0: header; 1: table of refcount blocks; 2: the one block; then L1, all zero.
    clusters = 3 + l1_clusters
    assert clusters <= _CLUSTER // 2, "one block of reference counts is enough for that"
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        3,
        0,
        0,
        _CLUSTER_BITS,
        size_bytes,
        0,
        entries,
        3 * _CLUSTER,
        1 * _CLUSTER,
        1,
        0,
        0,
        0,
        0,
        0,
        _REFCOUNT_ORDER,
        HEADER_BYTES,
    )
    table = struct.pack(">Q", 2 * _CLUSTER)
    counts = struct.pack(f">{clusters}H", *[1] * clusters)
    written = b"".join(part.ljust(_CLUSTER, b"\0") for part in (header, table, counts))
    return written + bytes(l1_clusters * _CLUSTER)


def grown(header: bytes, size_bytes: int) -> bytes:
    """The header of an image of ours with another size, which is larger; empty when there is nothing to change."""
    (size,) = struct.unpack_from(">Q", header, _SIZE_AT)
    if size_bytes <= size:
        return b""
    entries = -(-size_bytes // _COVERED_BY_L1_ENTRY)
    assert entries <= _SPARE_ENTRIES, "larger than it can become in place"
    changed = bytearray(header)
    struct.pack_into(">Q", changed, _SIZE_AT, size_bytes)
    struct.pack_into(">I", changed, _L1_ENTRIES_AT, entries)
    return bytes(changed)
