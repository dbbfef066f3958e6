"""A change that waits to be confirmed, and a data plane that does not do what its probe says."""

import json
import time
from collections.abc import Callable

from weftwork.client.messages import Confirmation
from weftwork.testing.guests import run
from weftwork.testing.patience import patient


def test_a_probe_that_the_data_plane_stops_takes_the_change_back(tenant: Callable) -> None:
    """By a rule of somebody else's, of which the model knows nothing, and which we leave alone."""
    mine = tenant()
    mine.boot("p"), mine.boot("q")
    client = mine.cloud.client
    change = client.create_security_group(mine.project, "extra")
    mine.cloud.do(change.until_confirmed("c", within_s=3600, probes=["from p to q tcp/80"]))
    netns = mine.cloud.port_info(mine.project, "p").device_netns

    table = (
        "add table bridge other; add chain bridge other every { type filter hook forward priority -600; policy drop; }"
    )
    run("ip", "netns", "exec", netns, "nft", table)

    deadline = time.monotonic() + patient(30)
    while (
        told := mine.cloud.gather(client.list_confirmations(mine.project))[0][0]
    ).state == Confirmation.STATE_PENDING:
        assert time.monotonic() < deadline
    assert told.state == Confirmation.STATE_UNDONE
    assert told.why == "probe from p to q tcp/80 fails on the data plane"
    rules = json.loads(run("ip", "netns", "exec", netns, "nft", "-j", "list", "table", "bridge", "other"))
    assert rules["nftables"], "whose rules are not ours stay"
    run("ip", "netns", "exec", netns, "nft", "delete", "table", "bridge", "other")
