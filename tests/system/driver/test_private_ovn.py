"""An OVN of our own, from the operator's side: what doctor says, and going back to the kernel's bridges."""

import subprocess
import sys
from pathlib import Path

from weftwork.drivers.linux import namespaces
from weftwork.testing.guests import Guest
from weftwork.testing.node import Node
from weftwork.testing.residue import Residue

PROJECT = "acme/shop"


def test_a_node_that_goes_back_to_linux_takes_its_ovn_away_and_keeps_its_networks(tmp_path: Path) -> None:
    before = Residue.look()
    with Node(tmp_path, backend="ovn") as node, Guest.boot("wy-a") as a, Guest.boot("wy-b") as b:
        with node.cloud() as cloud:
            cloud.vpc(PROJECT, "10.20.0.0/16")
            for guest in (a, b):
                cloud.port(PROJECT, guest.name)
                cloud.plug(PROJECT, guest.name, guest.name)
                assert guest.dhcp(tries=30) is not None, "the first answer of an OVN takes long on a slow machine"
            assert a.ping(b.address, tries=3)
        node.stop()
        config = tmp_path / "weft.toml"
        config.write_text(config.read_text().replace('"ovn"', '"linux"'))
        node.start()
        with node.cloud() as cloud:
            cloud.settle()
            assert cloud.drift() == [] and cloud.leaks() == []
        assert not (tmp_path / "ovn").exists() and "weft-ovn" not in namespaces.names()
        assert a.dhcp() is not None and b.dhcp() is not None and a.ping(b.address, tries=3)
    assert before.left_over() == []


def test_doctor_says_what_ovn_offers_and_that_it_will_be_used(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "weftwork.apps.weft", "doctor", "--backend", "ovn", "--store", f"{tmp_path}/db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "OVN: installed; datapath: " in done.stdout
    assert "will be used: OVN, one of our own" in done.stdout
