"""What Firecracker is asked is what its published description allows; what that cannot say, its documentation does."""

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from described_firecracker import DescribedFirecracker
from hypothesis import given, settings
from hypothesis import strategies as st

from weftwork.apps import vm_config
from weftwork.base.errors import Failure
from weftwork.drivers.microvm import firecracker
from weftwork.drivers.microvm.cgroups import Limits
from weftwork.drivers.microvm.firecracker import Jail, Rate, Request
from weftwork.drivers.microvm.firecracker_api import ask
from weftwork.testing.microvms import guest, nic

WEB = guest("550714e5-d2c2-4183-9295-0da2df9fece7", vcpus=2, nics=(nic("tap1"), nic("tap2", last=3)))
RATE = Rate(bytes_per_s=10 << 20, operations_per_s=1000)


@pytest.fixture
async def described(tmp_path: Path) -> AsyncIterator[DescribedFirecracker]:
    server = DescribedFirecracker()
    await server.serve(tmp_path / "api.sock")
    yield server
    await server.close()


async def test_a_guest_is_configured_and_started_by_what_the_description_allows(
    described: DescribedFirecracker, tmp_path: Path
) -> None:
    configured = firecracker.configuration(WEB, disk_rate=RATE, network_rate=RATE)

    await ask(tmp_path / "api.sock", firecracker.requests(configured))

    assert described.started
    assert described.taken == [
        "/machine-config",
        "/boot-source",
        "/drives/root",
        "/network-interfaces/eth0",
        "/network-interfaces/eth1",
        "/vsock",
        "/entropy",
        "/actions",
    ]


@given(st.integers(1, 32), st.integers(128, 1 << 20), st.integers(0, 8), st.integers(0, 1 << 40))
@settings(max_examples=25, deadline=None)
def test_every_guest_gives_a_file_that_the_description_allows(vcpus: int, memory: int, cards: int, rate: int) -> None:
    changed = dataclasses.replace(
        WEB, vcpus=vcpus, memory_mib=memory, nics=tuple(nic(f"tap{number}", last=number) for number in range(cards))
    )

    made = firecracker.configuration(changed, disk_rate=Rate(rate, rate))

    assert not list(DescribedFirecracker().whole().iter_errors(made))
    count = made["machine-config"]["vcpu_count"]
    assert count >= vcpus and (count == 1 or count % 2 == 0)
    assert not any(drive["is_root_device"] for drive in made["drives"]), "there is an initial RAM disk"


async def test_a_pause_a_snapshot_and_its_restoration_are_allowed(
    described: DescribedFirecracker, tmp_path: Path
) -> None:
    started = firecracker.requests(firecracker.configuration(WEB))
    later = (firecracker.pause(), firecracker.snapshot("state", "memory"), firecracker.resume())
    await ask(tmp_path / "api.sock", (*started, *later))

    fresh = DescribedFirecracker()
    await fresh.serve(tmp_path / "fresh.sock")
    await ask(tmp_path / "fresh.sock", [firecracker.restore("state", "memory", {"eth0": "tap9"})])
    await fresh.close()

    assert fresh.taken == ["/snapshot/load"]


@pytest.mark.parametrize(
    "wrong",
    [
        Request("PUT", "/machine-config", {"vcpu_count": 2}),
        Request("PUT", "/machine-config", {"vcpu_count": 64, "mem_size_mib": 128}),
        Request("PUT", "/drives/a-b", {"drive_id": "a-b", "is_root_device": True, "path_on_host": "x"}),
        Request("PUT", "/boot-source", {"kernel_image_path": "vmlinux", "kernel": "x"}),
        Request("PUT", "/nowhere", {}),
        firecracker.pause(),
    ],
    ids=lambda request: request.path,
)
async def test_what_it_refuses_is_told_with_its_own_words(
    described: DescribedFirecracker, tmp_path: Path, wrong: Request
) -> None:
    with pytest.raises(Failure) as failed:
        await ask(tmp_path / "api.sock", [wrong])

    assert failed.value.code == "VMM_REFUSED"
    assert described.taken == []
    assert len(failed.value.message) > len(wrong.path) + 10


async def test_a_firecracker_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        await ask(tmp_path / "nobody.sock", [firecracker.pause()])

    assert failed.value.code == "VMM_GONE"


@pytest.mark.parametrize("text", ["", "a-b", "a b", "é", "x" * 65, "a/b", "a.b"])
def test_ids_of_devices_are_letters_digits_and_underscores(text: str) -> None:
    with pytest.raises(Failure):
        firecracker.device_id(text)


@pytest.mark.parametrize("text", ["", "a_b", "a b", "x" * 65, "../x"])
def test_ids_of_machines_are_letters_digits_and_hyphens(text: str) -> None:
    with pytest.raises(Failure):
        firecracker.instance_id(text)


@pytest.mark.parametrize("version", [1, 2])
def test_a_jail_is_the_guests_own(version: int) -> None:
    jail = Jail(
        guest=WEB.id,
        program=Path("/usr/bin/firecracker"),
        uid=2_000_000_000,
        gid=2_000_000_000,
        base=Path("/srv/jailer"),
        netns=Path("/run/netns/vpc-red"),
        cgroup_version=version,
        limits=Limits(2, 512),
    )

    words = jail.command()

    assert jail.root == Path(f"/srv/jailer/firecracker/{WEB.id}/root")
    assert words[words.index("--netns") + 1] == "/run/netns/vpc-red"
    assert words[words.index("--cgroup-version") + 1] == str(version)
    settings_of = [words[at + 1] for at, word in enumerate(words) if word == "--cgroup"]
    assert all("=" in one for one in settings_of) and len(settings_of) == (2 if version == 2 else 3)
    behind = words[words.index("--") :]
    assert "--id" not in behind, "the jailer hands it on"


def test_a_customers_vm_has_the_addresses_that_atlas_computes(tmp_path: Path) -> None:
    result = CliRunner().invoke(vm_config.main, ["1001", "2", "--folder", str(tmp_path)])

    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "vm-config-cust1001.json").read_text())
    assert made["network-interfaces"] == [
        {"iface_id": "eth0", "guest_mac": "02:FC:03:E9:00:02", "host_dev_name": "tap-cust1001"}
    ]
    assert "ip=10.3.233.2::10.3.233.1:255.255.255.0:" in made["boot-source"]["boot_args"]
    assert not list(DescribedFirecracker().whole().iter_errors(made))


@given(st.integers(0, 65_535), st.integers(2, 254))
@settings(max_examples=100, deadline=None)
def test_every_customers_vm_has_its_own_device_file_and_mac(customer: int, offset: int) -> None:
    made = vm_config.config_of(customer, offset)
    (card,) = made["network-interfaces"]

    assert len(card["host_dev_name"]) <= 15
    assert vm_config.network_of(customer)[offset] in vm_config.network_of(customer)
    assert [int(part, 16) for part in card["guest_mac"].split(":")[2:]] == [*divmod(customer, 256), 0, offset]
    if offset > 2:
        assert vm_config.tap_of(customer, offset) != vm_config.tap_of(customer, 2)
        assert vm_config.file_of(customer, offset) != vm_config.file_of(customer, 2)


@pytest.mark.parametrize("words", [["65536", "2"], ["-1", "2"], ["1", "1"], ["1", "255"], ["x", "2"]])
def test_what_is_no_customer_or_no_vm_writes_nothing(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(vm_config.main, ["--folder", str(tmp_path), "--", *words])

    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []
