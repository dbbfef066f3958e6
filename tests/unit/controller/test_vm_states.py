"""VMs from the call to the guest and back: images, states, the way in; over a real store and API."""

import asyncio
from pathlib import Path

import pytest
from vm_world import DIGEST, PROJECT, world

from weftwork.base.errors import Failure
from weftwork.client import ApiError
from weftwork.model import keys
from weftwork.rpc.generated.weftwork.v1.vm_pb2 import VM_STATE_ERROR, VM_STATE_RUNNING, VM_STATE_STOPPED


async def test_a_vm_goes_from_its_image_to_running_to_stopped_and_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        made = await here.client.create_vm(PROJECT, "nginx", name="web")
        vm = await here.until("web", lambda one: one.state == VM_STATE_RUNNING)
        assert (vm.id, vm.image_digest, vm.started, vm.run) == (made.id, DIGEST, True, 1)
        assert vm.host_key.startswith("ssh-ed25519 ")
        assert [(one.type, one.status) for one in vm.conditions if one.type == "Running"] == [("Running", 1)]

        await here.client.stop_vm(PROJECT, "web")
        stopped = await here.until("web", lambda one: one.state == VM_STATE_STOPPED)
        assert stopped.nics == vm.nics and stopped.host_key == vm.host_key
        await here.client.start_vm(PROJECT, "web")
        again = await here.until("web", lambda one: one.state == VM_STATE_RUNNING and one.run == 2)
        assert again.host_key == vm.host_key, "the host key stays for as long as the VM"

        await here.client.delete_vm(PROJECT, "web")
        async with asyncio.timeout(10):
            while here.guests.guests:
                await asyncio.sleep(0.01)
        with pytest.raises(ApiError, match="VM_NOT_FOUND"):
            await here.client.get_vm(PROJECT, "web")


async def test_the_way_in_leads_to_the_guest_and_stands_in_the_audit_log(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        vm = await here.client.create_vm(PROJECT, "nginx", name="web")
        await here.until("web", lambda one: one.state == VM_STATE_RUNNING)

        tunnel = await here.client.connect_vm(PROJECT, "web")
        sent = bytes(range(256)) * 1000
        back = b""
        for at in range(0, len(sent), 50_000):
            await tunnel.write(sent[at : at + 50_000])
        while len(back) < len(sent):
            back += await tunnel.read()
        assert back == sent
        await tunnel.end()
        assert await tunnel.read() == b""
        tunnel.close()

        entries = [one async for one in here.client.access.audit_entries()]
        assert any(vm.id in one.after for entry in entries for one in entry.changes if one.what == "way into VM web")


async def test_nobody_comes_into_a_vm_that_does_not_run_and_nothing_is_noted(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.client.create_vm(PROJECT, "nginx", name="web", stopped=True)
        await here.until("web", lambda one: one.image_digest == DIGEST and one.state == VM_STATE_STOPPED)
        with pytest.raises(ApiError, match="GUEST_NOT_"):
            await here.client.connect_vm(PROJECT, "web")
        entries = [one async for one in here.client.access.audit_entries()]
        assert not [one for entry in entries for one in entry.changes if one.what.startswith("way into")]


async def test_its_console_is_read_until_now(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.client.create_vm(PROJECT, "nginx", name="web")
        await here.until("web", lambda one: one.state == VM_STATE_RUNNING)
        assert b"".join([part async for part in here.client.read_console(PROJECT, "web")]) == b"web is up\n"


async def test_an_image_that_is_not_there_is_an_error_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weftwork.controller.vm_images.RETRY_S", (0.05,))
    async with world(tmp_path) as here:
        await here.client.create_vm(PROJECT, "mine:1", name="web")
        broken = await here.until("web", lambda one: one.state == VM_STATE_ERROR)
        assert broken.state_reason == "IMAGE_NOT_FOUND" and "mine:1" in broken.state_message
        here.shelf.images["mine:1"] = DIGEST
        assert (await here.until("web", lambda one: one.state == VM_STATE_RUNNING)).image_digest == DIGEST


async def test_what_its_host_cannot_do_is_its_error(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.guests.fault = lambda _: Failure("NO_MEMORY", "the host has no memory left")
        await here.client.create_vm(PROJECT, "nginx", name="web")
        assert (await here.until("web", lambda one: one.state == VM_STATE_ERROR)).state_reason == "NO_MEMORY"
        here.guests.fault = lambda _: None
        vm = await here.until("web", lambda one: one.state == VM_STATE_RUNNING)
        here.guests.die(vm.id, "GUEST_DIED", "its VMM was killed")
        dead = await here.until("web", lambda one: one.state == VM_STATE_ERROR)
        assert (dead.state_reason, dead.state_message) == ("GUEST_DIED", "its VMM was killed")


async def test_nothing_is_written_for_vms_before_there_is_one(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        assert await here.store.get(keys.guest_secret()) is None
        await here.client.create_vm(PROJECT, "nginx", name="web")
        await here.until("web", lambda one: one.state == VM_STATE_RUNNING)
        secret = await here.store.get(keys.guest_secret())
        assert secret is not None and len(secret.value) == 64
        records = (await here.store.range("/networks/")).records + (await here.store.range("/journal/")).records
        assert not [one.key for one in records if secret.value in one.value]
