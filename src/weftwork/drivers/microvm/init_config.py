"""What a guest's init is told: `guest/config.go` reads it."""

import base64
import json
from typing import Any

from weftwork.program.guest import Guest, GuestNic
from weftwork.seams.guest_images import GuestImage

PATH = "weft.json"


def init_config(guest: Guest, image: GuestImage, *, entropy: bytes, time_ns: int, channel: str = "serial") -> bytes:
    """With `entropy` and `time_ns` of this start. It holds the guest's secret key: for its machine alone."""
    command = (*image.entrypoint, *(guest.command or image.command))
    document: dict[str, Any] = {
        "hostname": guest.hostname,
        "root": "/dev/vda",
        "channel": channel,
        "nics": [_nic(nic) for nic in guest.nics],
        "dns": [str(server) for server in dict.fromkeys(server for nic in guest.nics for server in nic.dns_servers)],
        "domain": guest.nics[0].domain if guest.nics else "",
        "command": command,
        "env": [*image.environment, *(f"{name}={value}" for name, value in guest.environment)],
        "dir": image.working_dir or "/",
        "user": image.user,
        "restart": guest.restart,
        "own_init": guest.own_init,
        "keys": guest.authorized_keys,
        "host_key_seed": base64.b64encode(guest.host_key_seed).decode(),
        "ssh_port": guest.ssh_port,
        "entropy": base64.b64encode(entropy).decode(),
        "time_ns": time_ns,
    }
    return json.dumps(document).encode()


def _nic(nic: GuestNic) -> dict[str, Any]:
    return {
        "mac": nic.mac,
        "address": str(nic.address),
        "gateway": str(nic.gateway or ""),
        "mtu": nic.mtu_bytes,
    }
