"""Law: VMs and SSH keys read back as they were stored."""

from hypothesis import given
from hypothesis import strategies as st

from weftwork.actions import rows
from weftwork.model.keys import parse_thing_key
from weftwork.model.ssh_key import SshKey
from weftwork.model.vm import Flavour, Placement, Restart, Service, Vm
from weftwork.testing.strategies import PROJECTS

WORDS = st.text(max_size=12)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)
NAMES = st.sampled_from(("web", "db", "a-1"))
LISTS = st.lists(WORDS, max_size=3).map(tuple)
SERVICES = st.builds(Service, NAMES, st.integers(1, 65535), st.sampled_from(("tcp", "udp")), st.booleans())
VMS = st.builds(
    Vm,
    owner=st.sampled_from(PROJECTS),
    name=NAMES,
    id=st.uuids().map(str),
    image=WORDS,
    flavour=st.builds(Flavour, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    ports=LISTS,
    created_at=st.integers(0, 2**40),
    digest=WORDS,
    group=WORDS,
    ssh_keys=LISTS,
    public_keys=LISTS,
    authorized_keys=LISTS,
    command=LISTS,
    environment=PAIRS,
    services=st.lists(SERVICES, max_size=2).map(tuple),
    metadata=PAIRS,
    restart=st.sampled_from(Restart),
    placement=st.builds(Placement, PAIRS, LISTS, LISTS, WORDS),
    is_started=st.booleans(),
    run=st.integers(0, 99),
    host=WORDS,
)


@given(st.one_of(VMS, st.builds(SshKey, st.sampled_from(PROJECTS), NAMES, WORDS, st.integers(0, 2**40))))
def test_decode_undoes_encode(thing: Vm | SshKey) -> None:
    key = rows.key_of(thing)
    assert rows.decode(key, rows.encode(thing)) == thing
    assert parse_thing_key(str(key)) == key
