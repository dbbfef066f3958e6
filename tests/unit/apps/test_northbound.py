"""A server alone over OVN: what it must be told."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from weftwork.apps.backends import open_northbound
from weftwork.apps.deployment import Deployment
from weftwork.apps.settings import Settings
from weftwork.base.errors import Refusal
from weftwork.program.chassis import ChassisResource

ALONE = Settings(network_backend="ovn", network_ovn_northbound_endpoint="unix:/nowhere/nb.sock")
WITH_NAT = replace(ALONE, network_external_cidrs=(IPv4Network("203.0.113.0/24"),))

OURS = Deployment("aaaaaaaaaaaa")


async def test_without_a_northbound_it_programs_nothing() -> None:
    async with open_northbound(Settings(), OURS) as backend:
        assert backend is None


async def test_it_has_rows_to_write_and_nothing_to_plug() -> None:
    async with open_northbound(ALONE, OURS) as backend:
        assert backend is not None
        assert not any(issubclass(kind, ChassisResource) for part in backend.parts for kind in part.kinds)


async def test_it_must_be_told_which_chassis_lead_outside() -> None:
    with pytest.raises(Refusal, match=r"network\.ovn_gateway_chassis"):
        async with open_northbound(WITH_NAT, OURS):
            pass
    async with open_northbound(replace(WITH_NAT, network_ovn_gateway_chassis=("gw1",)), OURS) as backend:
        assert backend is not None
