"""What names of rows say: the VPC that they are of, and for port groups the group."""

import re

EXTERNAL = "weft-ext"
"""The scope of what belongs to no VPC."""

_SPELT = re.compile(r"_([0-9a-f]{2})")
_IPV4_OF = "_ip4"


def scope_of(name: str) -> str:
    """Of the name of a switch, a router or a port."""
    return name.partition(".")[0]


def port_called(scope: str, port: str) -> str:
    return f"{scope}.port.{port}"


def port_in(name: str) -> str:
    """The id of the guest's port of a row; empty where it is another thing's."""
    scope, kind, port = [*name.split(".", 2), "", ""][:3]
    return port if scope and kind == "port" else ""


def everywhere(scope: str) -> str:
    """The port group of the switches' ways to the router, whose ACLs are in force on every switch of a VPC."""
    return f"{_word(scope)}.all"


def group_called(scope: str, group: str) -> str:
    return f"{_word(scope)}.group.{_word(group)}"


def group_in(name: str) -> tuple[str, str]:
    """The scope of a port group, and the security group's name: empty for that of all switches.

    Also of the set of its addresses, as northd calls it.
    """
    scope, _, rest = name.removesuffix(_IPV4_OF).partition(".")
    return _read(scope), _read(rest.removeprefix("group.")) if rest.startswith("group.") else ""


def _word(text: str) -> str:
    kept = (
        chr(one) if one < 128 and (chr(one).isalnum() or one == ord(".")) else f"_{one:02x}" for one in text.encode()
    )
    return "".join(kept)


def _read(word: str) -> str:
    parts = _SPELT.split(word)
    octets = b"".join(bytes.fromhex(one) if index % 2 else one.encode() for index, one in enumerate(parts))
    return octets.decode(errors="replace")
