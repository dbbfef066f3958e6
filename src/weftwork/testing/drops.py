"""What a VPC's guard has dropped, as an operator reads it with nft."""

import json

from weftwork.program.linux import GUARD_REASONS
from weftwork.testing.guests import run


def dropped(netns: str) -> dict[tuple[str, str], int]:
    """Packets by device and reason, for a day after the last."""
    shown = run("ip", "netns", "exec", netns, "nft", "-j", "list", "set", "bridge", "weftwork", "dropped")
    found = [one["set"].get("elem", []) for one in json.loads(shown)["nftables"] if "set" in one]
    elements = [one["elem"] for elements in found for one in elements]
    return {
        (one["val"]["concat"][0], GUARD_REASONS[int(one["val"]["concat"][1]) - 1]): one["counter"]["packets"]
        for one in elements
    }
