"""The operations of one transaction: what they cost the server grows with what changes, and not with what is there."""

from uuid import UUID

from weftwork.drivers.ovn.transaction import Transaction
from weftwork.drivers.ovsdb.wire import RowId
from weftwork.program.ovn import LogicalSwitchPort, PortGroupMember
from weftwork.program.plan import Create, Delete
from weftwork.program.resource import Key

SCOPE, SWITCH, GROUP = "weft-1", "weft-1.subnet.a", "weft_1.all"
PORTS = [f"port{number}" for number in range(50)]


def there(key: Key) -> RowId | None:
    return RowId(UUID(int=hash(key) % 2**128))


def base(key: Key) -> RowId | None:
    """The switch and the group are there, the ports are not."""
    return there(key) if key[0] in ("ovn-switch", "ovn-port-group") else None


def test_the_members_of_a_set_change_all_at_once() -> None:
    transaction = Transaction(base)
    ports = [Create(LogicalSwitchPort(SCOPE, SWITCH, name)) for name in PORTS]
    transaction.add([*ports, *(Create(PortGroupMember(SCOPE, GROUP, name)) for name in PORTS)])
    operations = [one["op"] for one in transaction.operations]
    assert operations == ["insert"] * len(PORTS) + ["mutate"] * 2, "a server copies a set at every change of it"
    for one in transaction.operations[-2:]:
        ((_, mutator, (_, members)),) = one["mutations"]
        assert mutator == "insert" and len(members) == len(PORTS)


def test_taking_members_out_is_one_operation_per_set() -> None:
    transaction = Transaction(there)
    transaction.add([Delete(PortGroupMember(SCOPE, GROUP, name)) for name in PORTS])
    (operation,) = transaction.operations
    ((column, mutator, (_, members)),) = operation["mutations"]
    assert (column, mutator, len(members)) == ("ports", "delete", len(PORTS))
