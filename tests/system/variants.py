"""The data planes that the same tests run over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """How `weft up` is to be configured, and what it must say that it does. Empty: whatever this kernel gets."""

    backend: str = ""
    layout: str = ""
    filter_mode: str = ""
    chosen: str = ""
    """The filter mode that must be in use."""
    module: str = ""
    """A kernel module to load first: only on a kernel that the tests have for themselves."""


VARIANTS = {
    "default": Variant(),
    "bridges": Variant(layout="bridges", chosen="bridge"),
    "vlan": Variant(layout="vlan", chosen="bridge"),
    # As Docker and Kubernetes leave the host: loaded, for bridged packets to traverse their rules.
    "docker": Variant(layout="bridges", chosen="bridge", module="br_netfilter"),
    "docker-vlan": Variant(layout="vlan", chosen="bridge", module="br_netfilter"),
    "ovn": Variant(backend="ovn", chosen="ovn"),
    "br_netfilter": Variant(filter_mode="br_netfilter", chosen="br_netfilter", module="br_netfilter"),
}
