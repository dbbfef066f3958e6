"""A store with any number of ports in it, written without a server: the rows are those that a server would have
written, but for what time takes away – old history, and lines of the journal.

`tests/unit/bench/test_filling.py` compares it with what a server writes.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from uuid import UUID

from weftwork.actions import vpcs
from weftwork.actions.claims import creation
from weftwork.allocator.addresses import FIRST_HOST, address_at
from weftwork.allocator.macs import BLOCK, mac_at
from weftwork.allocator.vnis import FIRST
from weftwork.base.tenancy import ProjectKey
from weftwork.model import keys
from weftwork.model.port import TAP, Attachment, Port
from weftwork.model.vpc import Vpc
from weftwork.seams.store import Put, Write
from weftwork.store.codec import encode
from weftwork.store.sqlite.file import prepare

PORTS_EACH = 100
CIDR = IPv4Network("10.0.0.0/16")
_LATEST = "INSERT INTO latest (key, revision, value) VALUES (?, ?, ?)"


def owner_of(number: int) -> ProjectKey:
    return ProjectKey("scale", f"p{number}")


def port_id(project: int, port: int) -> str:
    """As spread out as those that a server draws."""
    spread = (project * PORTS_EACH + port) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1
    return str(UUID(int=spread, version=4))


def port_of(owner: ProjectKey, project: int, number: int, subnet: str, at: Attachment, at_s: int = 0) -> Port:
    """The one with that number in its project."""
    return Port(
        owner=owner,
        id=port_id(project, number),
        name=f"port{number}",
        subnet=subnet,
        vm=f"vm{number}",
        mac=mac_at(number),
        addresses=(address_at(CIDR, FIRST_HOST + 1 + number),),
        groups=("default",),
        attachment=at,
        created_at=at_s,
    )


def fill(path: Path, projects: int, ports: int = PORTS_EACH, *, at_s: int = 0) -> None:
    """`projects` VPCs with a default subnet of `ports` attached ports each, into a store that is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prepare(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        revision = 0
        for number in range(projects):
            for writes in _commits(number, ports, at_s):
                revision += 1
                connection.executemany(_LATEST, [(one.key, revision, one.value) for one in _puts(writes)])
        connection.execute("INSERT INTO history VALUES (?, ?)", (revision, encode([])))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (revision,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")


def _commits(number: int, ports: int, at_s: int) -> Iterator[tuple[Write, ...]]:
    owner = owner_of(number)
    vpc = Vpc(owner, owner.project, CIDR, FIRST + number, at_s, at_s)
    subnet = vpcs.default_subnet(vpc, 24)
    yield (creation(vpc) + creation(subnet) + creation(vpcs.default_group(vpc))).writes
    if ports:
        yield (Put(keys.mac_counter(owner), str(BLOCK).encode()),)
    for one in range(ports):
        yield creation(port_of(owner, number, one, subnet.name, TAP, at_s)).writes


def _puts(writes: tuple[Write, ...]) -> Iterator[Put]:
    return (one for one in writes if isinstance(one, Put))
