"""Names of rows and the expressions about them. A row's name begins with the scope of its VPC, then its kind.

The kind keeps names of different things apart, whatever a tenant calls them: in the southbound, ports of switches and
of routers share one namespace.
"""

from collections.abc import Iterable

from weftwork.model.port import Port
from weftwork.model.subnet import Subnet
from weftwork.model.vpc import Vpc

EXTERNAL_SCOPE = "weft-ext"
EXTERNAL_SWITCH = "weft-ext"
LOCALNET = "weft-ext.localnet"


def scope_of(vpc: Vpc) -> str:
    return vpc.netns


def router_of(vpc: Vpc) -> str:
    return scope_of(vpc)


def switch_of(vpc: Vpc, subnet: Subnet) -> str:
    return f"{scope_of(vpc)}.subnet.{subnet.name}"


def leg_of(vpc: Vpc, subnet: Subnet) -> str:
    """The router's port in the subnet."""
    return f"{scope_of(vpc)}.leg.{subnet.name}"


def way_of(vpc: Vpc, subnet: Subnet) -> str:
    """The switch's port to the router."""
    return f"{scope_of(vpc)}.way.{subnet.name}"


def port_of(vpc: Vpc, port: Port) -> str:
    """Also the `iface-id` of its device."""
    return f"{scope_of(vpc)}.port.{port.id}"


def external_leg_of(vpc: Vpc) -> str:
    return f"{scope_of(vpc)}.external"


def external_way_of(vpc: Vpc) -> str:
    return f"{scope_of(vpc)}.external-way"


def peer_leg(vpc: Vpc, peer: Vpc) -> str:
    return f"{scope_of(vpc)}.peer.{peer.vni}"


def everywhere(vpc: Vpc) -> str:
    """The port group of the switches' ways to the router: by it, ACLs are in force on every switch of the VPC."""
    return f"{_word(scope_of(vpc))}.all"


def group_of(vpc: Vpc, group: str) -> str:
    return f"{_word(scope_of(vpc))}.group.{_word(group)}"


def load_balancers_of(vpc: Vpc) -> str:
    """The group of the VPC's port forwards."""
    return "forwards"


def addresses_of(group: str) -> str:
    """What northd calls the IPv4 addresses of a port group (ovn-nb(5), Port_Group)."""
    return f"${group}_ip4"


def any_of(values: Iterable[object]) -> str:
    """The right side of a comparison: one value or a set."""
    texts = [str(one) for one in values]
    return texts[0] if len(texts) == 1 else "{" + ", ".join(texts) + "}"


def _word(text: str) -> str:
    """Letters, digits and dots are themselves, any other byte is `_` and two digits: no two texts give the same."""
    kept = (
        chr(one) if one < 128 and (chr(one).isalnum() or one == ord(".")) else f"_{one:02x}" for one in text.encode()
    )
    return "".join(kept)
