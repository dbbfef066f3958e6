"""The OpenAPI document is true: whatever is sent, good or bad, the answer is one that the document says.

WEFT_REST_CASES sets how many requests each operation gets at most of each sort (everyday: 6). All of schemathesis'
checks are on.
"""

import asyncio
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from api_world import world
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from weftwork.api.rest.openapi import document
from weftwork.api.rest.server import serve_rest

CASES = int(os.environ.get("WEFT_REST_CASES", "6"))
EVERYDAY_AT_LEAST = 3000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) ** 2
"""Each of several workers has some of the paths, and counts its own."""
CALL_S = 5

config = SchemathesisConfig.from_dict(
    {
        "checks": {
            # A schema cannot say what is there already, nor that a range has host bits.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "404", "409", "412"]},
        }
    }
)
schema = schemathesis.openapi.from_dict(document(), config=config)

tried: Counter[int] = Counter()

KNOWN = {
    "org_id": ("acme", "rival"),
    "project_id": ("web", "lab"),
    "subnet_id": ("data", "default"),
    "port_id": ("p1", "p2"),
    "security_group_id": ("web", "default"),
    "network_policy": ("apart",),
    "reach_test_id": ("t1",),
    "peering": ("lab",),
    "external_ip": ("203.0.113.2",),
    "external_port": (80,),
    "protocol": ("tcp",),
}
"""Words of paths that lead somewhere: three of four requests get them."""


@schemathesis.hook("map_case")
def lead_somewhere(context: Any, case: schemathesis.Case) -> schemathesis.Case:
    if case.path_parameters and case.meta and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE:
        at = len(str(case.path_parameters))
        for name in KNOWN.keys() & case.path_parameters.keys():
            if (at + len(name)) % 4:
                case.path_parameters[name] = KNOWN[name][at % len(KNOWN[name])]
        if case.operation.definition.raw["operationId"] == "WaitForCondition":
            case.query = {**(case.query or {}), "timeout_s": 0.01}
        if (case.query or {}).get("wait"):
            case.query = {**(case.query or {}), "timeout": 0.01}
    return case


class Served:
    """A world whose REST door listens, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.address = ""
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        async with world(self._folder) as self.world, await serve_rest(self.world.calls, ["127.0.0.1:0"]) as server:
            self.address = f"http://{server.addresses[0]}"
            self._ready.set()
            await self._over.wait()

    def restore(self) -> None:
        asyncio.run_coroutine_threadsafe(self.world.restore(), self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder))
        yield served
        served.close()


@pytest.fixture
def as_before(served: Served) -> Iterator[Served]:
    yield served
    served.restore()


# A watch has no end; tests/contract/api/test_rest.py has its part.
@schema.exclude(operation_id=["WatchConditions", "Watch"]).parametrize()
@settings(
    max_examples=CASES,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_in_the_document(case: schemathesis.Case, as_before: Served) -> None:
    answer = case.call(base_url=as_before.address, timeout=CALL_S)

    tried[answer.status_code] += 1
    case.validate_response(answer)


def test_thousands_were_tried(served: Served) -> None:
    """Runs last; says how many."""
    print(f"{tried.total()} requests: " + ", ".join(f"{n} times {status}" for status, n in sorted(tried.items())))

    assert tried.total() >= EVERYDAY_AT_LEAST
    assert tried[200] + tried[201] + tried[204] >= EVERYDAY_AT_LEAST // 20
