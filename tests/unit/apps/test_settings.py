"""Settings: which place wins, and what a bad value is told."""

import re
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from weftwork.apps.settings import ENVIRONMENT, Settings, load
from weftwork.base.errors import Refusal

SPECIFIED = """
[network]
cidr_pool = "10.0.0.0/8"
default_subnet_size = 24
ovn_northbound_endpoint = "tcp:127.0.0.1:6641"
ovn_southbound_endpoint = "tcp:127.0.0.1:6642"
[storage]
chainfire_endpoint = "http://127.0.0.1:50051"
[server]
listen_addr = "0.0.0.0:8081"
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "weft.toml"
    file.write_text(text)
    return file


def test_nothing_said_means_the_defaults() -> None:
    assert load(None, {}) == Settings()
    assert Settings().server_listen_addr.startswith("127.0.0.1:"), "the embedded default listens on loopback"


def test_the_specified_file_is_taken(tmp_path: Path) -> None:
    settings = load(written(tmp_path, SPECIFIED), {})
    assert settings.server_listen_addr == "0.0.0.0:8081"
    assert settings.network_ovn_northbound_endpoint == "tcp:127.0.0.1:6641"


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = written(tmp_path, '[network]\ncidr_pool = "10.1.0.0/16"\n')
    environment = {"OVERLAY_NETWORK_CIDR_POOL": "10.2.0.0/16"}
    flags = {"network_cidr_pool": "10.3.0.0/16", "server_listen_addr": None}
    assert load(file, {}).network_cidr_pool == IPv4Network("10.1.0.0/16")
    assert load(file, environment).network_cidr_pool == IPv4Network("10.2.0.0/16")
    assert load(file, environment, flags).network_cidr_pool == IPv4Network("10.3.0.0/16")


def test_every_setting_has_an_environment_variable() -> None:
    assert set(ENVIRONMENT.values()) >= set(Settings.__slots__)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[network]\ncidr_pool = 5\n", "network.cidr_pool"),
        ('[network]\ncidr_pool = "10.0.0.1/8"\n', "network.cidr_pool"),
        ("[network]\ndefault_subnet_size = true\n", "network.default_subnet_size"),
        ("[network]\ndefault_subnet_size = 31\n", "network.default_subnet_size"),
        ('[server]\nlisten_addr = "8081"\n', "server.listen_addr"),
        ('[server]\nlisten_addr = "localhost:70000"\n', "server.listen_addr"),
        ('[network]\nlayout = "ring"\n', "network.layout"),
        ('[network]\nbackend = "vmware"\n', "network.backend"),
        ('[network]\novn_northbound_endpoint = "10.0.0.1:6641"\n', "network.ovn_northbound_endpoint"),
        ('[network]\novn_northbound_endpoint = "ssl:10.0.0.1:6641"\n', "network.ovn_certificate"),
        ('[network]\novn_private_key = "/etc/key.pem"\n', "network.ovn_certificate"),
        ('[network]\nexternal_gateway = "203.0.113.1"\n', "network.external_gateway"),
        ('[network]\nexternal_cidrs = ["10.9.0.0/24"]\n', "network.external_cidrs"),
        ('[network]\ncidr_poool = "10.0.0.0/8"\n', "network.cidr_poool"),
        ("cidr_pool = 1\n", "cidr_pool"),
        ("[network\n", "weft.toml"),
        ('[storage]\nchainfire_endpoint = "10.0.0.9:50051"\n', "storage.chainfire_endpoint"),
        ('[storage]\nbackend = "mysql"\n', "storage.backend"),
        ('[storage]\nbackend = "etcd"\n', "storage.etcd_endpoints"),
        ('[storage]\nbackend = "etcd"\netcd_endpoints = ["127.0.0.1:2379"]\n', "storage.etcd_endpoints"),
        (
            '[storage]\nbackend = "etcd"\netcd_endpoints = ["http://a:1"]\nca_certificate = "/ca.pem"\n',
            "storage.etcd_endpoints",
        ),
        ('[storage]\nbackend = "etcd"\netcd_endpoints = ["http://a:1", "https://b:1"]\n', "storage.etcd_endpoints"),
        ('[storage]\nbackend = "etcd"\netcd_endpoints = ["http://a:1"]\netcd_user = "weft"\n', "storage.etcd_user"),
        (
            '[storage]\nbackend = "etcd"\netcd_endpoints = ["https://a:1"]\ncertificate = "/c.pem"\n',
            "storage.certificate",
        ),
        ('[storage]\nbackend = "postgres"\n', "storage.postgres_dsn"),
        ('[storage]\nbackend = "postgres"\npostgres_dsn = "postgresql://u:p@localhost/d"\n', "holds a password"),
        ('[storage]\nbackend = "postgres"\npostgres_dsn = "postgresql://u@db.example/d"\n', "storage.postgres_dsn"),
    ],
)
def test_a_bad_setting_is_refused_by_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(Refusal) as refused:
        load(written(tmp_path, text), {})
    assert refused.value.code == "INVALID_SETTING"
    assert place in refused.value.message
    assert refused.value.hint


def test_a_misspelt_setting_is_told_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        load(written(tmp_path, '[network]\ncidr_poool = "10.0.0.0/8"\n'), {})
    assert "network.cidr_pool" in refused.value.hint


def test_a_missing_file_and_a_bad_variable_are_told() -> None:
    with pytest.raises(Refusal, match="No such file"):
        load(Path("/nonexistent/weft.toml"), {})
    with pytest.raises(Refusal, match="environment variable WEFT_NETWORK_LAYOUT"):
        load(None, {"WEFT_NETWORK_LAYOUT": "ring"})


def test_the_specifications_endpoint_chooses_etcd_and_its_default_nothing(tmp_path: Path) -> None:
    own = load(None, {}, {"storage_chainfire_endpoint": "http://10.0.0.9:2379"})
    assert (own.storage_backend, own.storage_etcd_endpoints) == ("etcd", ("http://10.0.0.9:2379",))

    default = load(None, {"OVERLAY_NETWORK_CHAINFIRE_ENDPOINT": "http://127.0.0.1:50051"})
    assert default.storage_backend == "sqlite"

    both = '[storage]\nbackend = "postgres"\npostgres_dsn = "postgresql://u@localhost/d"\n'
    with pytest.raises(Refusal, match="another store"):
        load(written(tmp_path, both), {}, {"storage_chainfire_endpoint": "http://10.0.0.9:2379"})


def test_a_store_is_chosen_by_file_variables_or_flags(tmp_path: Path) -> None:
    file = written(tmp_path, '[storage]\nbackend = "etcd"\netcd_endpoints = ["http://a:2379", "http://b:2379"]\n')
    assert load(file, {}).storage_etcd_endpoints == ("http://a:2379", "http://b:2379")
    assert load(None, {}, {"storage_backend": "etcd", "storage_etcd_endpoints": "http://a:1,http://b:2"}) == load(
        None, {"WEFT_STORAGE_BACKEND": "etcd", "WEFT_STORAGE_ETCD_ENDPOINTS": "http://a:1, http://b:2"}
    )


def test_every_setting_is_on_its_page() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/settings.md").read_text()
    named = set(re.findall(r"^\| `(\w+\.\w+)`", page, re.MULTILINE))

    assert named == {name.replace("_", ".", 1) for name in Settings.__slots__}
    assert all(f"`{variable}`" in page for variable in ENVIRONMENT if not variable.startswith("WEFT_"))
