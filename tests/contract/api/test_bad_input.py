"""Whatever a request holds, the answer is a success or a refusal with a reason code, and a refusal changes nothing.

Fields are found by the protobuf descriptors, so a new call is covered the day it is added. WEFT_BAD_INPUTS sets how
many inputs each field of each call gets (everyday: 24).
"""

import asyncio
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from api_world import World, world
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from wire import FIXED64, LENGTH, VARINT, FieldPath, field_paths, methods, path_of, placed, varint

from weftwork.base.codes import ALL
from weftwork.client.errors import STATUS_KEY, api_error
from weftwork.rpc.generated.overlay_network.v1 import network_pb2 as pb
from weftwork.rpc.generated.weftwork.v1 import reach_test_pb2
from weftwork.rpc.generated.weftwork.v1 import weftwork_pb2 as weft

INPUTS_PER_FIELD = int(os.environ.get("WEFT_BAD_INPUTS", "24"))
EVERYDAY_AT_LEAST = 2000
CALL_S = 5.0
WAITING_CALL_S = 0.1
"""Calls that may wait or stream get this long: that they still wait is a success."""
WAITING = {"WaitForCondition", "WatchConditions", "Watch"}
NEVER = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}

GOOD: dict[str, object] = {
    "org_id": "acme",
    "project_id": "web",
    "name": "fresh",
    "subnet_id": "data",
    "port_id": "p1",
    "security_group_id": "web",
    "vm_id": "vm-1",
    "netns": "guest1",
    "external_port": 8080,
    "internal_ip": "10.20.0.3",
    "protocol": pb.PROTOCOL_TCP,
    "source_type": pb.SOURCE_TYPE_CIDR,
    "source": "0.0.0.0/0",
    "type": "Accepted",
    "cascade": True,
    "network_policy": "apart",
    "reach_test_id": "t1",
}
ESPECIALLY: dict[str, dict[str, object]] = {
    "CreateVpcRequest": {"project_id": "fresh"},
    "ExplainRequest": {"source": "p1", "destination": "p2", "destination_port": 80},
    "ResourceRef": {"kind": "port", "id": "p1"},
    "PortRange": {"min": 80, "max": 90},
    "CreateNetworkPolicyRequest": {"policy_kind": 1, "priority": 20},
    "UpdateNetworkPolicyRequest": {"priority": 20},
    "PolicyRule": {"action": 1, "cidr": "0.0.0.0/0"},
    "ReachTestSpec": {
        "name": "t2",
        "must": reach_test_pb2.MUST_NOT_REACH,
        "source": "group:web",
        "destination": "internet",
        "service": "tcp/25",
    },
    "CreateVmRequest": {"image": "nginx"},
    "VmServicePort": {"port": 80, "protocol": "tcp", "name": "http"},
    "Setting": {"key": "A", "value": "b"},
    "CreateSshKeyRequest": {
        "name": "ann",
        "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDEr26m73SlLqH3cm1aj8fQ7xhFNDJw2fA0EmNlS0rNQ ann",
    },
    "DeleteDnatRequest": {"external_ip": "203.0.113.2", "external_port": 80},
}
"""What makes a request good, by field name. Each request has only its own fields of these."""

WORDS = """
- .. ../../etc / a/b a/b/c/d acme/web/web default web rival/lab/default rival/lab/data rival/lab acme/web p1 p2 P1 all
lo weft-1001 10.0.0.1/8 10.20.0.0/33 10.20.0.0/24 10.20.1.0/24 10.20.2.0/24 10.99.0.0/16 10.0.0.0/8 0.0.0.0/0 ::/0
fd00::/64 100.64.0.0/16 224.0.0.0/4 127.0.0.0/8 10.20.0.0 10.20.0.0/-1 10.20.0.3 10.20.0.1 10.20.0.0 10.20.0.255
10.20.0.77 192.0.2.1 300.1.1.1 010.1.1.1 203.0.113.1 203.0.113.9 203.0.113.0 ::1 fe80::1%eth0 0x0a000001 1
255.255.255.255 10.20.0.0/255.255.0.0 02:57:00:00:00:00 02:47:00:00:00:01 ff:ff:ff:ff:ff:ff 01:00:5e:00:00:01
02-58-00-00-00-09 02:57 %s%n%d $(reboot) {} null -1 1e9 tcp eth0 vpc port subnet security-group snat dnat reach-test
port:p1 port: group:web group:nobody subnet:data subnet:a/b/c internet internet: tcp/443 tcp/90-80 tcp/ udp/-1 icmp/7
all/80
203.0.113.1:80:tcp
203.0.113.1:99999:tcp [::1]:80:udp description ingress_rules Accepted Programmed
"""
ODDITIES = (
    *("", " ", "a" * 16, "a" * 64, "a" * 5000, "'; DROP TABLE keys; --", "a\nb", "a\x1b[31mb", "\x00", "a\u202eb"),
    *(
        "\u00fcn\u00efc\u00f6d\u00e9",
        "\U0001d7d9\U0001d7d8.\U0001d7d8.\U0001d7d8.\U0001d7d9",
        "\ud7ff",
        "web\n",
        "10.20.0.77\n",
    ),
)
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    5,
    59,
    60,
    80,
    1000,
    1001,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**63,
    -1,
    -(2**63),
)
DOUBLES = (0.0, -0.0, -1.0, 0.01, 3600.0, 3600.1, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))

texts = st.one_of(
    st.sampled_from((*WORDS.split(), *ODDITIES)).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(max_size=70).map(lambda text: text.encode()),
    st.binary(max_size=40),
    st.integers(1, 200_000).map(lambda size: b"x" * size),
)
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**64 - 1))
doubles = st.one_of(st.sampled_from(DOUBLES), st.floats())

tried: Counter[str] = Counter()
refused: Counter[str] = Counter()


def values(path: FieldPath) -> st.SearchStrategy[tuple[int, bytes]]:
    """Anything that can stand in the field, and now and then what cannot."""
    match path.leaf.type:
        case FieldDescriptor.TYPE_STRING | FieldDescriptor.TYPE_BYTES:
            return texts.map(lambda value: (LENGTH, value))
        case FieldDescriptor.TYPE_DOUBLE:
            return doubles.map(lambda value: (FIXED64, struct.pack("<d", value)))
        case FieldDescriptor.TYPE_MESSAGE:
            return st.binary(max_size=40).map(lambda value: (LENGTH, value))
        case _:
            return numbers.map(lambda value: (VARINT, varint(value)))


def good_request(method: MethodDescriptor, around: FieldPath | None = None) -> Message:
    """A request that succeeds, or that would but for its state."""
    request = GetMessageClass(method.input_type)()
    inner = request
    if isinstance(request, weft.PlanRequest):
        inner = getattr(request, around.fields[0].name if around else "create_vpc")
        inner.SetInParent()
    if isinstance(request, weft.BatchRequest):
        inner = request.mutations.add().create_subnet
    fill(inner)
    if isinstance(inner, weft.WaitForConditionRequest):
        fill(inner.resource)
    return request


def fill(message: Message) -> None:
    good = GOOD | ESPECIALLY.get(message.DESCRIPTOR.name, {})
    for field in message.DESCRIPTOR.fields:
        if field.name in good:
            setattr(message, field.name, good[field.name])


def good_bytes(descriptor: Descriptor) -> bytes:
    message = GetMessageClass(descriptor)()
    fill(message)
    return message.SerializeToString()


class Bench:
    """One world on one loop, for calls from tests that are not async themselves."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._entered = world(folder)
        self.world: World = self.runner.run(self._entered.__aenter__())

    def close(self) -> None:
        self.runner.run(self._entered.__aexit__(None, None, None))
        self.runner.close()

    def check(self, method: MethodDescriptor, request: bytes) -> None:
        self.runner.run(self._check(method, request))

    async def _check(self, method: MethodDescriptor, request: bytes) -> None:
        before = await self.world.records()
        tried[path_of(method)] += 1
        error = await self._call(method, request)
        after = await self.world.records()
        if error is None:
            if after != self.world.baseline:
                await self.world.restore()
            return
        told = api_error(error)
        refused[told.reason] += 1
        assert told.code not in NEVER, f"{told.code}: {told}"
        assert STATUS_KEY in dict(error.trailing_metadata() or ()), f"no details: {told}"
        assert told.reason in ALL, f"{told.reason} is in no list"
        assert told.message, "a refusal says what was wrong"
        assert told.hint, f"{told.reason} does not say what to do"
        assert str(told).isprintable(), f"{told!r} shows what it was given as it is"
        assert after == before, f"{told.reason} was answered, and the store changed"

    async def _call(self, method: MethodDescriptor, request: bytes) -> grpc.aio.AioRpcError | None:
        """None for a success."""
        try:
            if method.server_streaming:
                stream = self.world.channel.unary_stream(path_of(method))(request, timeout=WAITING_CALL_S)
                assert await stream.read() is not None
                stream.cancel()
                return None
            timeout_s = WAITING_CALL_S if method.name in WAITING else CALL_S
            reply = await self.world.channel.unary_unary(path_of(method))(request, timeout=timeout_s)
            GetMessageClass(method.output_type).FromString(reply)
        except grpc.aio.AioRpcError as error:
            waits = method.name in WAITING and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return None if waits else error
        return None


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        yield bench
        bench.close()


quickly = settings(
    max_examples=INPUTS_PER_FIELD,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("method", methods(), ids=lambda method: f"{method.containing_service.name}.{method.name}")
def test_every_field_of_every_call_takes_anything(bench: Bench, method: MethodDescriptor) -> None:
    for path in field_paths(method.input_type):
        _try_field(bench, method, path)
    _try_anything(bench, method)


def _try_field(bench: Bench, method: MethodDescriptor, path: FieldPath) -> None:
    @quickly
    @given(values(path))
    def tried_with(value: tuple[int, bytes]) -> None:
        note(f"{path_of(method)} {path}: {value}")
        bench.check(method, good_request(method, path).SerializeToString() + placed(path, *value, good_bytes))

    tried_with()


def _try_anything(bench: Bench, method: MethodDescriptor) -> None:
    @quickly
    @given(st.binary(max_size=300))
    def tried_with(request: bytes) -> None:
        note(f"{path_of(method)}: {request!r}")
        bench.check(method, request)

    tried_with()


@pytest.mark.parametrize("method", methods(), ids=lambda method: f"{method.containing_service.name}.{method.name}")
def test_a_huge_request_is_refused_in_our_words(bench: Bench, method: MethodDescriptor) -> None:
    if method.input_type is Empty.DESCRIPTOR:
        huge = b"\x0a" + b"\x80\x80\x60" + b"x" * 0x180000
    else:
        path = next(path for path in field_paths(method.input_type) if path.leaf.type == FieldDescriptor.TYPE_STRING)
        huge = placed(path, LENGTH, b"x" * 0x180000)
    before = refused["MESSAGE_TOO_LARGE"]

    bench.check(method, huge)

    assert refused["MESSAGE_TOO_LARGE"] == before + 1


@pytest.mark.parametrize("call", ["port", "subnet", "security_group"])
def test_anothers_thing_is_as_if_it_were_not_there(bench: Bench, call: str) -> None:
    """By full id, or by a port's UUID, in the same words as one that does not exist."""
    foreign = {
        "port": bench.world.foreign_port_id,
        "subnet": "rival/lab/data",
        "security_group": "rival/lab/web",
    }[call]
    missing = {
        "port": "00000000-0000-4000-8000-000000000000",
        "subnet": "nobody/lab/data",
        "security_group": "nobody/lab/web",
    }[call]
    method = next(one for one in methods() if one.name == f"Get{call.title().replace('_', '')}")

    def answer(id_: str) -> tuple[object, str]:
        request = good_request(method)
        setattr(request, f"{call}_id", id_)
        error = bench.runner.run(bench._call(method, request.SerializeToString()))
        assert error is not None, f"{id_} was found"
        return error.code(), str(api_error(error)).replace(id_, "ID")

    assert answer(foreign) == answer(missing)
    assert answer(foreign)[0] is grpc.StatusCode.NOT_FOUND


def test_good_requests_are_good(bench: Bench) -> None:
    """The ground that the above stands on: what is varied there is a request that works, so its fields are reached."""
    refusals = {}
    for method in methods():
        error = bench.runner.run(bench._call(method, good_request(method).SerializeToString()))
        bench.runner.run(bench.world.restore())
        if error is not None:
            refusals[method.name] = api_error(error).reason

    assert refusals == {"GetTarget": "TARGET_NOT_FOUND"}  # no host runs here


def test_so_many_inputs_were_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """Last: the count, for the record."""
    total = sum(tried.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in refused.most_common())
    with capsys.disabled():
        print(f"\nbad input: {total} inputs to {len(tried)} calls, {sum(refused.values())} refused: {reasons}")
    if set(tried) == {path_of(method) for method in methods()}:  # not when only some of the tests were asked for
        assert total >= EVERYDAY_AT_LEAST
