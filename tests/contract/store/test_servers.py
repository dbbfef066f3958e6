"""Several servers over one store: all answer, one publishes, and any of them may die."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from store_kinds import Place
from test_lease import LEASE_S

from weftwork.actions import ports, vpcs
from weftwork.client.client import Client
from weftwork.client.errors import ApiError
from weftwork.testing.network_kit import RED, network_on
from weftwork.testing.node import Node
from weftwork.testing.patience import patient

KINDS = ("etcd", "postgres") if "WEFT_STORE_KILLS" in os.environ else ("etcd",)
"""`make store-faults` tries both; that both elect one leader is shown by `test_lease.py`."""
CONTROLLER_PROGRAM = Path(__file__).with_name("controller.py")
PROJECT = "acme/web"


@pytest.fixture(params=KINDS)
def shared(request: pytest.FixtureRequest) -> Place:
    server: Place = request.getfixturevalue(f"{request.param}_server")
    return server.fresh()


@dataclass(frozen=True)
class Line:
    at_s: float
    term: int
    generation: int


class Controller:
    """A process that may lead, and the lines it wrote."""

    def __init__(self, place: Place) -> None:
        self.lines: list[Line] = []
        self._ready = threading.Event()
        self._process = subprocess.Popen([sys.executable, CONTROLLER_PROGRAM, place.text()], stdout=subprocess.PIPE)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._ready.wait(patient(30.0)), "the controller did not start"

    @property
    def term(self) -> int:
        return self.lines[-1].term if self.lines else 0

    def wait_for_lines(self, count: int) -> None:
        enough = len(self.lines) + count
        wait_until(lambda: len(self.lines) >= enough, 20.0)

    def send(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def end(self) -> None:
        if self._process.poll() is None:
            self.send(signal.SIGCONT)
            self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for said in self._process.stdout:
            if said == b"ready\n":
                self._ready.set()
            else:
                at_ns, term, generation = map(int, said.split())
                self.lines.append(Line(at_ns / 1e9, term, generation))


def wait_until(condition: object, timeout_s: float) -> float:
    """How long it took."""
    assert callable(condition)
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < patient(timeout_s), "it did not come to be in time"
        time.sleep(0.005)
    return time.monotonic() - began


class Load:
    """Writes all the time, in a thread; `revision` is the last one that was answered."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stop = threading.Event()
        self.revision = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _write(self) -> None:
        store = await self._place.open()
        async with network_on(store) as network:
            await vpcs.create_vpc(network, owner=RED, name="", cidr=None)
            while not self._stop.is_set():
                port = await ports.create_port(network, owner=RED)
                self.revision = port.revision
                await ports.delete_port(network, owner=RED, port=port.value.id, cascade=False)
        await store.close()


@pytest.mark.slow
def test_when_the_leader_dies_or_is_stopped_another_publishes_within_the_lease_and_the_old_one_no_more(
    shared: Place,
) -> None:
    with ExitStack() as stack:
        controllers = [Controller(shared) for _ in range(3)]
        for controller in controllers:
            stack.callback(controller.end)
        with Load(shared) as load:
            for how in (signal.SIGKILL, signal.SIGSTOP):
                wait_until(lambda: any(one.lines for one in controllers), 10.0)
                newest = max(one.term for one in controllers)
                (leader,) = [one for one in controllers if one.term == newest]
                leader.wait_for_lines(3)
                leader.send(how)
                at = load.revision
                took_s = wait_until(
                    lambda newest=newest, at=at: any(
                        one.term > newest and one.lines[-1].generation >= at for one in controllers
                    ),
                    LEASE_S + 8.0,
                )
                print(
                    f"{shared.kind}: {how.name} of the leader: programming was {took_s:.1f} s late, lease {LEASE_S} s"
                )
                # etcd grants no lease shorter than its election allows, and looks for the dead every half second.
                assert took_s <= patient(LEASE_S + 1.5)
                if how is signal.SIGSTOP:
                    leader.send(signal.SIGCONT)
                else:
                    controllers.remove(leader)
            time.sleep(0.5)
    lines = sorted((line for one in controllers for line in one.lines), key=lambda line: line.at_s)
    terms = [line.term for line in lines]
    assert terms == sorted(terms), "who led before published again"
    by_term = {term: [line.generation for line in lines if line.term == term] for term in set(terms)}
    assert all(generations == sorted(generations) for generations in by_term.values())


@pytest.mark.slow
def test_killing_a_server_under_load_loses_no_answered_request(shared: Place, tmp_path: Path) -> None:
    environment = {
        "WEFT_STORAGE_BACKEND": shared.kind,
        "WEFT_STORAGE_ETCD_ENDPOINTS": shared.server if shared.kind == "etcd" else "",
        "WEFT_STORAGE_ETCD_PREFIX": f"/{shared.name}/",
        "WEFT_STORAGE_POSTGRES_DSN": shared.server if shared.kind == "postgres" else "",
        "WEFT_STORAGE_POSTGRES_SCHEMA": shared.name,
    }
    if shared.kind == "postgres":
        environment["WEFT_STORAGE_PASSWORD_FILE"] = shared.password_file
    with ExitStack() as stack:
        nodes = []
        for number in range(3):
            folder = tmp_path / f"server{number}"
            folder.mkdir()
            node = Node(folder, command="server", environment=environment)
            node.start()
            stack.callback(node.kill)
            nodes.append(node)
        for node in nodes:
            assert shared.kind != "postgres" or shared.password() not in command_line(node.pid)
        print(asyncio.run(kill_under_load(shared.kind, nodes)))


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def kill_under_load(kind: str, nodes: list[Node]) -> str:
    clients = [await Client.connect(node.address) for node in nodes]
    await clients[0].create_vpc(PROJECT)
    answered: dict[str, str] = {}
    refused: list[ApiError] = []
    dead = asyncio.Event()

    async def create(server: int, worker: int) -> None:
        for number in range(400):
            name = f"p{server}-{worker}-{number}"
            try:
                port = await clients[server].create_port(PROJECT, name=name)
            except ApiError as error:
                if server != 1 or not dead.is_set():
                    refused.append(error)
                return
            answered[name] = port.ip_address
            if dead.is_set() and number > 20 and server != 1 and len(answered) > 150:
                return

    async with asyncio.TaskGroup() as tasks:
        for server in range(3):
            for worker in range(4):
                tasks.create_task(create(server, worker))
        async with asyncio.timeout(patient(60.0)):
            while len(answered) < 60:
                await asyncio.sleep(0.01)
        dead.set()
        nodes[1].kill()
    assert not refused, refused[:3]
    for client in (clients[0], clients[2]):
        ports = {port.name: port.ip_address async for port in client.list_ports(PROJECT)}
        assert answered.items() <= ports.items(), "an answered request is lost"
        assert max(Counter(ports.values()).values()) == 1, "one address was given twice"
    for client in clients:
        await client.close()
    return f"{kind}: a server of 3 killed under load: {len(answered)} ports answered, 0 lost, no address given twice"
