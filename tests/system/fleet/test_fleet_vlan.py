"""Hosts of a fleet with one bridge for each VPC, which filters VLANs: guests see no difference."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_kit import RED, Fleet

from weftwork.drivers.linux.probe import probe

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif("vlan" not in probe().layouts, reason="this kernel has no layout vlan"),
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("vlan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEFT_NETWORK_LAYOUT", "vlan")
        with Fleet.up(folder, hosts=2) as one:
            yield one


def test_guests_meet_across_hosts_in_a_subnet_and_between_subnets_and_tenants_do_not(fleet: Fleet) -> None:
    """red1 is in `default` on h1, red2 in `back` on h2."""
    fleet.guest("red8", RED, "h2")
    try:
        for one, other in (("red1", "red8"), ("red8", "red1"), ("red1", "red2"), ("red2", "red1")):
            assert fleet.lab.ping(one, other, timeout_s=3), f"{one} does not reach {other}"
        assert not fleet.lab.ping("blue1", fleet.lab.state.guests["red8"].address)
        scope = fleet.cloud.port_info(RED, "red8").device_netns
        said = fleet.lab.state.hosts["h2"].machine.run("ip", "netns", "exec", scope, "bridge", "-j", "vlan", "show")
        vlans = {one["ifname"]: [vlan["vlan"] for vlan in one["vlans"]] for one in json.loads(said)}
        assert vlans["vx1"] == vlans[fleet.cloud.port_info(RED, "red8").device] == [1]
        assert fleet.cloud.leaks() == []
    finally:
        fleet.remove("red8")
