"""MACs of a VPC's ports: `02:57:` and 32 bits that only ever count up, so that no MAC is given twice."""

from weftwork.base.addresses import Mac

BLOCK = 1024
"""How many are taken from the VPC's counter at once; what a process does not use of them is never used."""
END = 1 << 32

GATEWAY_PREFIX = "02:47:"
"""Gateways' MACs: no port can have one."""


def mac_at(number: int) -> Mac:
    return Mac(f"02:57:{number >> 24:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}")


def next_block(start: int) -> range:
    """The block that starts at the counter's value; empty when all numbers were given."""
    return range(start, min(start + BLOCK, END))
