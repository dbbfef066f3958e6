"""What people read of an OVN program."""

from dataclasses import fields, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from ovn_programs import GUESTS, network, plugs

from weftwork.program.ovn import AclLog
from weftwork.program.texts import text_of


def test_a_text_shows_every_field() -> None:
    program = network() | plugs(GUESTS)
    assert len({text_of(one) for one in program}) == len(program)
    for resource in program:
        for field in fields(resource):  # type: ignore[arg-type]
            if field.name != "scope":
                changed = replace(resource, **{field.name: other(field.name, getattr(resource, field.name))})  # type: ignore[type-var]
                assert text_of(changed) != text_of(resource), field.name


MAPS = ("options", "other_config", "vips")


def other(field: str, value: object) -> object:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case Enum():
            return next(one for one in type(value) if one is not value)
        case IPv4Network():
            return IPv4Network("192.0.2.0/25")
        case IPv4Address():
            return value + 1
        case None | AclLog():
            return AclLog("weft-1/1 out denied_out", "weft-1.log")
        case ():
            return (("other", "pair"),) if field in MAPS else ("other",)
        case tuple():
            return (*value, value[0])
    return f"{value}x"
