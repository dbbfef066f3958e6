#!/usr/bin/env python3
"""Installs the Debian packages that the demo or the tests need and that are missing, and starts no service.

Standard library only: this runs before there is a virtual environment.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DEMO = ("python3-venv", "libnftables1", "nftables", "e2fsprogs", "iproute2", "iputils-ping", "kmod", "udhcpc")
OVN = ("openvswitch-switch", "ovn-central", "ovn-host")
STORES = ("etcd-server", "postgresql-15")
BUS = ("rabbitmq-server",)
IMAGES = ("docker-registry", "umoci")
ROUTING = ("frr", "gobgpd")
GO = () if shutil.which("go") or Path("/usr/local/go/bin/go").exists() else ("golang-go",)
GUESTS = (
    *GO,
    "busybox-static",
    "golang-github-pkg-sftp-dev",
    "golang-golang-x-crypto-dev",
    "golang-golang-x-sys-dev",
    "kmod",
    "lz4",
    "openssh-client",
    "qemu-system-x86",
    "util-linux",
)
TEST = (
    *DEMO,
    *OVN,
    *STORES,
    *BUS,
    *IMAGES,
    *ROUTING,
    *GUESTS,
    "conntrack",
    "curl",
    "ethtool",
    "iperf3",
    "isc-dhcp-client",
    "netcat-openbsd",
    "strace",
    "tcpdump",
)
STOCK_KERNEL = ("kmod", "lz4", "qemu-system-common", "qemu-system-x86", "util-linux")
SETS = {"demo": DEMO, "demo-ovn": (*DEMO, *OVN), "test": (*TEST, *STOCK_KERNEL)}

POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICE = "#!/bin/sh\n# Weftwork is installing packages: no service may start (removed afterwards).\nexit 101\n"

CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")
CLUSTERS_OF_THE_PACKAGE = Path("/usr/share/postgresql-common/createcluster.conf")
NO_CLUSTER = (
    "# Weftwork is installing packages: no cluster is made (put back afterwards).\ncreate_main_cluster = false\n"
)

APT_GET = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Color=0")


def say(text: str) -> None:
    print(f"install-packages: {text}", flush=True)


def installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"


def offered(package: str) -> bool:
    """Whether the package lists on this machine know the package."""
    show = ["apt-cache", "show", "--no-all-versions", package]
    return subprocess.run(show, capture_output=True).returncode == 0


def apt_get(*arguments: str) -> bool:
    """Runs apt-get without questions; its progress goes to our standard output."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run([*APT_GET, *arguments], env=environment, stdin=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Keeps packages from starting services meanwhile. An operator's own policy stays as it is."""
    if POLICY.exists() and POLICY.read_text() != NO_SERVICE:
        yield
        return
    try:
        POLICY.write_text(NO_SERVICE)
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)


@contextlib.contextmanager
def no_cluster_is_made() -> Iterator[None]:
    """Keeps PostgreSQL's package from making a cluster in /var meanwhile. Its file is put back, or as it ships it."""
    before = CLUSTERS.read_text() if CLUSTERS.exists() else None
    CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
    try:
        CLUSTERS.write_text(NO_CLUSTER)
        yield
    finally:
        if before is not None and before != NO_CLUSTER:
            CLUSTERS.write_text(before)
        elif CLUSTERS_OF_THE_PACKAGE.exists():
            CLUSTERS.write_text(CLUSTERS_OF_THE_PACKAGE.read_text())
        else:
            CLUSTERS.unlink()


def install(packages: list[str]) -> bool:
    """Installs, with fresh package lists if those here are missing or too old."""
    # --no-remove: what the operator has stays.
    command = ("install", "--yes", "--quiet", "--no-install-recommends", "--no-remove", *packages)
    clusters = (
        no_cluster_is_made() if any(one.startswith("postgresql") for one in packages) else contextlib.nullcontext()
    )
    with no_service_starts(), clusters:
        if all(map(offered, packages)) and apt_get(*command):
            return True
        say("updating the package lists")
        return apt_get("update", "--quiet") and apt_get(*command)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("purpose", choices=SETS)
    parser.add_argument("--dry-run", action="store_true", help="only print what is missing")
    options = parser.parse_args()
    missing = [package for package in sorted(set(SETS[options.purpose])) if not installed(package)]
    if options.dry_run or not missing:
        say(f"missing for the {options.purpose}: {' '.join(missing) or 'nothing'}")
        return 0
    if os.geteuid():
        say(f"must be root to run: apt-get install --no-install-recommends {' '.join(missing)}")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    say(f"installing {' '.join(missing)}")
    if install(missing):
        return 0
    say("apt-get failed, see above")
    return 1


if __name__ == "__main__":
    sys.exit(main())
