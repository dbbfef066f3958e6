"""The steps of one scope as the operations of one OVSDB transaction. Pure: what is there is asked of the copy."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weftwork.drivers.ovn import rows
from weftwork.drivers.ovn.rows import Parent
from weftwork.drivers.ovsdb import wire
from weftwork.drivers.ovsdb.wire import Named, RowId
from weftwork.program.ovn import (
    AddressSetMember,
    LogicalRouter,
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    Meter,
    OvnResource,
    PortGroupMember,
    StrayRow,
)
from weftwork.program.plan import Create, Delete, Replace, Step
from weftwork.program.resource import Key

Operation = Mapping[str, Any]
_PRIORITY_MAX = 32767
_KINDS_BY_TABLE = {
    "Logical_Switch": "ovn-switch",
    "Logical_Router": "ovn-router",
    "Port_Group": "ovn-port-group",
    "Load_Balancer_Group": "ovn-lb-group",
}


_Change = tuple[str, RowId | Named, str, str]
"""Of a set: table, row, column, and what becomes of its members."""


class Missing(Exception):
    """A resource stands on another that is not there; `key` is the one that cannot be made."""

    def __init__(self, key: Key, what: str) -> None:
        super().__init__(f"there is no {what}")
        self.key = key


@dataclass(slots=True)
class Transaction:
    """`uuid_of` answers for rows that are there, also those of other scopes; new ones are marked with `deployment`."""

    uuid_of: Callable[[Key], RowId | None]
    deployment: str = ""
    operations: list[Operation] = field(default_factory=list)
    _made: dict[Key, Named] = field(default_factory=dict)
    _doomed: set[Key] = field(default_factory=set)
    _members: defaultdict[_Change, list[RowId | Named | str]] = field(default_factory=lambda: defaultdict(list))
    _new_in: dict[tuple[str, str, str, str], list[RowId | Named | str]] = field(default_factory=dict)
    _names: int = 0

    def add(self, steps: Iterable[Step]) -> None:
        """In a plan's order: creations by rank, then deletions. Raises Missing."""
        planned = list(steps)
        self._doomed = {step.old.key for step in planned if isinstance(step, Delete)}
        for step in planned:
            match step:
                case Create(new):
                    self._create(_ours(new))
                case Replace(old, new):
                    self._replace(_ours(old), _ours(new))
                case Delete(old):
                    self._delete(_ours(old))
        # A set's members all at once, for the server copies the set at every change; last, when their holder is there.
        for (table, holder, column, mutator), members in self._members.items():
            self.operations.append(wire.mutate(table, holder, column, mutator, members))

    def _create(self, new: OvnResource) -> None:
        match new:
            case PortGroupMember(scope, group, port):
                members = self._those_of(new, "Port_Group", group, "ports")
                members.append(self._place(new, ("ovn-switch-port", scope, port)))
            case AddressSetMember(scope, name, address):
                holder = self._place(new, ("ovn-address-set", scope, name))
                self._members["Address_Set", holder, "addresses", "insert"].append(address)
            case _:
                self._insert(new)

    def _insert(self, new: OvnResource) -> None:
        """What is empty is a new row's default."""
        parent = rows.parent_of(new)
        members = self._those_of(new, parent.table, parent.name, parent.column) if parent else None
        columns = rows.columns_of(new, self.deployment) | self._references(new)
        told = {column: value for column, value in columns.items() if value or (value == 0 and value is not False)}
        name = self._named()
        self.operations.append(wire.insert(rows.TABLE_OF[type(new)], told, name.name))
        if members is not None:
            members.append(name)
        self._made[new.key] = name

    def _those_of(self, new: OvnResource, table: str, name: str, column: str) -> list[RowId | Named | str]:
        """What is put into the parent. It is asked for once a row, so it is looked up by texts, which hash fast."""
        found = self._new_in.get((new.scope, table, name, column))
        if found is None:
            holder = self._place(new, (_KINDS_BY_TABLE[table], new.scope, name))
            found = self._new_in[new.scope, table, name, column] = self._members[table, holder, column, "insert"]
        return found

    def _replace(self, old: OvnResource, new: OvnResource) -> None:
        uuid = self.uuid_of(old.key)
        if uuid is None or rows.parent_of(old) != rows.parent_of(new) or isinstance(new, StrayRow):
            self._delete(old)
            self._create(new)
            return
        columns = rows.columns_of(new, self.deployment) | self._references(new)
        self.operations.append(wire.update(rows.TABLE_OF[type(new)], uuid, columns))

    def _references(self, new: OvnResource) -> dict[str, Any]:
        match new:
            case LogicalSwitch(load_balancer_group=group) | LogicalRouter(load_balancer_group=group):
                groups = [self._place(new, ("ovn-lb-group", new.scope, group))] if group else []
                return {"load_balancer_group": frozenset(groups)}
            case LogicalSwitchPort(dhcp=dhcp):
                options = [self._place(new, ("ovn-dhcp", new.scope, dhcp))] if dhcp else []
                return {"dhcpv4_options": frozenset(options)}
            case LogicalRouterPort(gateway_chassis=chassis):
                return {"gateway_chassis": frozenset(self._chassis(new.name, chassis))}
            case Meter(per_second=rate):
                return {"bands": frozenset({self._band(rate)})}
        return {}

    def _chassis(self, port: str, chassis: Iterable[str]) -> Iterable[Named]:
        for place, name in enumerate(chassis):
            named = self._named()
            row = {"name": f"{port}-{name}", "chassis_name": name, "priority": _PRIORITY_MAX - place}
            self.operations.append(wire.insert("Gateway_Chassis", row, named.name))
            yield named

    def _band(self, rate: int) -> Named:
        named = self._named()
        band = {"action": "drop", "rate": rate, "burst_size": rate}
        self.operations.append(wire.insert("Meter_Band", band, named.name))
        return named

    def _delete(self, old: OvnResource) -> None:
        """A row that goes with the row that it belongs to needs no word; nor does what is gone already."""
        match old:
            case PortGroupMember(scope, group, port):
                self._take_out(
                    "Port_Group", ("ovn-port-group", scope, group), "ports", ("ovn-switch-port", scope, port)
                )
                return
            case AddressSetMember(scope, name, address):
                key: Key = ("ovn-address-set", scope, name)
                holder = self.uuid_of(key)
                if holder is not None and key not in self._doomed:
                    self._members["Address_Set", holder, "addresses", "delete"].append(address)
                return
            case StrayRow(_, table, text):
                self.operations += _without_stray(table, RowId(text))
                return
        table, uuid, parent = rows.TABLE_OF[type(old)], self.uuid_of(old.key), rows.parent_of(old)
        if uuid is None:
            return
        if parent:
            self._take_out(parent.table, _key_of(old, parent), parent.column, old.key)
        if table in rows.ROOTS:
            self.operations.append(wire.delete(table, uuid))

    def _take_out(self, table: str, holder: Key, column: str, member: Key) -> None:
        place, uuid = self.uuid_of(holder), self.uuid_of(member)
        if place is not None and uuid is not None and holder not in self._doomed:
            self._members[table, place, column, "delete"].append(uuid)

    def _place(self, new: OvnResource, wanted: Key) -> RowId | Named:
        """Where another resource is: made by this transaction, or there already."""
        found = self._made.get(wanted) or self.uuid_of(wanted)
        if found is None:
            raise Missing(new.key, f"{wanted[0].removeprefix('ovn-')} {wanted[-1]}")
        return found

    def _named(self) -> Named:
        self._names += 1
        return Named(f"row{self._names}")


def _key_of(resource: OvnResource, parent: Parent) -> Key:
    return (_KINDS_BY_TABLE[parent.table], resource.scope, parent.name)


def _without_stray(table: str, uuid: RowId) -> Iterable[Operation]:
    """Out of whatever refers to it: a row that lives by references goes with the last."""
    for holder, column in _holders_of(table):
        where = [[column, "includes", ["set", [wire.encode(uuid)]]]]
        change = [column, "delete", wire.encode((uuid,))]
        yield {"op": "mutate", "table": holder, "where": where, "mutations": [change]}
    if table in rows.ROOTS:
        yield wire.delete(table, uuid)


def _holders_of(table: str) -> tuple[tuple[str, str], ...]:
    return {
        "Logical_Switch_Port": (("Logical_Switch", "ports"),),
        "Logical_Router_Port": (("Logical_Router", "ports"),),
        "ACL": (("Logical_Switch", "acls"), ("Port_Group", "acls")),
        "Logical_Router_Static_Route": (("Logical_Router", "static_routes"),),
        "Logical_Router_Policy": (("Logical_Router", "policies"),),
        "NAT": (("Logical_Router", "nat"),),
        "Load_Balancer": (("Load_Balancer_Group", "load_balancer"),),
        "Load_Balancer_Group": (
            ("Logical_Switch", "load_balancer_group"),
            ("Logical_Router", "load_balancer_group"),
        ),
    }.get(table, ())


def _ours(resource: object) -> OvnResource:
    assert isinstance(resource, OvnResource), f"{type(resource).__name__} is nothing of OVN"
    return resource
