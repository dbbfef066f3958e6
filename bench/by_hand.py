"""A program as an operator would write it for ip, bridge, sysctl and nft: for their batch modes, or as a script."""

import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weftwork.drivers.linux import links, nft_text, sysctls
from weftwork.program.linux import (
    Bridge,
    InterfaceAddress,
    LinkKind,
    Namespace,
    Neighbour,
    NftChain,
    NftElement,
    NftSet,
    NftTable,
    PortLink,
    Sysctl,
)
from weftwork.program.plan import Create
from weftwork.program.resource import Program, Resource


@dataclass(slots=True)
class Commands:
    """One namespace's, in the words of each tool; `marks` are what only our driver needs."""

    ip: list[str] = field(default_factory=list)
    bridge: list[str] = field(default_factory=list)
    sysctls: list[str] = field(default_factory=list)
    nft: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)


def commands(program: Program) -> dict[str, Commands]:
    """By namespace. Without uplinks and VLANs, which no row has."""
    by_scope: dict[str, list[Resource]] = defaultdict(list)
    for resource in program:
        by_scope[resource.scope].append(resource)
    return {scope: _of(sorted(resources, key=lambda one: (one.rank, one.key))) for scope, resources in by_scope.items()}


def _of(resources: Iterable[Resource]) -> Commands:
    made = Commands(sysctls=["net/ipv6/conf/default/addr_gen_mode=1"])
    rules: list[Create] = []
    for one in resources:
        match one:
            case Namespace():
                made.ip.append("link set lo up")
                made.marks.append(f'link set lo alias "weftwork {one.owner}"')
            case Sysctl():
                made.sysctls.append(f"{one.name}={one.value}")
                made.marks.append(f"link property add dev lo altname {sysctls.note_of(one.name)}")
            case NftTable() | NftSet() | NftChain() | NftElement():
                rules.append(Create(one))
            case Bridge() | PortLink():
                _add_link(made, one)
                made.marks.append(f'link set {one.name} alias "{links.alias_of(one)}"')
            case InterfaceAddress():
                made.ip.append(f"addr add {one.address}/{one.prefix_length} dev {one.interface}")
            case Neighbour():
                made.ip.append(
                    f"neigh replace {one.address} lladdr {one.mac} dev {one.interface} nud permanent"
                    f" protocol {links.PROTOCOL}"
                )
            case _:
                raise AssertionError(f"no row has a {one}")
    made.nft = nft_text.script(rules, ()).splitlines()
    return made


def _add_link(made: Commands, one: Bridge | PortLink) -> None:
    if isinstance(one, Bridge):
        made.ip += [
            f"link add {one.name} address {one.mac} type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
            " group_fwd_mask 0xfff8",
            f"link set {one.name} mtu {one.mtu_bytes} up",
        ]
        return
    assert one.kind is LinkKind.TAP, "only TAPs are made by hand"
    made.ip += [
        f"tuntap add dev {one.name} mode tap vnet_hdr",
        f"link set {one.name} mtu {one.mtu_bytes} master {one.bridge}",
        f"link set {one.name} type bridge_slave learning off flood off mcast_flood off",
        f"link set {one.name} up",
    ]
    made.bridge.append(f"fdb replace {one.mac} dev {one.name} master static")


def write_batches(program: Program, folder: Path) -> Path:
    """Files for the batch modes, marks included, and the script that feeds them; its path."""
    script = ["set -e", f"ip -batch {folder}/namespaces"]
    scopes = commands(program)
    (folder / "namespaces").write_text("".join(f"netns add {scope}\n" for scope in sorted(scopes)))
    for scope, one in sorted(scopes.items()):
        files = {"ip": [*one.ip, *one.marks], "bridge": one.bridge, "sysctl": one.sysctls, "nft": one.nft}
        for tool, lines in files.items():
            (folder / f"{scope}.{tool}").write_text("\n".join(lines) + "\n")
        enter = f"nsenter --net=/run/netns/{scope}"
        script += [
            f"{enter} sysctl -q -p {folder}/{scope}.sysctl",
            f"{enter} nft -f {folder}/{scope}.nft",
            f"ip -n {scope} -batch {folder}/{scope}.ip",
            f"bridge -n {scope} -batch {folder}/{scope}.bridge",
        ]
    return _script(folder / "batches.sh", script)


def write_one_by_one(program: Program, folder: Path, *, nft_at_once: bool = False) -> Path:
    """A script with a process per command; marks left out. With `nft_at_once`, one nft per namespace."""
    script = ["set -e"]
    for scope, one in sorted(commands(program).items()):
        script += [f"ip netns add {scope}", *_one_by_one(scope, one, folder if nft_at_once else None)]
    return _script(folder / "one-by-one.sh", script)


def _one_by_one(scope: str, one: Commands, nft_folder: Path | None) -> Iterator[str]:
    enter = f"nsenter --net=/run/netns/{scope}"
    yield f"{enter} sysctl -qw {' '.join(one.sysctls)}"
    if nft_folder is None:
        yield from (f"{enter} nft {shlex.quote(line)}" for line in one.nft)
    else:
        rules = nft_folder / f"{scope}.nft"
        rules.write_text("\n".join(one.nft) + "\n")
        yield f"{enter} nft -f {rules}"
    yield from (f"ip -n {scope} {line}" for line in one.ip)
    yield from (f"bridge -n {scope} {line}" for line in one.bridge)


def _script(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def run_script(path: Path) -> None:
    done = subprocess.run(["sh", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{path.name}: {done.stderr[-500:]}"
