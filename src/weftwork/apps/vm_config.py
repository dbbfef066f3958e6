"""`generate-vm-config.sh CUSTOMER OFFSET`: a configuration for Firecracker by Atlas' deterministic addressing.

Customer c has 10.(c // 256).(c % 256).0/24 with the gateway .1, the VNI c + 1000, and the MACs 02:FC:<c>:<offset>.
"""

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import click

LAST_CUSTOMER = 65_535
FIRST_OFFSET, LAST_OFFSET = 2, 254

KERNEL = "/var/lib/firecracker/vmlinux"
ROOT_DISKS = "/var/lib/firecracker/rootfs"


def network_of(customer: int) -> IPv4Network:
    return IPv4Network((int(IPv4Address("10.0.0.0")) + customer * 256, 24))


def mac_of(customer: int, offset: int) -> str:
    return "02:FC:" + ":".join(f"{byte:02X}" for byte in (*divmod(customer, 256), *divmod(offset, 256)))


def tap_of(customer: int, offset: int) -> str:
    """At most 15 bytes. The first VM of a customer has Atlas' name; each has a device of its own."""
    return f"tap-cust{customer}" if offset == FIRST_OFFSET else f"tap-c{customer}-{offset}"


def file_of(customer: int, offset: int) -> str:
    return f"vm-config-cust{customer}.json" if offset == FIRST_OFFSET else f"vm-config-cust{customer}-{offset}.json"


def config_of(customer: int, offset: int, kernel: str = KERNEL, disk: str = "") -> dict[str, Any]:
    """The kernel sets up the address by its own argument `ip=`, as Atlas' kernel can."""
    network = network_of(customer)
    address = f"ip={network[offset]}::{network[1]}:{network.netmask}:vm{offset}:eth0:off"
    return {
        "boot-source": {
            "kernel_image_path": kernel,
            "boot_args": f"console=ttyS0 reboot=k panic=1 pci=off {address}",
        },
        "drives": [
            {
                "drive_id": "rootfs",
                "path_on_host": disk or f"{ROOT_DISKS}-cust{customer}-{offset}.ext4",
                "is_root_device": True,
                "is_read_only": False,
            }
        ],
        "machine-config": {"vcpu_count": 2, "mem_size_mib": 1024},
        "network-interfaces": [
            {
                "iface_id": "eth0",
                "guest_mac": mac_of(customer, offset),
                "host_dev_name": tap_of(customer, offset),
            }
        ],
    }


@click.command(name="generate-vm-config.sh")
@click.argument("customer", type=click.IntRange(0, LAST_CUSTOMER))
@click.argument("offset", type=click.IntRange(FIRST_OFFSET, LAST_OFFSET))
@click.option("--kernel", default=KERNEL, show_default=True, help="The kernel, an ELF image.")
@click.option("--disk", default="", help="The root file system; a file of the VM's own by default.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to write it.")
def main(customer: int, offset: int, kernel: str, disk: str, folder: Path) -> None:
    """Write Firecracker's configuration for one VM of a customer: OFFSET is the last part of its address."""
    path = folder / file_of(customer, offset)
    path.write_text(json.dumps(config_of(customer, offset, kernel, disk), indent=2) + "\n")
    network = network_of(customer)
    mac, tap = mac_of(customer, offset), tap_of(customer, offset)
    click.echo(f"{path}: {network[offset]}/24, gateway {network[1]}, {mac}, {tap}")


if __name__ == "__main__":
    main()
