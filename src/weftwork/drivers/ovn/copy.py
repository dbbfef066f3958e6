"""The northbound as resources, read from the client's copy of it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from weftwork.drivers.ovn import rows
from weftwork.drivers.ovn.rows import Relations
from weftwork.drivers.ovsdb.wire import Row, RowId
from weftwork.program.ovn import AddressSetMember, OvnResource, PortGroupMember, StrayRow
from weftwork.program.resource import Key, Program
from weftwork.seams.marking import Standing

Tables = Mapping[str, Mapping[RowId, Row]]


def read(tables: Tables, scopes: frozenset[str] | None = None, deployment: str = "") -> Program:
    """All that is the deployment's, or these scopes of it. Of two rows that are one resource, the second is a stray."""
    found: dict[Key, OvnResource] = {}
    for table in rows.TABLE_OF.values():
        for uuid in tables[table]:
            resource = resource_at(tables, table, uuid, deployment)
            if resource is None or (scopes is not None and resource.scope not in scopes):
                continue
            if resource.key in found:
                resource = StrayRow(resource.scope, table, str(uuid))
            found[resource.key] = resource
    return frozenset((*found.values(), *_members(tables, scopes, deployment)))


def read_some(tables: Tables, places: Iterable[tuple[str, RowId]], deployment: str = "") -> Program:
    """What these rows are, by table; the second of two that are one is left out, and what we cannot read."""
    found: dict[Key, OvnResource] = {}
    for table, uuid in places:
        resource = resource_at(tables, table, uuid, deployment)
        if resource is not None and not isinstance(resource, StrayRow):
            found.setdefault(resource.key, resource)
            found |= {one.key: one for one in _members_of(tables, table, resource.scope, tables[table][uuid])}
    return frozenset(found.values())


def resource_at(tables: Tables, table: str, uuid: RowId, deployment: str = "") -> OvnResource | None:
    """None for a row that is not there or not the deployment's."""
    row = tables[table].get(uuid)
    scope = _scope_of(table, row, deployment) if row is not None else ""
    if row is None or not scope:
        return None
    try:
        return rows.resource_of(table, scope, row, _relations(tables, row))
    except (KeyError, ValueError):
        return StrayRow(scope, table, str(uuid))


def standing(tables: Tables) -> Standing:
    """Scopes by deployment."""
    found: dict[str, set[str]] = {}
    for table in rows.TABLE_OF.values():
        for row in tables[table].values():
            if mark := rows.mark_of(table, row):
                found.setdefault(mark.deployment, set()).add(mark.scope)
    return {deployment: frozenset(scopes) for deployment, scopes in found.items()}


def rows_of(tables: Tables, deployments: frozenset[str]) -> Iterator[tuple[str, RowId, Row]]:
    """Every row of these deployments, by table."""
    for table in rows.TABLE_OF.values():
        for uuid, row in tables[table].items():
            mark = rows.mark_of(table, row)
            if mark is not None and mark.deployment in deployments:
                yield table, uuid, row


def _scope_of(table: str, row: Row, deployment: str) -> str:
    mark = rows.mark_of(table, row)
    return mark.scope if mark is not None and mark.deployment == deployment else ""


def _members(tables: Tables, scopes: frozenset[str] | None, deployment: str) -> Iterator[OvnResource]:
    """The elements of our port groups and address sets."""
    for table in ("Port_Group", "Address_Set"):
        for row in tables[table].values():
            scope = _scope_of(table, row, deployment)
            if scope and (scopes is None or scope in scopes):
                yield from _members_of(tables, table, scope, row)


def _members_of(tables: Tables, table: str, scope: str, row: Row) -> Iterator[OvnResource]:
    if table == "Port_Group":
        ports = tables["Logical_Switch_Port"]
        present = (ports[one]["name"] for one in each(row["ports"]) if one in ports)
        yield from (PortGroupMember(scope, row["name"], name) for name in present)
    elif table == "Address_Set":
        yield from (AddressSetMember(scope, row["name"], str(one)) for one in each(row["addresses"]))


def each(column: Any) -> Iterable[Any]:
    """The elements of a set column, which is the element itself when it is one."""
    return column if isinstance(column, frozenset) else (column,)


def _relations(tables: Tables, row: Row) -> Relations:
    groups = [tables["Load_Balancer_Group"][one] for one in each(row.get("load_balancer_group", frozenset()))]
    dhcp = [tables["DHCP_Options"][one] for one in each(row.get("dhcpv4_options", frozenset()))]
    chassis = [tables["Gateway_Chassis"][one] for one in each(row.get("gateway_chassis", frozenset()))]
    chassis.sort(key=lambda one: -one["priority"])
    bands = [tables["Meter_Band"][one] for one in each(row.get("bands", frozenset()))]
    return Relations(
        load_balancer_group=rows.name_in_group(groups[0]) if groups else "",
        dhcp=dhcp[0]["external_ids"].get(rows.NAME, "") if dhcp else "",
        gateway_chassis=tuple(one["chassis_name"] for one in chassis),
        per_second=bands[0]["rate"] if len(bands) == 1 and bands[0]["rate"] == bands[0]["burst_size"] else 0,
    )
