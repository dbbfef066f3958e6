"""A chassis that is dead: what concerns it is not in force, and nothing else waits for it."""

import time

import pytest
from ovn_programs import network

from weftwork.drivers.ovn.driver import OvnDriver
from weftwork.drivers.ovn.private import PrivateOvn
from weftwork.drivers.ovn.southbound import Southbound
from weftwork.planner.plan import make_plan
from weftwork.program.ovn import Acl, AclAction, AclDirection
from weftwork.program.plan import Create
from weftwork.program.resource import Program
from weftwork.seams.driver import carried_out

pytestmark = pytest.mark.system

NOTHING: Program = frozenset()
HERE, THERE = 101, 102
"""VPCs: the second has a port on the dead chassis."""
_GROUP = f"weft_{THERE}_all"
RULE = Acl(f"weft-{THERE}", f"group {_GROUP}", AclDirection.TO_PORT, 7, f"outport == @{_GROUP} && udp", AclAction.DROP)


def sbctl(ovn: PrivateOvn, *words: str) -> str:
    return ovn.run("ovn-sbctl", f"--db={ovn.southbound}", *words).strip()


def bury(ovn: PrivateOvn, port: str) -> None:
    """A chassis that once had this port and answers no more."""
    sbctl(ovn, "chassis-add", "dead", "geneve", "127.0.0.9")
    uuid = sbctl(ovn, "--bare", "--columns=_uuid", "find", "Chassis", "name=dead")
    sbctl(ovn, "create", "Chassis_Private", "name=dead", f"chassis={uuid}")
    sbctl(ovn, "lsp-bind", port, "dead")


async def test_a_dead_chassis_is_named_and_holds_up_only_what_it_carries(ovn: PrivateOvn) -> None:
    driver = OvnDriver((ovn.northbound,), southbound=Southbound((ovn.southbound,)), install_timeout_s=2)
    try:
        assert not await carried_out(driver, make_plan(desired=network(THERE), observed=NOTHING))
        bury(ovn, f"weft-{THERE}.port1")

        began = time.monotonic()
        assert not await carried_out(driver, make_plan(desired=network(HERE), observed=NOTHING))
        assert time.monotonic() - began < 1.5, "it does not wait for a chassis that has nothing of it"

        failures = await carried_out(driver, (Create(RULE),))
        assert failures.keys() == {RULE.key}
        assert all("chassis dead" in str(failure) for failure in failures.values())
    finally:
        await driver.close()


async def test_without_a_southbound_every_chassis_is_waited_for(ovn: PrivateOvn) -> None:
    driver = OvnDriver((ovn.northbound,), install_timeout_s=1)
    try:
        assert not await carried_out(driver, make_plan(desired=network(THERE), observed=NOTHING))
        bury(ovn, f"weft-{THERE}.port1")
        failures = await carried_out(driver, make_plan(desired=network(HERE), observed=NOTHING))
        assert {failure.code for failure in failures.values()} == {"OVN_NOT_INSTALLED"}
    finally:
        await driver.close()
