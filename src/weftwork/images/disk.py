"""A tree of files → an ext4 image: the same tree gives the same bytes, on every machine and at any time."""

import asyncio
import os
import struct
import uuid
from pathlib import Path

from weftwork.base.errors import Failure

_BLOCK = 4096
_INODES_SPARE = 4096
_NAMESPACE = uuid.UUID("6f8d5a8e-4a0c-4d7b-9f3e-2d1b7c5e9a10")
_INODE = 256
_FEATURES = (
    "has_journal,ext_attr,filetype,sparse_super,large_file,extent,huge_file,flex_bg,uninit_bg,dir_nlink,extra_isize"
)
"""No checksums of metadata: the times of inodes are set afterwards, and would have to be summed again."""


async def make_ext4(tree: Path, image: Path, *, name: str, entries: int, size_bytes: int, spare_bytes: int) -> None:
    """Write `image`, a sparse file, from `tree`; `name` (a digest) decides its UUID and its hash seed.

    `spare_bytes` are left free in it for who uses it. Raises Failure DISK_FAILED with what mke2fs said; then there is
    no image.
    """
    identity = uuid.uuid5(_NAMESPACE, name)
    inodes = entries + _INODES_SPARE
    content = size_bytes + entries * _BLOCK  # a file's last block, and every folder's first
    whole = (content + content // 16 + inodes * 256 + spare_bytes + (64 << 20)) // _BLOCK
    partial = image.with_suffix(".partial")
    arguments = (
        *(
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-O",
            _FEATURES,
            "-b",
            str(_BLOCK),
            "-I",
            str(_INODE),
            "-m",
            "0",
            "-N",
            str(inodes),
        ),
        *("-U", str(identity), "-E", f"hash_seed={identity},lazy_itable_init=0,root_owner=0:0"),
        *("-L", "weft-root", "-d", str(tree), str(partial), str(whole)),
    )
    environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin") + ":/usr/sbin:/sbin"}
    environment |= {"E2FSPROGS_FAKE_TIME": "1", "LC_ALL": "C", "MKE2FS_CONFIG": "/dev/null"}
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise Failure("DISK_FAILED", f"mke2fs: {said.decode(errors='replace').strip().splitlines()[-1:]}")
        await asyncio.to_thread(_forget_when_it_was_made, partial)
        partial.rename(image)
    finally:
        partial.unlink(missing_ok=True)


def _forget_when_it_was_made(image: Path) -> None:
    """Give every inode its time of modification for all of its times.

    mke2fs takes them from the tree, where reading moves the one and nobody can set the other. Fields as in the
    kernel's Documentation/filesystems/ext4: 4-byte times at 8 (access), 12 (change), 16 (modification) and 144
    (creation) of an inode, and what is below a second at 132, 136, 140 and 148.
    """
    with image.open("r+b") as file:
        file.seek(1024)
        superblock = file.read(1024)
        inodes, blocks = struct.unpack_from("<II", superblock)
        blocks_per_group, inodes_per_group = struct.unpack_from("<I4xI", superblock, 32)
        (size,) = struct.unpack_from("<H", superblock, 88)
        assert size == _INODE, "that is what mke2fs was told"
        groups = -(-blocks // blocks_per_group)
        file.seek(_BLOCK)
        descriptors = file.read(groups * 32)
        for group in range(groups):
            (table,) = struct.unpack_from("<I", descriptors, group * 32 + 8)
            (unused,) = struct.unpack_from("<H", descriptors, group * 32 + 28)
            used = min(inodes_per_group, inodes - group * inodes_per_group) - unused
            file.seek(table * _BLOCK)
            held = bytearray(file.read(used * size))
            for start in range(0, len(held), size):
                modified, below = held[start + 16 : start + 20], held[start + 136 : start + 140]
                if any(held[start : start + 2]):
                    held[start + 8 : start + 16] = modified * 2
                    held[start + 132 : start + 136] = held[start + 140 : start + 144] = below
                    held[start + 144 : start + 152] = modified + below
            file.seek(table * _BLOCK)
            file.write(held)
