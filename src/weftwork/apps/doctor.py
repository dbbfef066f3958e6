"""`weft doctor`: what this machine offers, and what will be used. It changes nothing."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from weftwork.apps.options import node_options, settings_from
from weftwork.apps.settings import Settings
from weftwork.base.errors import Failure, Refusal

TOOLS = {
    "ip": "for people: the network in the words of iproute2 (Debian package iproute2)",
    "nft": "for people: the rules in the words of nftables (Debian package nftables)",
    "udhcpc": "for namespaces as guests: a DHCP client (Debian package udhcpc)",
    "conntrack": "for people: the connections that are tracked (Debian package conntrack)",
}


@click.command()
@node_options
def doctor(config: Path | None, **flags: str | None) -> None:
    """Say what this machine's kernel and tools offer, and what will be used. Exit code 1 when `weft up` cannot work.

    \b
    Examples:
      weft doctor
      weft doctor --layout vlan
      weft doctor --config /etc/weftwork/weft.toml
    """
    settings = settings_from(config, flags)
    if os.geteuid():
        click.echo(
            "error: NOT_ROOT: probing makes a network namespace\nnext: Run it as root, e.g. with sudo.", err=True
        )
        sys.exit(5)
    from weftwork.apps.agent import STATE
    from weftwork.apps.backends import host_profile
    from weftwork.apps.doctor_routing import routing_lines
    from weftwork.apps.doctor_vms import vm_lines
    from weftwork.drivers.linux.probe import probe
    from weftwork.drivers.ovn import private

    capabilities = probe()
    for line in capabilities.lines:
        click.echo(line)
    for tool, use in TOOLS.items():
        click.echo(f"tool {tool}: {shutil.which(tool) or 'not found'} – {use}")
    for line in _deployments(settings):
        click.echo(line)
    missing = private.missing_tools()
    lacks = f"not found: {', '.join(missing)} (Debian packages ovn-central, ovn-host)" if missing else "installed"
    kind = "user space" if private.datapath() == "netdev" else "the kernel's openvswitch"
    click.echo(f"OVN: {lacks}; datapath: {kind}")
    for line in (*routing_lines(STATE), *vm_lines(Path(settings.vms_boot_folder), Path(settings.vms_init))):
        click.echo(line)
    try:
        profile = host_profile(settings, capabilities)
    except Refusal as refusal:
        click.echo(f"error: {refusal}", err=True)
        sys.exit(1)
    if settings.network_backend == "ovn":
        where = settings.network_ovn_northbound_endpoint or "one of our own"
        click.echo(f"will be used: OVN, {where}")
        sys.exit(1 if missing and not settings.network_ovn_northbound_endpoint else 0)
    outside = f"external network {', '.join(map(str, profile.external.cidrs))}" if profile.external else "no NAT"
    click.echo(
        f"will be used: layout {profile.layout}, filter mode {profile.filter_mode}, MTU {profile.mtu_bytes}, {outside}"
    )


def _deployments(settings: Settings) -> Iterator[str]:
    """What the store is, and what stands on this machine for others: `weft up` is refused then."""
    import asyncio
    from contextlib import closing

    from weftwork.apps.deployment import recorded, told
    from weftwork.drivers.linux.driver import LinuxDriver

    where = settings.storage_path if settings.storage_backend == "sqlite" else settings.storage_backend
    try:
        own = asyncio.run(recorded(settings))
    except Failure as failure:
        yield f"deployment: unknown, {failure}"
        return
    yield f"deployment: {own or 'none yet'}, store {where}"
    with closing(LinuxDriver()) as driver:
        standing = asyncio.run(driver.standing())
    if others := {deployment: names for deployment, names in standing.items() if deployment != own}:
        yield f"stands here, not of this store: {told(others)}; see `weft up --adopt` and `weft down --deployment`"
