"""Settings of the server and the node: defaults, then the TOML file, then the environment, then flags.

One frozen value; a bad setting is refused with the name of the place it came from.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from weftwork.access.claims import PATHS, parse_mapping
from weftwork.access.quotas import check_limits
from weftwork.api.identity.algorithms import ALGORITHMS
from weftwork.base.addresses import Address, Cidr
from weftwork.base.errors import Kind, Refusal
from weftwork.base.tenancy import NAME
from weftwork.compiler.settings import FilterMode, Layout
from weftwork.drivers.ovsdb.endpoint import parse_endpoints
from weftwork.telemetry.logs import FORMS, LEVELS, Form, Level

STORES: tuple[Literal["sqlite", "etcd", "postgres"], ...] = ("sqlite", "etcd", "postgres")
BACKENDS: tuple[Literal["linux", "ovn"], ...] = ("linux", "ovn")
ACCELERATORS: tuple[Literal["auto", "kvm", "tcg"], ...] = ("auto", "kvm", "tcg")
LAYOUTS: tuple[Layout, ...] = ("bridges", "vlan")
FILTER_MODES: tuple[FilterMode | Literal["auto"], ...] = ("auto", "bridge", "br_netfilter")
SPECIFIED_CHAINFIRE = "http://127.0.0.1:50051"
"""The specification's default (N §10.1). Whoever copied it from there has not asked for it."""
RESERVED = ("100.64.0.0/16", "172.30.0.0/16")
"""The fleet's overlay addresses and the profile of VMs without a VPC: ranges of the underlay, never a tenant's."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process can be told. Names are those of the TOML file, `section.key` as `section_key`."""

    server_listen_addr: str = "127.0.0.1:8081"
    """TCP address of the gRPC API; empty: none. The specification's 0.0.0.0 must be asked for."""
    server_socket: str = "/run/weftwork/api.sock"
    """Unix socket of the API; empty: none."""
    server_rest_listen_addr: str = "127.0.0.1:8082"
    """TCP address of the REST API; empty: none. On loopback, unless there is TLS."""
    server_rest_socket: str = "/run/weftwork/rest.sock"
    """Unix socket of the REST API; empty: none."""
    server_tls_certificate: str = ""
    """PEM file. With it TCP is TLS, and asks for a login or a token on every address."""
    server_tls_key: str = ""
    server_tls_client_ca: str = ""
    """PEM file: whoever connects needs a certificate of this authority."""
    server_agents_listen_addr: str = ""
    """Where agents of other hosts join; they connect at the next port. Empty: one machine alone."""
    access_login: Literal["auto", "required"] = "auto"
    """auto: loopback without TLS needs a login only where an issuer is set. required: always."""
    access_oidc_issuer: str = ""
    """https URL of an OpenID Connect issuer, such as https://id.example.net/realms/weft; empty: no logins."""
    access_oidc_ca: str = ""
    """PEM file: the authority of the issuer's certificate, if not one of the system's."""
    access_oidc_audience: str = "weftwork"
    access_oidc_clients: tuple[str, ...] = ("weft",)
    """Clients of the issuer whose tokens count (azp); the first is the CLI's."""
    access_oidc_algorithms: tuple[str, ...] = ALGORITHMS
    access_oidc_claims: tuple[str, ...] = PATHS
    """Where a token lists roles and groups."""
    access_roles: tuple[str, ...] = ()
    """What the issuer's roles and groups mean here: net-ops=operator@acme."""
    access_certificates: tuple[str, ...] = ()
    """Who the names in client certificates are, without a token: ops-laptop=fleet-admin."""
    access_calls_per_s: float = 200.0
    """Of one tenant; twice as many at once."""
    access_calls_in_flight: int = 256
    """Of one tenant, watches too."""
    quotas_default: tuple[tuple[str, int], ...] = ()
    """Limits of projects that have none of their own, where they are not ours: port=1000."""
    storage_path: str = "/var/lib/weftwork/store.db"
    storage_backend: Literal["sqlite", "etcd", "postgres"] = "sqlite"
    storage_chainfire_endpoint: str = ""
    """The specification's name for an endpoint of etcd: naming one chooses etcd."""
    storage_etcd_endpoints: tuple[str, ...] = ()
    storage_etcd_prefix: str = "/weftwork/"
    storage_etcd_user: str = ""
    storage_postgres_dsn: str = ""
    """Without the password, which is never an argument of anything."""
    storage_postgres_schema: str = "weftwork"
    storage_password_file: str = ""
    storage_ca_certificate: str = ""
    storage_certificate: str = ""
    storage_private_key: str = ""
    storage_lease_s: int = 10
    """How long the others wait for a leader that is gone."""
    storage_history_days: int = 90
    """How long lines of the journal are kept; 0: for ever."""
    storage_audit_days: int = 90
    """How long refusals and changes of access are; 0: for ever."""
    network_cidr_pool: Cidr = IPv4Network("10.0.0.0/8")
    network_default_subnet_size: int = 24
    network_reserved: tuple[Cidr, ...] = tuple(IPv4Network(one) for one in RESERVED)
    network_external_cidrs: tuple[Cidr, ...] = ()
    network_external_gateway: Address | None = None
    """The external network's router; without one, the first address of the first of `external_cidrs`."""
    network_external_bridge: str = ""
    """A bridge of the operator's in the host's own namespace; empty: one of ours, `ext0` in `weft-ext`."""
    network_gateway_address: IPv4Address | None = None
    """In the underlay of a fleet: where the active one of the gateways is."""
    network_underlay_mtu: int = 1500
    network_backend: Literal["linux", "ovn"] = "linux"
    network_layout: Layout = "bridges"
    network_filter_mode: FilterMode | Literal["auto"] = "auto"
    network_routing: Literal["static", "evpn"] = "static"
    """Who says where ports are to the hosts of a fleet: the server alone, or BGP EVPN between them."""
    network_bgp_asn: int = 65000
    """The autonomous system of the fleet's hosts."""
    network_bgp_peers: tuple[IPv4Address, ...] = ()
    """Speakers that are not ours, which the reflectors reflect to."""
    network_ovn_northbound_endpoint: str = ""
    """Of an OVN that is there, one or more with commas between; empty: one of our own, for this machine."""
    network_ovn_southbound_endpoint: str = ""
    """Where the specification's server looks for it. Chassis know it from their own Open vSwitch."""
    network_ovn_switch_endpoint: str = "unix:/var/run/openvswitch/db.sock"
    network_ovn_gateway_chassis: tuple[str, ...] = ()
    """By falling priority; empty: this host."""
    network_ovn_physical_network: str = "external"
    """What the chassis call the external network in `ovn-bridge-mappings`."""
    network_ovn_controller_log: str = ""
    """The log file of this host's ovn-controller, where it writes the packets that are logged; empty: none are."""
    network_ovn_certificate: str = ""
    network_ovn_private_key: str = ""
    network_ovn_ca_certificate: str = ""
    vms_folder: str = ""
    """Where disks and consoles of VMs are; empty: beside the store."""
    vms_boot_folder: str = "/var/lib/weftwork/boot"
    """Kernels for VMs."""
    vms_init: str = "/usr/lib/weftwork/guest-init"
    """What every VM starts with."""
    vms_images_folder: str = "/var/lib/weftwork/images"
    vms_accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    """auto: KVM where it boots a guest, else emulated."""
    bus_url: str = ""
    """amqp(s)://USER@HOST:PORT/ of a RabbitMQ; empty: nobody listens."""
    bus_name: str = ""
    """What this machine is called on the bus; empty: its host name."""
    bus_project: str = ""
    """ORG/PROJECT: where other control planes make VMs; empty: nowhere."""
    telemetry_log_format: Form = "auto"
    """auto: text on a terminal, JSON elsewhere."""
    telemetry_log_level: Level = "info"
    telemetry_otlp_endpoint: str = ""
    """http(s)://HOST:PORT of a collector that speaks OTLP over gRPC; empty: no traces."""
    telemetry_trace_percent: float = 100.0
    """How many of the traces that begin here are told; a caller's trace says it for itself."""
    agent_audit_s: float = 10.0
    agent_watch_rules: Literal["on", "off"] = "on"

    @property
    def external_gateway(self) -> Address | None:
        """The router in force; None where there is no external network."""
        pools = self.network_external_cidrs
        return self.network_external_gateway or (pools[0][1] if pools else None)


ENVIRONMENT = {
    "OVERLAY_NETWORK_OVN_NB_ENDPOINT": "network_ovn_northbound_endpoint",
    "OVERLAY_NETWORK_OVN_SB_ENDPOINT": "network_ovn_southbound_endpoint",
    "OVERLAY_NETWORK_CHAINFIRE_ENDPOINT": "storage_chainfire_endpoint",
    "OVERLAY_NETWORK_CIDR_POOL": "network_cidr_pool",
    "OVERLAY_NETWORK_LISTEN_ADDR": "server_listen_addr",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "telemetry_otlp_endpoint",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "telemetry_otlp_endpoint",
} | {f"WEFT_{field.name.upper()}": field.name for field in fields(Settings)}
"""The specification's names, and `WEFT_<SECTION>_<KEY>` for every setting."""


def load(
    file: Path | None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str | None] | None = None,
    *,
    spelled: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force; `spelled` is each flag as a person types it.

    Raises Refusal INVALID_SETTING naming the place, before anything is started.
    """
    settings = Settings()
    for name, value in _file_values(file):
        settings = _set(settings, name, value, f"{file}: {name.replace('_', '.', 1)}")
    for variable, value in (os.environ if environment is None else environment).items():
        if variable in ENVIRONMENT:
            settings = _set(settings, ENVIRONMENT[variable], value, f"environment variable {variable}")
    for name, flag_value in (flags or {}).items():
        if flag_value is not None:
            settings = _set(settings, name, flag_value, f"option {(spelled or {}).get(name, name)}")
    return _checked(settings)


def _file_values(file: Path | None) -> list[tuple[str, object]]:
    if file is None:
        return []
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise _refuse(str(file), error.strerror or "cannot be read", "Give the path of a readable TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refuse(str(file), f"is not TOML: {error}", "Correct the file.") from None
    known = [field.name for field in fields(Settings)]
    values: list[tuple[str, object]] = []
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise _refuse(
                f"{file}: {section}", "stands outside a section", "Write it below [network], [storage] or [server]."
            )
        for key, value in table.items():
            name = f"{section}_{key}"
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean {near[0].replace('_', '.', 1)}?" if near else "See docs/reference/settings.md."
                raise _refuse(f"{file}: {section}.{key}", "is no setting", hint)
            values.append((name, value))
    return values


def _set(settings: Settings, name: str, value: object, place: str) -> Settings:
    parse = _PARSERS.get(name, _text)
    try:
        return replace(settings, **{name: parse(value)})
    except (ValueError, TypeError) as error:
        raise _refuse(place, f"{value!r} {error}", "See docs/reference/settings.md.") from None


def _checked(settings: Settings) -> Settings:
    """What only the whole can tell."""
    gateway, pools = settings.network_external_gateway, settings.network_external_cidrs
    if gateway is not None and not any(gateway in pool for pool in pools):
        raise _refuse(
            "network.external_gateway",
            f"{gateway} is in none of network.external_cidrs",
            "Name its network too, with --external-cidr or there.",
        )
    tls = (
        settings.network_ovn_certificate,
        settings.network_ovn_private_key,
        settings.network_ovn_ca_certificate,
    )
    if any(tls) != all(tls) or (not all(tls) and "ssl:" in settings.network_ovn_northbound_endpoint):
        raise _refuse(
            "network.ovn_certificate",
            "ssl: needs a certificate, its private key and the authority's certificate",
            "Set network.ovn_certificate, network.ovn_private_key and network.ovn_ca_certificate.",
        )
    for pool in pools:
        if pool.overlaps(settings.network_cidr_pool):
            raise _refuse(
                "network.external_cidrs",
                f"{pool} overlaps network.cidr_pool",
                "Choose another external network, or another network.cidr_pool for tenants.",
            )
    if bool(settings.server_tls_certificate) != bool(settings.server_tls_key) or (
        settings.server_tls_client_ca and not settings.server_tls_certificate
    ):
        raise _refuse(
            "server.tls_certificate",
            "TLS needs a certificate and its private key",
            "Set server.tls_certificate and server.tls_key, and server.tls_client_ca for mTLS.",
        )
    if settings.server_agents_listen_addr and settings.network_backend != "linux":
        raise _refuse("server.agents_listen_addr", "hosts of a fleet have Linux bridges", "Leave out network.backend.")
    if settings.server_agents_listen_addr and bool(pools) != bool(settings.network_gateway_address):
        raise _refuse(
            "network.gateway_address",
            "the external network of a fleet is reached by gateways, which share an address of the underlay",
            "Set network.external_cidrs and network.gateway_address, or neither.",
        )
    if settings.network_routing == "evpn" and settings.network_layout == "vlan":
        raise _refuse(
            "network.routing",
            "BGP EVPN announces a bridge for each subnet, and network.layout is vlan",
            "Leave out network.layout, or network.routing.",
        )
    return check_storage(_chosen_by_chainfire(settings))


def _chosen_by_chainfire(settings: Settings) -> Settings:
    """Who names an endpoint by the specification's word has chosen etcd."""
    endpoint = settings.storage_chainfire_endpoint
    if endpoint in ("", SPECIFIED_CHAINFIRE):
        return settings
    if settings.storage_backend == "postgres" or settings.storage_etcd_endpoints not in ((), (endpoint,)):
        raise _refuse(
            "storage.chainfire_endpoint",
            f"{endpoint!r} is an endpoint of etcd, and another store is chosen",
            "Leave it out.",
        )
    return replace(settings, storage_backend="etcd", storage_etcd_endpoints=(endpoint,))


def check_storage(settings: Settings) -> Settings:
    """What a store needs of the other settings. Raises Refusal INVALID_SETTING."""
    if bool(settings.storage_certificate) != bool(settings.storage_private_key):
        raise _refuse("storage.certificate", "needs storage.private_key, and the other way round", "Set both.")
    if settings.storage_backend == "etcd":
        _check_etcd(settings)
    if settings.storage_backend == "postgres":
        _check_postgres(settings)
    return settings


def _check_etcd(settings: Settings) -> None:
    endpoints = settings.storage_etcd_endpoints
    if not endpoints:
        raise _refuse("storage.etcd_endpoints", "is empty", "Name the members, such as http://127.0.0.1:2379.")
    if len({endpoint.partition(":")[0] for endpoint in endpoints}) > 1:
        raise _refuse("storage.etcd_endpoints", "mixes http and https", "Use https for all members.")
    if endpoints[0].startswith("http:") and (settings.storage_ca_certificate or settings.storage_certificate):
        raise _refuse("storage.etcd_endpoints", "has http, and certificates are given", "Use https://HOST:PORT.")
    if not settings.storage_etcd_prefix.endswith("/"):
        raise _refuse("storage.etcd_prefix", "does not end with /", "Use a prefix such as /weftwork/.")
    if bool(settings.storage_etcd_user) != bool(settings.storage_password_file):
        raise _refuse("storage.etcd_user", "needs storage.password_file, and the other way round", "Set both.")


def _check_postgres(settings: Settings) -> None:
    dsn = urlsplit(settings.storage_postgres_dsn)
    if dsn.scheme not in ("postgresql", "postgres"):
        example = "postgresql://weft@db.example.com/weft"
        raise _refuse("storage.postgres_dsn", "names no database", f"Name it like {example}.")
    if dsn.password is not None or "password=" in dsn.query:
        raise _refuse(
            "storage.postgres_dsn",
            "holds a password",
            "Put the password into a file, and name it in storage.password_file.",
        )
    host = dsn.hostname or ""
    is_near = host in ("", "localhost") or host.startswith("127.") or host == "::1"
    if not (is_near or settings.storage_ca_certificate or "sslmode=" in dsn.query):
        raise _refuse(
            "storage.postgres_dsn",
            f"{host} is another machine, and nothing says how to know it",
            "Set storage.ca_certificate, or say sslmode=verify-full (or another) in the DSN.",
        )
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", settings.storage_postgres_schema):
        raise _refuse("storage.postgres_schema", "is no plain name", "Use a-z, 0-9 and _.")


def _refuse(place: str, what: str, hint: str) -> Refusal:
    return Refusal(Kind.INVALID, "INVALID_SETTING", f"{place}: {what}", hint=hint)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("is not a text")
    return value


def _cidr(value: object) -> Cidr:
    try:
        return ip_network(_text(value))
    except ValueError:
        raise ValueError("is not a network such as 10.0.0.0/8") from None


def _address(value: object) -> Address:
    try:
        return ip_address(_text(value))
    except ValueError:
        raise ValueError(f"is not an address such as {IPv4Address('203.0.113.1')}") from None


def _ipv4(value: object) -> IPv4Address:
    address = _address(value)
    if not isinstance(address, IPv4Address):
        raise ValueError("is not an IPv4 address")
    return address


def _cidrs(value: object) -> tuple[Cidr, ...]:
    parts = [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise TypeError("is not a list of networks")
    return tuple(_cidr(part) for part in parts)


def _speakers(value: object) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(one) for one in _names(value))


def _whole(lowest: int, highest: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = int(value) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= highest:
            raise ValueError(f"is not a whole number from {lowest} to {highest}")
        return number

    return parse


def _seconds(value: object) -> float:
    number = float(value) if isinstance(value, str | int | float) else 0.0
    if not 0.1 <= number <= 86400:
        raise ValueError("is not a number of seconds from 0.1 to 86400")
    return number


def _one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return str(value)

    return parse


def _listen(value: object) -> str:
    text = _text(value)
    if not text:
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError("is not HOST:PORT, such as 127.0.0.1:8081")
    return text


def _issuer(value: object) -> str:
    text = _text(value)
    if text and not text.startswith("https://"):
        raise ValueError("is not an https address")
    return text


def _algorithms(value: object) -> tuple[str, ...]:
    """Those that need no shared secret, and no others."""
    names = _names(value)
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(f"has {name}, which is none of {', '.join(ALGORITHMS)}")
    return names


def _mapping(value: object) -> tuple[str, ...]:
    lines = _names(value)
    parse_mapping(lines)
    return lines


def _limits(value: object) -> tuple[tuple[str, int], ...]:
    if isinstance(value, dict):
        pairs = [(str(name), limit) for name, limit in value.items()]
    else:
        pairs = [(name, int(limit)) for name, _, limit in (one.partition("=") for one in _names(value))]
    try:
        check_limits(dict(pairs))
    except Refusal as refusal:
        raise ValueError(refusal.message) from None
    return tuple(pairs)


def _percent(value: object) -> float:
    number = float(value) if isinstance(value, str | int | float) else -1.0
    if not 0.0 <= number <= 100.0:
        raise ValueError("is not a number from 0 to 100")
    return number


def _calls_per_s(value: object) -> float:
    number = float(value) if isinstance(value, str | int | float) else 0.0
    if not 1.0 <= number <= 1e6:
        raise ValueError("is not a number of calls a second from 1 to 1000000")
    return number


def _endpoints(value: object) -> str:
    text = _text(value)
    if text:
        parse_endpoints(text)
    return text


def _url(value: object) -> str:
    text = _text(value)
    scheme, _, place = text.partition("://")
    host, _, port = place.rstrip("/").rpartition(":")
    if scheme not in ("http", "https") or not host or not port.isascii() or not port.isdecimal():
        raise ValueError("is not http://HOST:PORT or https://HOST:PORT")
    return text.rstrip("/")


def _amqp(value: object) -> str:
    text = _text(value)
    place = urlsplit(text)
    if text and (place.scheme not in ("amqp", "amqps") or not place.hostname):
        raise ValueError("is not amqp://USER:PASSWORD@HOST:PORT/ or amqps://…")
    return text


def _project(value: object) -> str:
    text = _text(value)
    if text and not all(NAME.fullmatch(one) for one in (text.split("/") if text.count("/") == 1 else ["/"])):
        raise ValueError("is not ORG/PROJECT")
    return text


def _urls(value: object) -> tuple[str, ...]:
    return tuple(map(_url, _names(value)))


def _names(value: object) -> tuple[str, ...]:
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise TypeError("is not a list of names")
    return tuple(map(_text, parts))


_PARSERS: dict[str, Callable[[object], Any]] = {
    "storage_backend": _one_of(STORES),
    "storage_chainfire_endpoint": lambda value: _url(value) if value else "",
    "storage_etcd_endpoints": _urls,
    "storage_lease_s": _whole(2, 3600),
    "server_listen_addr": _listen,
    "server_rest_listen_addr": _listen,
    "server_agents_listen_addr": _listen,
    "access_login": _one_of(("auto", "required")),
    "access_oidc_issuer": _issuer,
    "access_oidc_clients": _names,
    "access_oidc_algorithms": _algorithms,
    "access_oidc_claims": _names,
    "access_roles": _mapping,
    "access_certificates": _mapping,
    "access_calls_per_s": _calls_per_s,
    "access_calls_in_flight": _whole(1, 2048),
    "quotas_default": _limits,
    "storage_history_days": _whole(0, 36_500),
    "storage_audit_days": _whole(0, 36_500),
    "network_cidr_pool": _cidr,
    "network_default_subnet_size": _whole(8, 30),
    "network_reserved": _cidrs,
    "network_external_cidrs": _cidrs,
    "network_external_gateway": _address,
    "network_gateway_address": _ipv4,
    "network_underlay_mtu": _whole(576, 65535),
    "network_backend": _one_of(BACKENDS),
    "network_layout": _one_of(LAYOUTS),
    "network_ovn_northbound_endpoint": _endpoints,
    "network_ovn_southbound_endpoint": _endpoints,
    "network_ovn_switch_endpoint": _endpoints,
    "network_ovn_gateway_chassis": _names,
    "network_filter_mode": _one_of(FILTER_MODES),
    "vms_accelerator": _one_of(ACCELERATORS),
    "bus_url": _amqp,
    "bus_project": _project,
    "network_routing": _one_of(("static", "evpn")),
    "network_bgp_asn": _whole(1, 65_535),
    "network_bgp_peers": _speakers,
    "telemetry_log_format": _one_of(FORMS),
    "telemetry_log_level": _one_of(LEVELS),
    "telemetry_otlp_endpoint": lambda value: _url(value) if value else "",
    "telemetry_trace_percent": _percent,
    "agent_audit_s": _seconds,
    "agent_watch_rules": _one_of(("on", "off")),
}
